"""One thread that waits for whatever comes first: a file handle, a signal, or the next alarm."""

import os
import selectors
import signal
from types import FrameType
from typing import Callable, Dict, Optional

__all__ = ["NEVER", "READ", "WRITE", "Loop"]

READ = selectors.EVENT_READ
WRITE = selectors.EVENT_WRITE
NEVER = float("inf")
"""The moment of an alarm that is not set."""

Callback = Callable[[], None]


def _noted(_signum: int, _frame: Optional[FrameType]) -> None:
    """Let Python write the signal's number to the wake-up handle; what is to be done is done there."""


class Loop:
    """Calls back when a handle is ready or a signal has come. Never calls back from within a signal."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._signals: Dict[int, Callback] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self.watch(self._wake_read, READ, self._dispatch_signals)

    def watch(self, handle: int, events: int, callback: Callback) -> None:
        """Call back each time the handle is ready to READ or WRITE, until `forget`."""
        self._selector.register(handle, events, callback)

    def forget(self, handle: int) -> None:
        """Stop watching a handle; must come before it is closed."""
        self._selector.unregister(handle)

    def on_signals(self, callbacks: Dict[int, Callback]) -> None:
        """Call back, outside the signal handler, once for each signal that came. Only in the main thread."""
        self._signals = dict(callbacks)
        signal.set_wakeup_fd(self._wake_write)
        for number in callbacks:
            signal.signal(number, _noted)

    def wake(self) -> None:
        """End the wait under way, or the next one, at once. May be called in any thread."""
        try:
            # no signal has this number
            os.write(self._wake_write, b"\0")
        except OSError:
            # it is full, which wakes the loop too, or the loop is closed
            return

    def wait(self, seconds: Optional[float]) -> None:
        """Wait for at most so many seconds (None: for ever), and call back for all that is ready."""
        for key, _events in self._selector.select(seconds):
            # a callback may have made the loop forget a later one of this round
            if self._selector.get_map().get(key.fd) is key:
                key.data()

    def close(self) -> None:
        """Give the handles back."""
        signal.set_wakeup_fd(-1)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _dispatch_signals(self) -> None:
        for number in dict.fromkeys(os.read(self._wake_read, 4096)):
            callback = self._signals.get(number)
            if callback is not None:
                callback()
