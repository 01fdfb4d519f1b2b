"""The calls of one plugin: a bounded row of those that wait, those under way, how they ended, logged and counted."""

import logging
from collections import OrderedDict
from typing import Dict, NamedTuple, Optional, Tuple

from sersync_py.legible import shown
from sersync_py.loop import NEVER
from sersync_py.plugins.call import Call, Ended, Plugin, Task

__all__ = ["AT_ONCE", "Counts", "MOST_WAITING", "Runner"]

log = logging.getLogger(__name__)

AT_ONCE = 4
"""Calls under way at a time, as the worker threads of sersync2 would make them side by side."""
MOST_WAITING = 10000
_SAY_SECONDS = 60.0
"""What goes on happening is said at once, and then this seldom, with how often it has happened."""

_Key = Tuple[bytes, bytes]


class Counts(NamedTuple):
    """What has become of the calls so far."""

    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    late: int = 0
    """Of those that failed: ended because their time was over."""
    dropped: int = 0
    """Never made, for the row was full."""


class _Complaint:
    """Something that may happen ten thousand times, and is said a few times only."""

    def __init__(self) -> None:
        self._unsaid = 0
        self._last = ""
        self._next = 0.0

    def add(self, what: str) -> None:
        self._unsaid += 1
        self._last = what

    def alarm(self) -> float:
        return self._next if self._unsaid else NEVER

    def say(self, name: str, happening: str, now: float, at_once: bool = False) -> None:
        if self._unsaid and (at_once or now >= self._next):
            log.warning("plugin %s: %s: %d, the last: %s", name, happening, self._unsaid, self._last)
            self._unsaid, self._next = 0, now + _SAY_SECONDS


class Runner:
    """Makes the calls of one plugin, a few at a time, never two for the same path."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin
        self._row: OrderedDict[_Key, Call] = OrderedDict()
        self._running: Dict[_Key, Tuple[Call, Task, float]] = {}
        self._failures, self._drops = _Complaint(), _Complaint()
        self._done = self._failed = self._late = self._dropped = 0

    @property
    def name(self) -> str:
        """Return what the plugin is called in the config."""
        return self._plugin.name

    def counts(self) -> Counts:
        """Return what has become of the calls so far."""
        return Counts(len(self._row), len(self._running), self._done, self._failed, self._late, self._dropped)

    def renew(self, plugin: Plugin) -> None:
        """Make all further calls with other settings of the same plugin."""
        self._plugin = plugin
        for key in [key for key, call in self._row.items() if not plugin.wants(call)]:
            del self._row[key]

    def add(self, call: Call) -> None:
        """Put a call into the row, if it is for this plugin; what the same path had waiting there is forgotten.

        If the row is full the oldest goes: a plugin that has fallen behind is told what is new, not what is long past.
        """
        if not self._plugin.wants(call):
            return
        self._row[call.watch, call.path] = call
        if len(self._row) > MOST_WAITING:
            _, oldest = self._row.popitem(last=False)
            self._dropped += 1
            self._drops.add(_path(oldest))

    def idle(self) -> bool:
        """Say whether there is nothing to do."""
        return not self._row and not self._running

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if nothing wakes the loop before."""
        times = [task.alarm for _, task, _ in self._running.values()]
        times += [self._failures.alarm(), self._drops.alarm()]
        return 0.0 if self._next_key() is not None else min(times)

    def step(self, now: float) -> None:
        """Look after the calls under way, and begin one: to begin takes some milliseconds. `now`: monotonic seconds."""
        for key, (call, task, since) in list(self._running.items()):
            ended = task.step(now)
            if ended is not None:
                del self._running[key]
                self._note(call, ended, now - since)
        begins = self._next_key()
        if begins is not None:
            call = self._row.pop(begins)
            self._running[begins] = (call, self._plugin.begin(call, now), now)
        self._complain(now)

    def end(self, now: float) -> None:
        """Begin no further call, and ask those under way to end."""
        if self._row:
            log.warning("plugin %s: %d calls were not made any more", self.name, len(self._row))
            self._row.clear()
        for _, task, _ in self._running.values():
            task.end(now)
        self._complain(now, at_once=True)
        counts = self.counts()
        log.info("plugin %s: %d calls, %d failed, %d dropped", self.name, counts.done + counts.failed, counts.failed,
                 counts.dropped)

    def _next_key(self) -> Optional[_Key]:
        """Return which of those that wait can begin now, if one can."""
        if len(self._running) >= AT_ONCE:
            return None
        return next((key for key in self._row if key not in self._running), None)

    def _note(self, call: Call, ended: Ended, seconds: float) -> None:
        answer = ": " + ended.answer if ended.answer else ""
        if not ended.problem:
            self._done += 1
            level = logging.INFO if ended.answer and self._plugin.tells_answers else logging.DEBUG
            log.log(level, "plugin %s: %s %s, %.3f s%s", self.name, call.kind.word, _path(call), seconds, answer)
            return
        self._failed += 1
        self._late += ended.late
        log.debug("plugin %s: %s %s failed, %.3f s: %s", self.name, call.kind.word, _path(call), seconds, ended.problem)
        if not ended.quiet:
            self._failures.add(f"{_path(call)}: {ended.problem}")

    def _complain(self, now: float, at_once: bool = False) -> None:
        self._failures.say(self.name, "calls failed", now, at_once)
        self._drops.say(self.name, f"calls dropped, for more than {MOST_WAITING} wait", now, at_once)


def _path(call: Call) -> str:
    """Return the path as it can stand in a line of the log."""
    return shown(call.absolute().decode("utf-8", "surrogateescape"), 4096)
