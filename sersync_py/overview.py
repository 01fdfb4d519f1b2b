"""Looks at the watch folders and their lanes: makes a `Status` of them, and keeps the history of the last hour."""

import os
from typing import Dict, Hashable, Mapping, NamedTuple, Optional, Sequence, Tuple

from sersync_py import __version__
from sersync_py.faillogtext import Owed
from sersync_py.history import History, Sample
from sersync_py.lane import Lane, shown_paths
from sersync_py.legible import printable
from sersync_py.loop import NEVER
from sersync_py.plugins.runner import Counts
from sersync_py.source import Source
from sersync_py.status import (
    AWAY,
    IN_STEP,
    PAUSED,
    PUSHING,
    SCANNING,
    PluginStatus,
    RemoteStatus,
    Status,
    WatchStatus,
)

__all__ = ["Facts", "Overview", "Seen"]


class Facts(NamedTuple):
    """What only the agent knows. Moments are seconds of the wall clock."""

    config: bytes
    sources: Sequence[Source]
    owed: Sequence[Owed]
    """The entries of the fail log."""
    next_whole_tree: Optional[float]
    notes: Tuple[str, ...]
    plugins: Mapping[str, Counts]
    """What has become of the calls of each plugin."""


class Seen(NamedTuple):
    """A status, and the last hour of each remote by (number of its watch folder, number of the remote)."""

    status: Status
    history: Dict[Tuple[int, int], Tuple[Sample, ...]]


class Overview:
    """Remembers what a single look cannot see."""

    def __init__(self, wall: float) -> None:
        """`wall`: seconds of the wall clock."""
        self._started = wall
        self._history = History()

    def sample(self, facts: Facts, status: Status) -> None:
        """Add what was just seen of each watch folder and remote to the history."""
        samples: Dict[Hashable, Sample] = {}
        for source, watch in zip(facts.sources, status.watches):
            samples[source.watch] = Sample(status.at, watch.events)
            for lane, remote in zip(source.lanes, watch.remotes):
                lag, name = remote.oldest_unsent_seconds, remote.state
                samples[_subject(source, lane)] = Sample(status.at, remote.bytes, lag, name)
        self._history.add(samples)

    def look(self, facts: Facts, now: float, wall: float) -> Seen:
        """Return the status of this moment with the history. `now`: monotonic seconds, `wall`: wall clock."""
        owed: Dict[Tuple[bytes, bytes], int] = {}
        for entry in facts.owed:
            key = (entry.watch, entry.destination)
            owed[key] = owed.get(key, 0) + 1
        watches = tuple(self._watch(source, owed, now, wall) for source in facts.sources)
        status = Status(
            __version__, os.getpid(), printable(facts.config), wall, self._started, watches, facts.next_whole_tree,
            tuple(printable(note) for note in facts.notes),
            tuple(PluginStatus(name=name, **counts._asdict()) for name, counts in facts.plugins.items()),
        )
        history = {
            (number, place): self._history.of(_subject(source, lane))
            for number, source in enumerate(facts.sources) for place, lane in enumerate(source.lanes)
        }
        return Seen(status, history)

    def _watch(self, source: Source, owed: Dict[Tuple[bytes, bytes], int], now: float, wall: float) -> WatchStatus:
        folders, uncovered = source.folders()
        missing = source.mounts.topmost()
        events = Sample(wall, source.tally.events)
        return WatchStatus(
            printable(source.watch), source.trouble(), folders, uncovered, len(missing),
            printable(shown_paths(missing)), source.tally.events,
            self._history.rate(source.watch, events), source.tally.overflows, source.scanning(),
            source.tally.scanned or None, tuple(self._remote(source, lane, owed, now, wall) for lane in source.lanes),
        )

    def _remote(
        self, source: Source, lane: Lane, owed: Dict[Tuple[bytes, bytes], int], now: float, wall: float
    ) -> RemoteStatus:
        tally, away = lane.tally, lane.away()
        lag, state = _oldest_unsent(source, lane, wall), _state(source, lane)
        return RemoteStatus(
            name=_name(lane),
            state=state,
            why=source.trouble() if state == PAUSED else printable(tally.error) if state == AWAY else "",
            away_since=wall - (now - away[0]) if away else None,
            next_try_seconds=max(0.0, away[1] - now) if away else None,
            unsent_paths=lane.unsent_count(),
            oldest_unsent_seconds=lag,
            running_sessions=lane.running(),
            comparing=lane.comparing(),
            estranged=lane.estranged,
            sessions=tally.sessions,
            failed_sessions=tally.failed_sessions,
            bytes=tally.bytes,
            files=tally.files,
            bytes_per_second=self._history.rate(_subject(source, lane), Sample(wall, tally.bytes)),
            pushed_at=tally.pushed or None,
            error=printable(tally.error),
            error_at=tally.error_at or None,
            fail_log_entries=owed.get((lane.target.watch, lane.target.destination()), 0),
            whole_tree_pushed_at=tally.whole_tree_pushed or None,
            whole_tree_compared_at=tally.whole_tree_compared or None,
        )


def _name(lane: Lane) -> str:
    """Return a remote without the user that logs in there."""
    remote = lane.target.remote
    return printable(f"{remote.host}{':' if lane.target.rsync.ssh else '::'}{remote.name}")


def _subject(source: Source, lane: Lane) -> Hashable:
    return source.watch, lane.target.destination()


def _state(source: Source, lane: Lane) -> str:
    if source.trouble():
        return PAUSED
    if lane.away() is not None:
        return AWAY
    if _scanned_since(source, lane) < NEVER:
        return SCANNING
    return IN_STEP if lane.in_step() else PUSHING


def _oldest_unsent(source: Source, lane: Lane, wall: float) -> float:
    """Return for how many seconds something has been changed here and not at the remote."""
    oldest = min((dirt.since for _, dirt in lane.unsent()), default=NEVER)
    return max(0.0, wall - min(_changed_at(source, lane, oldest), _scanned_since(source, lane)))


def _scanned_since(source: Source, lane: Lane) -> float:
    """Return the moment from which on a scan that is under way looks for changes for a lane; inf: there is none.

    Folders without a watch are another matter: some of their changes are always still to be found.
    """
    return source.unseen_since(lane) if source.scanning() else NEVER


def _changed_at(source: Source, lane: Lane, since: float) -> float:
    """Given the moment before which nothing was dirty, return when the change was made.

    To be on the safe side events are dated back to the reading before, up to a heartbeat. What may never have been at
    the remote counts from the agent's start, for nobody knows how old it is.
    """
    if since < source.tally.begun:
        return since or source.tally.begun
    return max(since, lane.in_step_until)
