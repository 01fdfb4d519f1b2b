"""Start programs and end them again with everything they started; nothing here knows what they are for."""
import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import Dict, Iterator, List, NamedTuple, Optional

TERM_PATIENCE = 15.0  # seconds a program gets to end by itself


class BenchError(Exception):
    """A program did not do what the measurement needs; the text says which and how."""


class _Interrupt:
    """Whether a signal asked us to end, whether we acted upon it, and how deep we are in work that must not be cut."""

    asked = False
    raised = False
    depth = 0

    def act(self) -> None:
        """KeyboardInterrupt, once, if asked and nothing forbids it."""
        if self.asked and not self.raised and not self.depth:
            self.raised = True
            raise KeyboardInterrupt


_interrupt = _Interrupt()


def stop(_signal: int, _frame: object) -> None:
    """A signal handler: KeyboardInterrupt at the first signal, never in the midst of cleaning up."""
    _interrupt.asked = True
    _interrupt.act()


@contextmanager
def shielded() -> Iterator[None]:
    """No signal interrupts the block; one that came is acted upon at its end."""
    _interrupt.depth += 1
    try:
        yield
    finally:
        _interrupt.depth -= 1
    _interrupt.act()


def clean_environment(python_path: str = "") -> Dict[str, str]:
    """The environment for children: ours without RSYNC_* (such as a proxy), with PYTHONPATH if given."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RSYNC_")}
    if python_path:
        environment["PYTHONPATH"] = python_path
    return environment


class Entry(NamedTuple):
    """What /proc says of a process: `started` (in ticks) tells a reused pid apart, `cpu` (in ticks) counts the children
    that it has waited for.
    """

    parent: int
    session: int
    started: str
    cpu: int


def _entry(pid: int) -> Optional[Entry]:
    """The process with this pid; None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            fields = handle.read().rpartition(b")")[2].split()
    except OSError:
        return None
    if not fields or fields[0] == b"Z":
        return None
    return Entry(int(fields[1]), int(fields[3]), fields[19].decode(), sum(map(int, fields[11:15])))


def _family(process: subprocess.Popen) -> Dict[int, Entry]:
    """The living among a program of ours, all below it and all in its session, by pid."""
    table = {int(name): _entry(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    living = {pid: entry for pid, entry in table.items() if entry}
    if process.returncode is not None and process.pid in living:
        return {}  # a stranger has our pid, which the kernel gives away only once the session is empty
    found = {}  # type: Dict[int, Entry]
    grown = True
    while grown:
        new = {pid: entry for pid, entry in living.items() if pid not in found
               and (pid == process.pid or entry.session == process.pid or entry.parent in found)}
        found.update(new)
        grown = bool(new)
    return found


def cpu_seconds(process: subprocess.Popen) -> float:
    """Processor seconds that a running program and what it started have used so far."""
    return sum(entry.cpu for entry in _family(process).values()) / os.sysconf("SC_CLK_TCK")


def status_number(pid: int, key: str) -> int:
    """A number of /proc/PID/status, such as VmHWM (in kB); 0 if the process is gone."""
    try:
        with open(f"/proc/{pid}/status") as handle:
            lines = [line.split() for line in handle]
    except OSError:
        return 0
    return next((int(words[1]) for words in lines if words[0] == key + ":"), 0)


def offspring(pid: int) -> int:
    """How many processes live below a process."""
    table = {int(name): _entry(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    below, grown = {pid}, True
    while grown:
        new = {each for each, entry in table.items() if entry and entry.parent in below} - below
        below |= new
        grown = bool(new)
    return len(below) - 1


def _kill(family: Dict[int, Entry]) -> None:
    """SIGKILL to those of the family that are still the same processes."""
    for pid, known in family.items():
        entry = _entry(pid)
        if entry and entry.started == known.started:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def start(argv: List[str], cwd: str, log: str, environment: Optional[Dict[str, str]] = None) -> subprocess.Popen:
    """Start `argv` in folder `cwd` in a session of its own (Ctrl-C is ours to handle), its output into file `log`."""
    with open(log, "ab") as output:
        return subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                env=environment or clean_environment(), start_new_session=True)


def end(process: subprocess.Popen, patience: float = TERM_PATIENCE) -> None:
    """SIGTERM, up to `patience` seconds, then SIGKILL to it and all that it had started."""
    with shielded():
        _end(process, patience)


def _end(process: subprocess.Popen, patience: float) -> None:
    """What `end` says, to be run where no signal interrupts it."""
    family = _family(process)
    try:
        if process.poll() is None:
            process.terminate()
            deadline = time.monotonic() + patience
            while process.poll() is None and time.monotonic() < deadline:
                family.update(_family(process))
                time.sleep(0.02)
    finally:
        _kill(family)
        process.wait()


@contextmanager
def running(argv: List[str], cwd: str, log: str,
            environment: Optional[Dict[str, str]] = None) -> Iterator[subprocess.Popen]:
    """A program that runs as long as the block does."""
    process = start(argv, cwd, log, environment)
    try:
        yield process
    finally:
        end(process)


def timed(argv: List[str], cwd: str) -> float:
    """Run `argv` in `cwd` to its end; the seconds from its start to its exit. BenchError if it failed."""
    begun = time.monotonic()
    process = subprocess.Popen(argv, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, env=clean_environment(), start_new_session=True)
    try:
        _, errors = process.communicate()
        seconds = time.monotonic() - begun
    finally:
        end(process)
    if process.returncode:
        said = errors.decode("utf-8", "replace").strip()[-300:]
        raise BenchError(f"{argv[0]}: exit {process.returncode}: {said}")
    return seconds


def tail(log: str, size: int = 300) -> str:
    """The last `size` characters of a log file on one line; "" if there is none."""
    try:
        with open(log, "rb") as handle:
            return " ".join(handle.read().decode("utf-8", "replace").split())[-size:]
    except OSError:
        return ""
