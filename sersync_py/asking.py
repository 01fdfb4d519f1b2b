"""Asking a running agent how it is, through a Unix socket in the state folder: the agent's end and the asker's.

Who connects is given the status as one JSON text, and that is all: nothing is read from the other end.
"""

import errno
import logging
import os
import socket
import stat
import time
from typing import Callable, Dict, List

from sersync_py.loop import READ, WRITE, Loop

__all__ = ["Answers", "NoAnswerError", "NotRunningError", "ask"]

log = logging.getLogger(__name__)

_MOST_ASKERS = 8
"""Who reads too slowly is cut off by who comes later."""
_MOST_BYTES = 64 << 20
_AGAIN_SECONDS = 0.05


class NotRunningError(Exception):
    """Nobody listens."""


class NoAnswerError(Exception):
    """Somebody listens, and does not answer."""


class _Folder:
    """A folder, open, so that a socket in it can be named: the kernel takes no socket's path of more than 107 bytes."""

    def __init__(self, path: str) -> None:
        self._folder, self._name = os.path.split(path)

    def __enter__(self) -> str:
        self._handle = os.open(self._folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        return f"/proc/self/fd/{self._handle}/{self._name}"

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


class Answers:
    """The agent's end. It never waits: who does not read is written to when there is room."""

    def __init__(self, loop: Loop, path: str, answer: Callable[[], bytes]) -> None:
        """Listen; what a killed agent left at `path` goes. The caller has the config's lock. Raise OSError.

        `answer` makes what each asker is given.
        """
        self._loop, self._path, self._answer = loop, path, answer
        self._askers: Dict[socket.socket, bytes] = {}
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            # the mode that the file will have, from its first moment on
            os.fchmod(self._listener.fileno(), 0o600)
            _remove_socket(path)
            with _Folder(path) as name:
                self._listener.bind(name)
            self._listener.listen(_MOST_ASKERS)
        except OSError:
            self._listener.close()
            raise
        self._resting = True
        self.wake()

    def wake(self) -> None:
        """Listen again after there was no file handle to be had; to be called now and then."""
        if self._resting:
            self._resting = False
            self._loop.watch(self._listener.fileno(), READ, self._take)

    def _rest(self) -> None:
        """Do not keep the loop busy with an asker who cannot be let in."""
        self._resting = True
        self._loop.forget(self._listener.fileno())

    def close(self) -> None:
        """Listen no more, and remove the socket."""
        for asker in list(self._askers):
            self._drop(asker)
        if not self._resting:
            self._rest()
        self._listener.close()
        try:
            _remove_socket(self._path)
        except OSError as error:
            log.warning("cannot remove %s: %s", self._path, error.strerror)

    def _take(self) -> None:
        try:
            asker, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            log.debug("who asks for the status cannot be let in: %s", error)
            self._rest()
            return
        while len(self._askers) >= _MOST_ASKERS:
            self._drop(next(iter(self._askers)))
        asker.setblocking(False)
        self._askers[asker] = self._answer()
        self._loop.watch(asker.fileno(), WRITE, lambda: self._write(asker))

    def _write(self, asker: socket.socket) -> None:
        try:
            written = asker.send(self._askers[asker])
        except BlockingIOError:
            return
        except OSError as error:
            log.debug("who asked for the status has gone: %s", error)
            self._drop(asker)
            return
        self._askers[asker] = self._askers[asker][written:]
        if not self._askers[asker]:
            self._drop(asker)

    def _drop(self, asker: socket.socket) -> None:
        del self._askers[asker]
        self._loop.forget(asker.fileno())
        asker.close()


def _remove_socket(path: str) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, "something that is no socket stands there", path)
    os.unlink(path)


def ask(path: str, seconds: float) -> bytes:
    """Return what the agent at the other end of a socket says, within so many seconds.

    Raises:
        NotRunningError: nobody listens there.
        NoAnswerError: somebody does, and does not answer in time.
        PermissionError: it belongs to another user.

    """
    until = time.monotonic() + seconds
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asker:
        try:
            with _Folder(path) as name:
                while not _connects(asker, name):
                    if time.monotonic() >= until:
                        raise NoAnswerError("too many ask it")
                    time.sleep(_AGAIN_SECONDS)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunningError(str(error)) from error
        return _all(asker, until)


def _connects(asker: socket.socket, name: str) -> bool:
    """Connect; return False if too many wait already to be let in."""
    asker.setblocking(False)
    try:
        asker.connect(name)
    except BlockingIOError:
        return False
    return True


def _all(asker: socket.socket, until: float) -> bytes:
    pieces: List[bytes] = []
    size = 0
    while size < _MOST_BYTES:
        asker.settimeout(max(0.001, until - time.monotonic()))
        try:
            piece = asker.recv(1 << 16)
        except OSError as error:
            raise NoAnswerError(str(error)) from error
        if not piece:
            break
        pieces.append(piece)
        size += len(piece)
    if not pieces:
        raise NoAnswerError("it said nothing")
    return b"".join(pieces)
