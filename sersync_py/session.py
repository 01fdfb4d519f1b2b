"""One running rsync: started, fed with names, listened to, ended. The only user of subprocess."""

import errno
import logging
import os
import signal
import subprocess
from typing import IO, Callable, Iterable, Iterator, List, Mapping, Optional, Tuple, cast

from sersync_py.guard import open_folder
from sersync_py.lifeline import Lifeline
from sersync_py.limits import open_files
from sersync_py.loop import NEVER, READ, WRITE, Loop
from sersync_py.orders import Order, environment, shown
from sersync_py.outcomes import UNSTARTED, Outcome, bytes_sent, forgiven, judge

__all__ = ["Launcher", "Session"]

log = logging.getLogger(__name__)

_PIPE_BYTES = 1 << 18
_KEPT_BYTES = 1 << 20
"""As much of stdout's end and of stderr's beginning is kept."""
_KILL_AFTER = 5.0
_LOOK_SECONDS = 1.0
_NOT_STARTED = 127
_PIPES_NEEDED = 8
"""A start takes five pipes; what three more would take is left for scans, marks and logs."""
_TIMEOUT = 30


class _Feed:
    """Writes pieces to a pipe as fast as the other end takes them."""

    def __init__(self, loop: Loop, pipe: IO[bytes], pieces: Iterator[bytes]) -> None:
        self._loop, self._pipe, self._pieces = loop, pipe, pieces
        self._waiting = self._gather()
        self._watched = False
        os.set_blocking(pipe.fileno(), False)
        self.open = True
        self.write()
        if self.open:
            # most often all went in at once
            loop.watch(pipe.fileno(), WRITE, self.write)
            self._watched = True

    def write(self) -> None:
        try:
            written = os.write(self._pipe.fileno(), self._waiting) if self._waiting else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            self.close()
            return
        self._waiting = self._waiting[written:] or self._gather()
        if not self._waiting:
            self.close()

    def _gather(self) -> bytes:
        pieces, size = [], 0
        for piece in self._pieces:
            pieces.append(piece)
            size += len(piece)
            if size >= _PIPE_BYTES // 4:
                break
        return b"".join(pieces)

    def close(self) -> None:
        if self.open:
            self.open = False
            if self._watched:
                self._loop.forget(self._pipe.fileno())
            self._pipe.close()


class _Ear:
    """Reads a pipe until its end and keeps a part of what came."""

    def __init__(self, loop: Loop, pipe: IO[bytes], keep: Callable[[bytearray], None]) -> None:
        self._loop, self._pipe, self._keep = loop, pipe, keep
        self._heard = bytearray()
        os.set_blocking(pipe.fileno(), False)
        loop.watch(pipe.fileno(), READ, self.read)
        self.open = True

    def read(self) -> None:
        """Take what is there; at the end of the stream, close."""
        while self.open:
            try:
                piece = os.read(self._pipe.fileno(), _PIPE_BYTES)
            except BlockingIOError:
                return
            if not piece:
                self.close()
                return
            self._heard += piece
            self._keep(self._heard)

    def heard(self) -> bytes:
        return bytes(self._heard)

    def close(self) -> None:
        if self.open:
            self.open = False
            self._loop.forget(self._pipe.fileno())
            self._pipe.close()


def _keep_all(_heard: bytearray) -> None:
    """Nothing is to be dropped."""


def _keep_end(heard: bytearray) -> None:
    if len(heard) > 2 * _KEPT_BYTES:
        del heard[:-_KEPT_BYTES]


def _keep_beginning(heard: bytearray) -> None:
    del heard[_KEPT_BYTES:]


