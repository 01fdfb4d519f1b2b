"""How lanes go on where the agent left off: their marks are saved as time goes by, and looked at by the next start."""

import logging
import os
from typing import Iterable, List, Sequence, Tuple

from sersync_py import clock
from sersync_py.lane import Lane
from sersync_py.marks import Damaged, Mark, MarkError, Marks, key_for
from sersync_py.notices import Notices
from sersync_py.source import Source

__all__ = ["NEAR_SECONDS", "Resuming", "estrange"]

log = logging.getLogger(__name__)

NEAR_SECONDS = 60.0
"""Marks no further apart than this are served by one scan: a mirror that is sent some names in vain costs a session, a
second look at a million files costs five seconds."""


def estrange(source: Source, lane: Lane) -> None:
    """Let a lane send what there is and delete nothing: what its remote has may be of another folder."""
    lane.was_equal, lane.estranged = False, True
    log.warning("%s: %s is another folder than was mirrored before (a disk that is not mounted?); sending what it"
                " has, deleting nothing (if it is to be so: SIGUSR1)", lane, source)
    source.mark_whole_tree([lane], delete=False, since=0)


class Resuming:
    """The marks of all lanes."""

    def __init__(
        self, state_folder: bytes, config_file: bytes, whole_tree: bool, notices: Notices, saves: bool
    ) -> None:
        """`whole_tree`: each lane begins with the whole tree. `saves`: False for a dry run."""
        self._folder, self._config_file = state_folder, config_file
        self._whole_tree, self._notices, self._saves = whole_tree, notices, saves
        self._marks = Marks(state_folder)
        self._unmarked: List[Tuple[Source, Lane]] = []

    def forget(self) -> None:
        """Save no more marks of the lanes that are followed so far."""
        self._unmarked = []

    def follow(self, source: Source) -> None:
        """Have the marks of a source's lanes saved as soon as they can be."""
        self._unmarked += [(source, lane) for lane in source.lanes]

    def catch_up(self, source: Source, lanes: Sequence[Lane]) -> None:
        """Mark what lanes may have missed before this start: what changed since their marks, or the whole tree."""
        missed: List[Tuple[float, Lane]] = []
        for lane in lanes:
            mark = self._marks.load(self._key(lane), clock.now())
            root = None if mark is None else mark.root
            lane.was_equal, lane.estranged = root is not None and source.root().may_be(root), False
            if root is not None and not lane.was_equal:
                estrange(source, lane)
            elif self._whole_tree:
                source.mark_whole_tree([lane], delete=True, since=0)
            elif mark is None:
                log.info("%s: never mirrored before; sending what it lacks, deleting nothing (-r deletes too)", lane)
                source.mark_whole_tree([lane], delete=False, since=0)
            elif isinstance(mark, Damaged) or mark.reason:
                log.warning("%s: its mark %s; comparing the whole tree%s", lane, mark.reason,
                            "" if root is not None else ", deleting nothing (SIGUSR1 or -r deletes too)")
                source.mark_whole_tree([lane], delete=root is not None, since=0)
            else:
                missed.append((mark.since_ns / 1e9, lane))
        groups = _near(missed)
        for since, together in groups:
            # what a remote missed while others had it has been told of
            source.scan_since(since, together, news=since == groups[-1][0])

    def save(self, sources: Iterable[Source]) -> None:
        """Save the mark of each lane, as soon as there is one to be set."""
        self._unmarked = [(source, lane) for source in sources for lane in source.lanes]
        self.step()

    def step(self) -> None:
        """Save the marks that are still to be saved, if by now there is one to be set."""
        if not self._saves or not self._unmarked:
            return
        saved: List[str] = []
        self._unmarked = [(source, lane) for source, lane in self._unmarked if not self._save(source, lane, saved)]
        if saved:
            # the first trouble stands for all: what is wrong is wrong with the disk
            self._notices.say("marks", next(filter(None, saved), ""))

    def _save(self, source: Source, lane: Lane, saved: List[str]) -> bool:
        """Save a lane's mark; return False if it is not known yet from when on its remote lacks something.

        `saved` gets what was wrong with it, or "".
        """
        arrived = source.arrived(lane)
        if arrived is None or lane.estranged:
            return False
        mark = Mark(int(arrived * 1e9), source.root() if lane.was_equal else None)
        try:
            self._marks.save(self._key(lane), mark, clock.now())
        except MarkError as error:
            folder = self._folder.decode("utf-8", "backslashreplace")
            saved.append(f"no mark can be saved in {folder}: {error.strerror}; mirroring goes on, a restart has more to"
                         " scan")
        else:
            saved.append("")
        return True

    def _key(self, lane: Lane) -> str:
        # the same config by another name is the same config
        return key_for(os.path.realpath(self._config_file), lane.target.watch, str(lane))


def _near(marks: Iterable[Tuple[float, Lane]]) -> List[Tuple[float, List[Lane]]]:
    """Given (since, lane) pairs, return them with lanes of nearly the same moment put together under the earliest."""
    groups: List[Tuple[float, List[Lane]]] = []
    for since, lane in sorted(marks, key=lambda mark: mark[0]):
        if groups and since - groups[-1][0] <= NEAR_SECONDS:
            groups[-1][1].append(lane)
        else:
            groups.append((since, [lane]))
    return groups
