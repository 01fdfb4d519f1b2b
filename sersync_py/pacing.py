"""How often one path may be pushed, and how often a lane may start a session: at once, then ever more seldom.

Pure: the time comes in as an argument.
"""

import zlib
from typing import Dict, Iterable

from sersync_py.changes import ancestors

__all__ = ["Pacing", "Throttle", "Turns", "first_pause"]

FIRST_PAUSE = 0.1
"""At least; a lane's own lies between this and twice as much."""
LONGEST_PAUSE = 1.0
"""Seconds between two pushes of a path that never rests: at most 13 sessions in 10 s, and the last one within 1 s."""


def first_pause(lane: bytes) -> float:
    """Return the first pause (seconds) of a lane, given what names it.

    Two hosts that mirror each other, and have sent each other what the other had, would for ever go on exchanging it if
    both waited for equally long.
    """
    return FIRST_PAUSE * (1 + zlib.crc32(lane) / 2**32)


class _Pushed:
    """When a push began, how long its paths rest after that, and when it was over; one for all its paths alike."""

    __slots__ = ("end_wall", "pause", "start")

    def __init__(self, start: float, pause: float) -> None:
        self.start, self.pause, self.end_wall = start, pause, float("inf")


class Pacing:
    """Remembers the paths that were pushed in the last seconds."""

    def __init__(self, first: float = FIRST_PAUSE) -> None:
        """`first`: the seconds between the first two pushes of a path."""
        self._first = first
        self._recent: Dict[bytes, _Pushed] = {}
        self._trees: Dict[bytes, float] = {}
        """Folders that were pushed with all below them, and when (wall clock) that was over."""
        self._swept = 0.0

    def due(self, path: bytes, now: float) -> float:
        """Return when (monotonic seconds) the path may be pushed next; not later than `now`: at once."""
        known = self._recent.get(path)
        return now if known is None else max(now, known.start + known.pause)

    def started(self, paths: Iterable[bytes], now: float, trees: Iterable[bytes] = ()) -> None:
        """Note that these paths are being pushed, the trees with all below them. `now`: monotonic seconds."""
        self._sweep(now)
        self._trees.update((path, float("inf")) for path in trees)
        by_pause = {self._first: _Pushed(now, self._first)}
        for path in paths:
            known, pause = self._recent.get(path), self._first
            if known is not None and now - known.start <= 2 * known.pause:
                pause = min(2 * known.pause, LONGEST_PAUSE)
            if pause not in by_pause:
                by_pause[pause] = _Pushed(now, pause)
            self._recent[path] = by_pause[pause]

    def ended(self, paths: Iterable[bytes], wall: float) -> None:
        """Note that the push of these paths is over. `wall`: seconds of the wall clock, as file times have them."""
        self._trees = {path: end for path, end in self._trees.items() if end > wall - 2 * LONGEST_PAUSE}
        for path in paths:
            known = self._recent.get(path)
            if known is not None:
                known.end_wall = wall
            if path in self._trees:
                self._trees[path] = wall

    def forget(self, paths: Iterable[bytes]) -> None:
        """Let these paths go again at once: they have not been pushed after all."""
        for path in paths:
            self._recent.pop(path, None)

    def ambiguous(self, path: bytes, mtime: float) -> bool:
        """Say whether a file of this mtime (wall clock seconds) may have been pushed already with other content.

        The kernel stamps times once a tick (up to 10 ms), so two writes within a tick look the same to rsync, if the
        size is the same too.
        """
        known, latest = self._recent.get(path), mtime - 0.02
        if known is not None and known.end_wall >= latest:
            return True
        return bool(self._trees) and any(self._trees.get(above, float("-inf")) >= latest for above in ancestors(path))

    def _sweep(self, now: float) -> None:
        if now - self._swept < 2 * LONGEST_PAUSE:
            return
        self._swept = now
        self._recent = {path: last for path, last in self._recent.items() if now - last.start <= 2 * LONGEST_PAUSE}


class Throttle:
    """Lets some sessions start at once, and under lasting load so many a second that batches grow and cores rest."""

    BURST = 5
    PAUSE = 0.04
    """Seconds between starts under lasting load; a session costs some 20 ms of processor time at both ends together."""

    def __init__(self, burst: float = BURST, pause: float = PAUSE) -> None:
        """`burst`: so many start at once. `pause`: seconds between further starts."""
        self._burst, self._pause = burst, pause
        self._full = 0.0

    def due(self, now: float) -> float:
        """Return when (monotonic seconds) the next session may start; not later than `now`: at once."""
        return max(now, self._full - self._burst * self._pause)

    def started(self, now: float) -> None:
        """Note that a session has started."""
        self._full = max(self._full, now) + self._pause


class Turns:
    """Lets the sessions of many lanes start one after the other, in the order in which they ask.

    Fifty that start at once only wait for the processor, and each carries but the first of what is being written.
    """

    AT_ONCE = 8
    BUSY_SECONDS = 1.0
    """After the last turn that had to be waited for."""
    SECONDS = 0.008
    """Of a processor that a session costs the sender: 6 ms of rsync's (rsync 3.5.0), and ours."""

    def __init__(self, processors: int) -> None:
        """Let as many a second start as so many processors can take."""
        self.pause = self.SECONDS / processors
        # the half keeps what is rounded from deciding about the last of them
        self._throttle = Throttle(self.AT_ONCE - 0.5, self.pause)
        self._busy_until = 0.0

    def take(self, now: float) -> float:
        """Return when (monotonic seconds) it is the turn of who asks; not later than `now`: at once."""
        turn = self._throttle.due(now)
        self._throttle.started(now)
        if turn > now:
            self._busy_until = turn + self.BUSY_SECONDS
        return turn

    def keep_busy(self, now: float) -> bool:
        """Say whether so many have begun lately that their sessions keep the processors busy."""
        return now < self._busy_until
