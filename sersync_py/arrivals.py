"""What has changed below one watch folder, until it has arrived at all remotes that take what they are sent.

A path is told once a push: when each remote that is neither away nor refuses this very path has had it since it was
told last. So a file that is written over and over is told as often as it goes out, not only once it comes to rest.
"""

import time
from collections import deque
from typing import Callable, Container, Deque, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple

from sersync_py.changes import ROOT, TREE, Dirt, ancestors
from sersync_py.lane import Lane
from sersync_py.loop import NEVER

__all__ = ["Arrivals", "MOST_OPEN"]

MOST_OPEN = 100000
"""While all remotes are away, what changes is kept up to this number; beyond it nothing is told of further paths."""
_SLICE_SECONDS = 0.005
"""How long the loop may be kept from everything else."""
_NOWHERE: FrozenSet[bytes] = frozenset()


class _Change(NamedTuple):
    """A change that has not been told yet; may be shared by many paths."""

    scope: int
    seen: float
    """Seconds of the wall clock."""
    arrived: FrozenSet[bytes] = _NOWHERE
    """The remotes that have had the path since."""


class Arrivals:
    """Told of changes and of pushes, tells what has arrived. `step` does the work, a slice at a time."""

    def __init__(self, tell: Callable[[bytes, int, float], None]) -> None:
        """`tell` is called with path, scope and the moment (wall clock) at which the change was seen."""
        self._tell = tell
        self._lanes: Dict[Lane, bytes] = {}
        self._open: Dict[bytes, _Change] = {}
        self._work: Deque[Iterator[None]] = deque()
        self._away: List[bool] = []
        self.lost = 0
        """How many changes were not kept, for there were too many."""

    def follow(self, lanes: Iterable[Lane], hides: Callable[[bytes], bool]) -> None:
        """Take these for the lanes to all remotes, from now on; forget paths that the filter hides."""
        self._lanes = {lane: lane.target.destination() for lane in lanes}
        for lane in self._lanes:
            lane.on_settled = self.settled
        self._open = {path: change for path, change in self._open.items() if not hides(path)}
        self._work.append(self._look_at_all())

    def changed(self, paths: Iterable[bytes], scope: int) -> None:
        """Take note of changes that the lanes have been told of. The watch folder itself is not worth telling."""
        fresh = _Change(scope, time.time())
        for path in paths:
            known = self._open.get(path)
            if path == ROOT:
                continue
            if known is not None:
                self._open[path] = known._replace(scope=known.scope | scope)
            elif len(self._open) < MOST_OPEN:
                self._open[path] = fresh
            else:
                self.lost += 1
        if not self._lanes:
            self._work.append(self._look_at_all())

    def settled(self, lane: Lane, taken: Mapping[bytes, Dirt], failed: Container[bytes]) -> None:
        """Take note of a push that has reached its remote: what it took, and what of that failed."""
        if self._open:
            self._work.append(self._look(lane, taken, failed))

    def idle(self) -> bool:
        """Say whether there is nothing to do for now."""
        return not self._work

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if nothing wakes the loop before."""
        return 0.0 if self._work else NEVER

    def step(self) -> None:
        """Tell what has arrived, for a slice of time."""
        away = [lane.away() is not None for lane in self._lanes]
        if away != self._away:
            # nothing waits for a remote that has gone
            self._away = away
            self._work.append(self._look_at_all())
        until = time.monotonic() + _SLICE_SECONDS
        while self._work:
            for _ in self._work[0]:
                if time.monotonic() >= until:
                    return
            self._work.popleft()

    def _look_at_all(self) -> Iterator[None]:
        for path in list(self._open):
            self._judge(path)
            yield

    def _look(self, lane: Lane, taken: Mapping[bytes, Dirt], failed: Container[bytes]) -> Iterator[None]:
        for path in taken:
            if path in self._open:
                if path not in failed:
                    self._note(path, lane)
                self._judge(path)
            yield
        trees = {path for path, dirt in taken.items() if dirt.scope == TREE}
        if not trees:
            return
        for path in list(self._open):
            if path not in taken and any(above in trees for above in ancestors(path)):
                # what changed after the tree was sent is dirty by itself, and still to come
                if path not in failed and not lane.expects(path):
                    self._note(path, lane)
                self._judge(path)
            yield

    def _note(self, path: bytes, lane: Lane) -> None:
        change = self._open.get(path)
        if change is not None and lane in self._lanes:
            self._open[path] = change._replace(arrived=change.arrived | {self._lanes[lane]})

    def _judge(self, path: bytes) -> None:
        """Tell of a path if nobody is left to wait for; it stays open if it has changed again."""
        change = self._open.get(path)
        if change is None:
            return
        expecting = [name for lane, name in self._lanes.items() if lane.expects(path)]
        if any(name not in change.arrived for name in expecting):
            return
        if self._lanes and not change.arrived:
            return
        if expecting:
            self._open[path] = _Change(change.scope, time.time())
        else:
            del self._open[path]
        self._tell(path, change.scope, change.seen)
