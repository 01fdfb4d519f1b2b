"""What a whole tree and its mirror differ in: asked of rsync, which changes nothing, and answered with paths to mark.

So a periodic full resync runs beside the live pushes and can undo none of them: what is sent or deleted is decided when
a path is pushed, by looking at the disk, as always.
"""

from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from sersync_py import orders
from sersync_py.changes import ENTRY, ROOT, TREE
from sersync_py.filters import Filter
from sersync_py.loop import NEVER, Loop
from sersync_py.outcomes import DONE, Outcome, itemized
from sersync_py.session import Launcher, Session
from sersync_py.target import Target

__all__ = ["Comparison", "Differences", "Request", "differences"]

MOST_DIFFERENCES = 100000
"""Beyond so many one recursive push of the whole tree costs less."""


class Request(NamedTuple):
    """That a whole tree is to be compared."""

    excludes: Tuple[str, ...] = ()
    """rsync patterns that are left out, of the crontabfilter."""
    delete: bool = True
    """False: what only the remote has stays, for the watch folder is empty and nobody has said that it is to be so."""


class Differences(NamedTuple):
    """What a comparison found."""

    dirty: Dict[bytes, int]
    """Paths to make dirty, with their scopes."""
    surplus: Tuple[bytes, ...] = ()
    """Paths to be deleted at the remote just so: the folders they are in may hold what the patterns protect."""


def differences(
    target: Target, passes: Filter, request: Request, output: bytes, arriving: Callable[[bytes], bool] = lambda _: False
) -> Differences:
    """Given the output of a comparison, return what is to be done about it.

    `arriving`: says of what only the remote has whether a session has just put it there, and will take it away.
    """
    found: Dict[bytes, int] = {}
    surplus: List[bytes] = []
    for name, gone in itemized(output):
        path = name.rstrip(b"/")
        if passes.hides(path) or (gone and not (target.delete and request.delete)):
            continue
        if gone and arriving(path):
            continue
        if gone and request.excludes:
            surplus.append(path)
        else:
            # what is gone may be a folder there, with more in it than is listed
            found[path] = TREE if gone and name.endswith(b"/") else ENTRY
    if len(found) > MOST_DIFFERENCES and not request.excludes and request.delete:
        return Differences({ROOT: TREE})
    return Differences(found, tuple(surplus))


def _has_more(passes: Filter, output: bytes) -> bool:
    """Say whether the remote has something that is not here and not excluded."""
    return any(gone and not passes.hides(name.rstrip(b"/")) for name, gone in itemized(output))


class Comparison:
    """The comparison of one lane: due, under way, or neither."""

    def __init__(self, loop: Loop, launch: Launcher) -> None:
        self._loop, self._launch = loop, launch
        self.request: Optional[Request] = None
        """What is to be compared; None: nothing is due."""
        self._running: Optional[Request] = None
        self.session: Optional[Session] = None

    def alarm(self, next_try: float) -> float:
        """Return when (monotonic seconds) something is to be done. `next_try`: the remote is not asked before."""
        if self.session is not None:
            return self.session.alarm
        return NEVER if self.request is None else next_try

    def start(self, target: Target, now: float) -> None:
        """Start it if it is due and not under way."""
        if self.request is not None and self.session is None:
            self._running = self.request
            self.session = self._launch(self._loop, orders.compare(target, self.request.excludes), {}, now)

    def step(self, now: float) -> Optional[Outcome]:
        """Return how it ended, once. One that did not reach the remote stays due."""
        outcome = self.session.step(now) if self.session is not None else None
        if outcome is not None:
            self.session = None
        return outcome

    def settle(
        self, target: Target, passes: Filter, outcome: Outcome, arriving: Callable[[bytes], bool]
    ) -> Tuple[Differences, bool]:
        """Given how the one under way has gone, return what it found, and if the remote has nothing beyond it.

        What has been requested meanwhile is still due.
        """
        request = self._running or Request()
        if self.request is self._running:
            self.request = None
        found = differences(target, passes, request, outcome.output, arriving)
        whole = not request.excludes and outcome.verdict == DONE
        return found, whole and target.delete and (request.delete or not _has_more(passes, outcome.output))