def _io_count(pid: int) -> bytes:
    """Return something that differs whenever the process has read or written."""
    try:
        with open(f"/proc/{pid}/io", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _require_handles() -> None:
    """Make sure that there are the handles that a start takes, and some that are left for all else. Raise OSError.

    That a start fails half-way is not to be risked: before Python 3.12 Popen leaks pipes then.
    """
    handles: List[int] = []
    try:
        for _ in range(_PIPES_NEEDED):
            handles += os.pipe()
    finally:
        for handle in handles:
            os.close(handle)


def _why_not(error: OSError) -> str:
    """Return why no session could be started, with the limit that was met."""
    text = error.strerror or str(error)
    if error.filename is not None:
        text += ": " + os.fsdecode(error.filename).encode("utf-8", "backslashreplace").decode()
    return text + (f", the limit is {open_files()} (ulimit -n)" if error.errno == errno.EMFILE else "")


class Session:
    """An rsync process. Call `step` when SIGCHLD came and at `alarm`; `outcome` is there once it has ended."""

    def __init__(self, loop: Loop, order: Order, known: Mapping[bytes, int], now: float) -> None:
        """Start it. `known`: what it was asked (path -> scope), to tell which paths failed. `now`: monotonic seconds.

        One whose order `waits` connects, and then waits for `go`. That it cannot be started (no rsync, the folder is
        gone, no memory) is an outcome too.
        """
        self.order, self._known, self._started, self._loop = order, known, now, loop
        self.outcome: Optional[Outcome] = None
        self.was_waiting = order.waits
        self.was_cut = False
        self._life, self._last_sign, self._term_at, self._why = b"", now, 0.0, ""
        self.alarm = NEVER if order.waits else now + _LOOK_SECONDS
        if not order.waits:
            self._say()
        try:
            _require_handles()
            self._process, self._lifeline = self._start(order)
        except OSError as error:
            self.outcome = Outcome(UNSTARTED, _NOT_STARTED, _why_not(error), None)
            return
        self._feed: Optional[_Feed] = None
        out, err = cast(IO[bytes], self._process.stdout), cast(IO[bytes], self._process.stderr)
        self._out = _Ear(loop, out, _keep_all if order.keep_output else _keep_end)
        self._err = _Ear(loop, err, _keep_beginning)
        if not order.waits:
            self._give(order.feed)

    def _say(self) -> None:
        if log.isEnabledFor(logging.DEBUG):
            log.debug("run: %s", shown(self.order))

    def _give(self, feed: Optional[Iterable[bytes]]) -> None:
        if feed is not None and self._process.stdin is not None:
            self._feed = _Feed(self._loop, self._process.stdin, iter(feed))

    def go(self, order: Order, known: Mapping[bytes, int], now: float) -> None:
        """Let a session that waits carry an order whose argv is its own."""
        self.order, self._known, self._started, self._last_sign = order, known, now, now
        self.alarm = now + _LOOK_SECONDS
        self._say()
        self._give(order.feed)

    @staticmethod
    def _start(order: Order) -> Tuple["subprocess.Popen[bytes]", Lifeline]:
        folder = open_folder(order.folder, order.root)
        try:
            with Lifeline() as lifeline:
                process = subprocess.Popen(
                    order.argv, cwd=b"/proc/self/fd/%d" % folder, env=environment(os.environb), start_new_session=True,
                    stdin=subprocess.PIPE if order.waits or order.feed is not None else subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, pass_fds=(lifeline.theirs,),
                )
                lifeline.tie(process.pid)
        finally:
            os.close(folder)
        return process, lifeline

    def heard(self) -> bytes:
        """Return what is known of stdout so far."""
        return self._out.heard() if self.outcome is None else self.outcome.output

    def step(self, now: float) -> Optional[Outcome]:
        """Look whether it has ended or fallen silent; return the outcome if there is one. `now`: monotonic seconds."""
        if self.outcome is None and self._process.poll() is not None:
            self._finish(now)
        if self.outcome is None and now >= self.alarm:
            self._look_for_life(now)
        return self.outcome

    def quiet(self, now: float) -> float:
        """Return for how many seconds it has given no sign of life, as far as looked."""
        return now - self._last_sign

    def dismiss(self, now: float) -> None:
        """Tell a session that waits that nothing will come, so that it ends having done nothing."""
        if self.outcome is None and self._process.stdin is not None:
            self._process.stdin.close()
            self._term_at = now
            self.alarm = now + _KILL_AFTER

    def end(self, now: float) -> None:
        """Ask it to end (TERM); if it does not within some seconds, `step` kills it."""
        if self.outcome is None and not self._term_at:
            self._term_at = now
            self.alarm = now + _KILL_AFTER
            self._signal(signal.SIGTERM)

    def cut(self, why: str) -> None:
        """End it at once (KILL), as a session that has timed out, for the reason given: nobody hears its last words."""
        if self.outcome is None:
            self._why, self.was_cut = why, True
            self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            # ssh is in the same process group
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            log.debug("process %s ended by itself", self._process.pid)

    def _look_for_life(self, now: float) -> None:
        self.alarm = now + _LOOK_SECONDS
        if self._term_at:
            self._signal(signal.SIGKILL)
            return
        life = _io_count(self._process.pid)
        if life != self._life or not life:
            self._life, self._last_sign = life, now
        elif self.quiet(now) > self.order.silence:
            log.warning("no sign of life for %.0f s, ending %s", self.quiet(now), shown(self.order, 0))
            self.end(now)

    def _finish(self, now: float) -> None:
        for ear in (self._out, self._err):
            ear.read()
            ear.close()
        if self._feed is not None:
            self._feed.close()
        self._lifeline.let_go()
        code = _TIMEOUT if self.was_cut else self._process.returncode
        heard = self._out.heard()
        outcome = judge(code, self._err.heard(), self._known, self.order.folder, self.order.within, heard)
        if len(self._err.heard()) >= _KEPT_BYTES:
            # what else has failed was said, and is not known
            outcome = outcome._replace(failed=None)
        outcome = outcome._replace(
            message=self._why or outcome.message, output=heard, sent=bytes_sent(heard), seconds=now - self._started
        )
        self.outcome = forgiven(outcome) if self.order.attempt else outcome


Launcher = Callable[[Loop, Order, Mapping[bytes, int], float], Session]
"""What starts a session, or stands in for one."""
