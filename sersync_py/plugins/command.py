"""The plugin `command`: runs `prefix path suffix` without a shell; the path, whatever it is called, is one argument."""

import errno
import os
import signal
import subprocess
from typing import IO, Dict, List, Mapping, Optional, Tuple, cast

from sersync_py.filters import compile_expression
from sersync_py.legible import shown
from sersync_py.lifeline import Lifeline
from sersync_py.plugins.call import Call, Ended, Plugin, Task
from sersync_py.settings import Command

__all__ = ["CommandPlugin", "argv_for", "environment_for"]

_KILL_AFTER = 2.0
_READ_SECONDS = 0.1
"""How often what a command says is read. One that says very much has to wait, and does not keep us from our work."""
_PIPE_BYTES = 1 << 16
_KEPT_BYTES = 2000
_SHOWN = 200


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def argv_for(settings: Command, call: Call) -> List[bytes]:
    """Return the words of the command for a call."""
    return [*map(_encoded, settings.before), call.absolute(), *map(_encoded, settings.after)]


def environment_for(call: Call, ours: Mapping[bytes, bytes]) -> Dict[bytes, bytes]:
    """Return our environment with what the command can know of the change."""
    return {
        **ours,
        b"SERSYNC_PATH": call.absolute(),
        b"SERSYNC_WATCH": call.watch,
        b"SERSYNC_KIND": call.kind.word.encode(),
        b"SERSYNC_TIME": f"{call.seen:.3f}".encode(),
    }


class CommandPlugin(Plugin):
    """Runs the command of the config."""

    name = "command"

    def __init__(self, settings: Command) -> None:
        self._settings = settings
        expressions = settings.includes
        self._includes = None if expressions is None else tuple(map(compile_expression, expressions))

    def wants(self, call: Call) -> bool:
        """Say whether an include matches the whole of the path, in any form in which sersync2's filters see one."""
        if self._includes is None:
            return True
        text = call.path.decode("utf-8", "surrogateescape")
        subjects = [call.absolute().decode("utf-8", "surrogateescape"), "/" + text, text]
        if call.kind.folder:
            subjects.append(text + "/")
        return any(include.fullmatch(subject) for include in self._includes for subject in subjects)

    def begin(self, call: Call, now: float) -> Task:
        """Start the command."""
        return _Child(self._settings, call, now)


class _Child(Task):
    """The command while it runs, with what it says."""

    def __init__(self, settings: Command, call: Call, now: float) -> None:
        self._settings = settings
        self._limit = now + settings.seconds
        self._ended: Optional[Ended] = None
        self._late = self._stopped = False
        self._said = b""
        self.alarm = now
        try:
            self._process, self._lifeline = self._start(argv_for(settings, call), environment_for(call, os.environb))
        except OSError as error:
            self._ended = Ended("cannot be run: " + os.strerror(error.errno or errno.EIO))
            return
        self._output = self._process.stdout
        if self._output is not None:
            os.set_blocking(self._output.fileno(), False)
        self._set_alarm(now)

    def _start(self, argv: List[bytes], env: Dict[bytes, bytes]) -> Tuple["subprocess.Popen[bytes]", Lifeline]:
        with Lifeline() as lifeline:
            process = subprocess.Popen(
                argv, cwd="/", env=env, start_new_session=True, stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL if self._settings.ignore_error else subprocess.PIPE,
                stderr=subprocess.STDOUT, bufsize=0, pass_fds=(lifeline.theirs,),
            )
            lifeline.tie(process.pid)
        return process, lifeline

    def _set_alarm(self, now: float) -> None:
        self.alarm = self._limit if self._output is None else min(self._limit, now + _READ_SECONDS)

    def step(self, now: float) -> Optional[Ended]:
        """Look whether it has ended, read what it says, and end it when its time is over."""
        if self._ended is not None:
            return self._ended
        code = self._process.poll()
        self._read()
        if code is not None:
            self._finish(code)
            return self._ended
        if now >= self._limit:
            self._late = self._late or not self._stopped
            self._press(now)
        self._set_alarm(now)
        return None

    def end(self, now: float) -> None:
        """Ask it to end; if it does not, `step` kills it, or our own end does."""
        if self._ended is None and not self._stopped:
            self._press(now)
            self._set_alarm(now)

    def _press(self, now: float) -> None:
        """Ask the whole group to end; the second time, kill it."""
        number = signal.SIGKILL if self._stopped else signal.SIGTERM
        self._stopped = True
        self._limit = now + _KILL_AFTER
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            # it has ended by itself
            return

    def _read(self) -> None:
        """Take what it has said since, and keep the beginning."""
        if self._output is None:
            return
        try:
            piece = os.read(self._output.fileno(), _PIPE_BYTES)
        except BlockingIOError:
            return
        self._said = (self._said + piece)[:_KEPT_BYTES]
        if not piece:
            self._close()

    def _close(self) -> None:
        cast(IO[bytes], self._output).close()
        self._output = None

    def _finish(self, code: int) -> None:
        if self._output is not None:
            self._close()
        if self._stopped:
            self._lifeline.let_go()
        else:
            # what a command starts in the background is its own business
            self._lifeline.untie()
        answer = shown(self._said.decode("utf-8", "surrogateescape").strip(), _SHOWN)
        if self._stopped:
            problem = f"still ran after {self._settings.seconds} s and was ended" if self._late else "was ended"
        elif code:
            problem = f"ended by signal {-code}" if code < 0 else f"exit {code}"
        else:
            problem = ""
        quiet = self._settings.ignore_error and not self._late
        self._ended = Ended(problem + (f": {answer}" if problem and answer else ""), answer, self._late, quiet)
