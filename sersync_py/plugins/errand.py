"""A call over the network, in a thread of its own: waiting for a name server or a peer holds nobody else up."""

import socket
import threading
import time
from typing import Callable, Optional

from sersync_py.loop import NEVER, Loop
from sersync_py.plugins.call import Ended, Task

__all__ = ["Errand", "Line", "RefusedError"]


class RefusedError(Exception):
    """The other end has answered, and not as it should; the text says how."""


class Line:
    """A connection that can be cut from another thread, whatever it waits for. Moments are monotonic seconds."""

    def __init__(self, until: float) -> None:
        self.until = until
        self._lock = threading.Lock()
        self._socket: Optional[socket.socket] = None
        self._is_cut = False

    def left(self) -> float:
        """Return how many seconds there are left. Raise OSError if there are none, socket.timeout if they are over."""
        seconds = self.until - time.monotonic()
        if self._is_cut:
            raise OSError("no time left")
        if seconds <= 0:
            raise socket.timeout("no time left")
        return seconds

    def connect(self, host: str, port: int, seconds: float) -> socket.socket:
        """Connect within so many seconds, which no later wait may exceed either. Raise OSError or UnicodeError."""
        connection = socket.create_connection((host, port), min(seconds, self.left()))
        with self._lock:
            if self._is_cut:
                connection.close()
                raise OSError("no time left")
            self._socket = connection
        return connection

    def cut(self) -> None:
        """Let nothing come or go any more."""
        with self._lock:
            self._is_cut = True
            if self._socket is not None:
                try:
                    self._socket.shutdown(socket.SHUT_RDWR)
                except OSError:
                    # it is closed, or was never connected
                    return


class Errand(Task):
    """Runs `work` in a thread; what it returns is the answer that came, and what it raises is the problem."""

    def __init__(self, loop: Loop, work: Callable[[Line], str], seconds: int, now: float) -> None:
        self._loop, self._seconds = loop, seconds
        self._line = Line(time.monotonic() + seconds)
        self._ended: Optional[Ended] = None
        self._late = False
        self.alarm = now + seconds
        try:
            threading.Thread(target=self._run, args=(work,), daemon=True).start()
        except RuntimeError as error:
            # the machine has no thread left
            self._ended, self.alarm = Ended(str(error)), now

    def _run(self, work: Callable[[Line], str]) -> None:
        ended = Ended("a fault of its own")
        try:
            ended = Ended(answer=work(self._line))
        except socket.timeout:
            ended = self._too_late()
        except OSError as error:
            ended = Ended(error.strerror or str(error))
        except (UnicodeError, RefusedError) as error:
            ended = Ended(str(error))
        finally:
            self._ended = ended
            self._loop.wake()

    def step(self, now: float) -> Optional[Ended]:
        """Look whether it has ended; cut the line when its time is over.

        It keeps its place among the calls under way until the thread is really over, which a name server may delay.
        """
        if self._ended is None:
            if now >= self.alarm:
                self._late = True
                self._line.cut()
                self.alarm = NEVER
            return None
        return self._too_late() if self._late else self._ended

    def _too_late(self) -> Ended:
        return Ended(f"no end after {self._seconds} s", late=True)

    def end(self, now: float) -> None:
        """Cut the line."""
        self._line.cut()
        self.alarm = max(self.alarm, now)
