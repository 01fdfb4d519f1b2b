"""The place a measurement happens in: a source folder, mirrors, an rsync daemon of its own; all loopback."""
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, NamedTuple, Tuple

from .processes import BenchError, running, shielded, tail

GOOD, SILENT = "127.0.0.1", "127.0.0.2"  # a config has one port for all its remotes, so they differ by address
TMPFS = "/dev/shm"
TMPFS_NEEDED = 512 << 20  # bytes free, below which trees go to disk


class Remote(NamedTuple):
    """One rsync daemon module."""

    host: str
    port: int
    module: str

    @property
    def url(self) -> str:
        """The module as rsync and lsyncd take it, with the slash at the end."""
        return f"rsync://{self.host}:{self.port}/{self.module}/"


class Rig(NamedTuple):
    """Folders (absolute) and port of one measurement: module "one" is the mirror `one`, module "two" is `two`; each
    of `more` is a folder too, and a module of that folder's name.
    """

    source: str
    one: str
    two: str
    scratch: str
    port: int
    log: str
    more: Tuple[str, ...] = ()

    def remote(self, module: str = "one") -> Remote:
        """The module with this name at our daemon."""
        return Remote(GOOD, self.port, module)

    def sessions(self) -> int:
        """How many connections the daemon has had so far."""
        with open(self.log, "rb") as handle:
            return handle.read().count(b" connect from ")


def fast_folder(disk: str) -> str:
    """Where small files go: tmpfs where there is one with room, else `disk`."""
    try:
        room = os.statvfs(TMPFS)
    except OSError:
        return disk
    return TMPFS if room.f_bavail * room.f_frsize >= TMPFS_NEEDED and os.access(TMPFS, os.W_OK) else disk


def free_port() -> int:
    """A port that is free on both addresses just now."""
    for _ in range(50):
        with socket.socket() as first, socket.socket() as second:
            first.bind((GOOD, 0))
            port = first.getsockname()[1]
            try:
                second.bind((SILENT, port))
            except OSError:
                continue
            return port
    raise BenchError(f"no port is free on both {GOOD} and {SILENT}")


def _daemon_text(rig: Rig) -> str:
    """The daemon's config."""
    lines = [f"address = {GOOD}", f"port = {rig.port}", f"log file = {rig.log}", "use chroot = no",
             "reverse lookup = no", "max connections = 0",
             "listen backlog = 256",  # 5 are usual: of more who come at once some wait a second, till TCP tries again
             "munge symlinks = no"]  # else, without a chroot, the daemon rewrites links and no tree is equal
    if os.geteuid() == 0:
        lines += ["uid = root", "gid = root"]
    for module, path in [("one", rig.one), ("two", rig.two)] + [(os.path.basename(path), path) for path in rig.more]:
        lines += [f"[{module}]", f"path = {path}", "read only = no"]
    return "\n".join(lines) + "\n"


@contextmanager
def _daemon(rig: Rig) -> Iterator[None]:
    """Our rsync daemon, up and answering, as long as the block runs."""
    conf, output = os.path.join(rig.scratch, "rsyncd.conf"), os.path.join(rig.scratch, "rsyncd.out")
    with open(conf, "w") as handle:
        handle.write(_daemon_text(rig))
    with open(rig.log, "wb"):
        pass
    argv = ["rsync", "--daemon", "--no-detach", "--config=" + conf]
    with running(argv, rig.scratch, output) as process:
        await_true(lambda: _answers(rig.port), lambda: process.poll() is None,
                   lambda: f"rsync daemon did not start: {tail(output)} {tail(rig.log)}")
        yield


def await_true(condition: Callable[[], bool], alive: Callable[[], bool], trouble: Callable[[], str],
               limit: float = 10.0) -> None:
    """Wait up to `limit` seconds, while `alive()`, for a condition; BenchError with `trouble()` if it does not come."""
    deadline = time.monotonic() + limit
    while not condition():
        if not alive() or time.monotonic() > deadline:
            raise BenchError(trouble())
        time.sleep(0.02)


def _answers(port: int) -> bool:
    """Whether a daemon greets us at this port."""
    try:
        with socket.create_connection((GOOD, port), 1) as connection:
            return connection.recv(8).startswith(b"@RSYNCD:")
    except OSError:
        return False


@contextmanager
def rig_in(folder: str, more: int = 0) -> Iterator[Rig]:
    """A fresh rig below `folder` with `more` mirrors, removed with all that is in it when the block ends."""
    base = tempfile.mkdtemp(prefix="sersync-bench-", dir=folder)
    try:
        names = ["source", "one", "two", "scratch"] + [f"m{number:02d}" for number in range(more)]
        paths = [os.path.join(base, name) for name in names]
        for path in paths:
            os.mkdir(path)
        rig = Rig(paths[0], paths[1], paths[2], paths[3], free_port(), os.path.join(paths[3], "rsyncd.log"),
                  tuple(paths[4:]))
        with _daemon(rig):
            yield rig
    finally:
        with shielded():
            shutil.rmtree(base, ignore_errors=True)


@contextmanager
def far_away(rig: Rig, round_trip: float) -> Iterator[Remote]:
    """Module "one" as it is when it takes a packet `round_trip` seconds to get there and back."""
    port, output = free_port(), os.path.join(rig.scratch, "relay.out")
    relay = os.path.join(os.path.dirname(os.path.abspath(__file__)), "relay.py")
    argv = [sys.executable, relay, str(port), str(rig.port), str(round_trip / 2)]
    with running(argv, rig.scratch, output) as process:
        await_true(lambda: _answers(port), lambda: process.poll() is None, lambda: "no relay: " + tail(output))
        yield Remote(GOOD, port, "one")


@contextmanager
def silent_remote(port: int) -> Iterator[Remote]:
    """A listener that accepts every connection at SILENT and never says a word."""
    held = []  # type: List[socket.socket]
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((SILENT, port))
        listener.listen(64)
        listener.settimeout(0.2)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    held.append(listener.accept()[0])
                except socket.timeout:
                    continue

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield Remote(SILENT, port, "one")
        finally:
            stop.set()
            thread.join()
            for connection in held:
                connection.close()
