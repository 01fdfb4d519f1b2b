"""What is owed to the remotes: it stands in the fail log, so that it outlives the agent, and is taken from there."""

import itertools
import logging
import time
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Set, Tuple, cast

from sersync_py.changes import ROOT, TREE, Dirt, ancestors
from sersync_py.faillog import FailLog, FailLogError, Log, Owed, bounded, render
from sersync_py.lane import Lane
from sersync_py.loop import NEVER
from sersync_py.notices import Notices
from sersync_py.orders import repair_command
from sersync_py.source import Source

__all__ = ["Debts", "MOST_OWED", "OWED_SECONDS"]

log = logging.getLogger(__name__)

OWED_SECONDS = 2.0
"""How often the fail log is written at most."""
MOST_OWED = 5000
"""A remote that is owed more paths is owed the whole tree."""


class Debts:
    """Keeps the fail log and the lanes in step: what failed there stands here, and what others put here goes there."""

    def __init__(self, path: bytes, sources: Callable[[], Iterable[Source]], notices: Notices, writes: bool) -> None:
        """`path`: of the fail log. `sources`: asked for whenever their lanes matter. `writes`: False for a dry run."""
        self._fail_log = FailLog(path)
        self._sources, self._notices, self._writes = sources, notices, writes
        self.written: Tuple[Owed, ...] = ()
        """What stands in the fail log and is ours."""
        self._replayed: Tuple[Owed, ...] = ()
        """What of it was read there, and has not arrived yet."""
        self._foreign: Tuple[bytes, ...] = ()
        self._rewrite = False
        self._due = 0.0

    def move(self, path: bytes) -> None:
        """Use another fail log, or the same anew."""
        self._fail_log = FailLog(path)
        self.written = self._replayed = ()

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if nothing wakes the loop before."""
        return self._due if self._owes() else NEVER

    def step(self, now: float) -> None:
        """Write what there is to be written, now and then."""
        if now >= self._due and self._owes():
            self.write(now)

    def take(self) -> None:
        """Make dirty what the fail log says, but for what stands there because it is dirty.

        What is about a folder or a remote that the config does not have is kept, as what is not understood at all: a
        command that somebody else may have written must not become one of ours.
        """
        found = self._read()
        if found is None:
            return
        known = {(entry.watch, entry.destination, entry.path) for entry in self.written}
        fresh = [entry for entry in found.owed if (entry.watch, entry.destination, entry.path) not in known]
        strange = [entry for entry in fresh if not self._mark(entry)]
        ours = tuple(entry for entry in fresh if entry not in strange)
        # they stand in the file, and leave it when they have arrived
        self.written += ours
        self._replayed += ours
        self._rewrite = self._rewrite or bool(fresh)
        kept = (render([each], lambda each: (b"rsync", b"-R", b"./" + each.path, each.destination)) for each in strange)
        self._foreign = found.foreign + tuple(text.strip(b"\n") for text in kept)
        if ours:
            log.info("fail log: %d entries to replay", len(ours))
        if self._foreign:
            self._notices.say("foreign", f"fail log: {len(self._foreign)} entries are of no remote of the config, or "
                              "not understood; they are kept")

    def write(self, now: float) -> None:
        """Write what is owed, unless just that stands there."""
        self._due = now + OWED_SECONDS
        if (self._owed() == self.written and not self._rewrite) or not self._writes:
            return
        self.take()
        owed = self._owed()
        try:
            self._fail_log.write(owed, self._foreign, self._command)
        except FailLogError as error:
            self._notices.say("write fail log", str(error))
            return
        self._notices.say("write fail log", "")
        log.info("fail log: %d entries", len(owed))
        self.written, self._rewrite = owed, False

    def _owes(self) -> bool:
        owing = any(next(iter(lane.owed()), None) is not None for lane in self._lanes())
        return owing or self._rewrite or bool(self.written)

    def _owed(self) -> Tuple[Owed, ...]:
        """Return what failed twice, and what was read from the log and has not arrived yet."""
        self._replayed = tuple(self._not_arrived(self._replayed))
        owed: List[Owed] = list(self._replayed)
        for lane in self._lanes():
            watch, destination = lane.target.watch, lane.target.destination()
            entries = itertools.islice(lane.owed(), MOST_OWED + 1)
            owed.extend(Owed(watch, destination, path, scope, number) for path, scope, number in entries)
        never_equal = {(lane.target.watch, lane.target.destination()) for lane in self._lanes() if not lane.was_equal}
        return bounded(owed, MOST_OWED, never_equal)

    def _not_arrived(self, entries: Iterable[Owed]) -> Iterator[Owed]:
        """Yield those of some entries whose path, or a folder above it, is still to be sent."""
        unsent: Dict[Lane, Set[bytes]] = {}
        for entry in entries:
            found = self._lane_of(entry)
            if found is None:
                continue
            lane = found[1]
            if lane not in unsent:
                unsent[lane] = {path for path, _ in lane.unsent()}
            if any(path in unsent[lane] for path in itertools.chain([entry.path], ancestors(entry.path))):
                yield entry

    def _lanes(self) -> Iterator[Lane]:
        return (lane for source in self._sources() for lane in source.lanes)

    def _lane_of(self, entry: Owed) -> Optional[Tuple[Source, Lane]]:
        for source in self._sources():
            for lane in source.lanes:
                if lane.target.watch == entry.watch and lane.target.destination() == entry.destination:
                    return source, lane
        return None

    def _command(self, entry: Owed) -> Sequence[bytes]:
        # only what a lane owes is written
        _, lane = cast(Tuple[Source, Lane], self._lane_of(entry))
        return repair_command(lane.target, entry.path, entry.scope)

    def _read(self) -> Optional[Log]:
        try:
            found = self._fail_log.read()
        except FailLogError as error:
            self._notices.say("read fail log", str(error))
            return None
        self._notices.say("read fail log", "")
        self._notices.say("fail log note", found.note)
        return found

    def _mark(self, entry: Owed) -> bool:
        """Mark an entry of the fail log in its lane; return False if there is no such lane."""
        found = self._lane_of(entry)
        if found is None:
            return False
        source, lane = found
        if entry.path == ROOT and entry.scope == TREE:
            source.mark_whole_tree([lane], delete=True)
        elif not source.passes.hides(entry.path) and not lane.estranged:
            # (this folder may never have had what the log is about; what it has is sent as a whole)
            lane.mark([entry.path], Dirt(entry.scope, time.time()))
        return True
