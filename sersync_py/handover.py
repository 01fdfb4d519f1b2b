"""Lets other threads have what only the loop's thread may look at. An idle handover wakes nobody."""

import os
import queue
import threading
from typing import Callable, Generic, List, TypeVar

from sersync_py.loop import READ, Loop

__all__ = ["Handover"]

Value = TypeVar("Value")


class Handover(Generic[Value]):
    """A value that the loop makes each time it is asked for."""

    def __init__(self, loop: Loop, make: Callable[[], Value]) -> None:
        """`make` is called in the loop's thread, once for all who wait by then."""
        self._loop, self._make = loop, make
        self._lock = threading.Lock()
        self._waiting: List[queue.Queue[Value]] = []
        self._read, self._write = os.pipe()
        self._open = True
        loop.watch(self._read, READ, self._answer)

    def get(self, seconds: float) -> Value:
        """From any other thread: wait for the value. Raise TimeoutError if the loop does not make it in time."""
        answer: queue.Queue[Value] = queue.Queue()
        with self._lock:
            if self._open and not self._waiting:
                os.write(self._write, b".")
            self._waiting.append(answer)
        try:
            return answer.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    def close(self) -> None:
        """Give the handles back; who waits is not answered any more."""
        with self._lock:
            self._open = False
            self._loop.forget(self._read)
            os.close(self._read)
            os.close(self._write)

    def _answer(self) -> None:
        with self._lock:
            os.read(self._read, 1)
            waiting, self._waiting = self._waiting, []
        value = self._make()
        for answer in waiting:
            answer.put(value)
