"""One watch folder: its watches, the lanes to its remotes, and the guard over its root.

Every repair is only another way to mark paths dirty: an overflown queue, a restart and a full watch table all end in a
scan since a moment, or in the whole tree.
"""

import itertools
import logging
import os
import time
from types import MappingProxyType
from typing import Callable, Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Change, Dirt
from sersync_py.comparison import Request
from sersync_py.filters import Filter
from sersync_py.guard import REPLACED, Emptied, Guard, Root, is_empty
from sersync_py.inner import Inner, InnerMounts, Look, MountTable, View, below
from sersync_py.lane import Lane, shown_paths
from sersync_py.limits import MOST, binding_limit, set_limit
from sersync_py.loop import NEVER, READ, Loop
from sersync_py.scan import scan
from sersync_py.settings import Inotify
from sersync_py.shortage import Shortage, advice, enough
from sersync_py.tally import SourceTally
from sersync_py.walk import GONE, join, look
from sersync_py.watcher import Seen, Watcher, WatcherError

__all__ = ["Source"]

log = logging.getLogger(__name__)

_SLICE_SECONDS = 0.005
"""How long a scan may keep the loop from everything else."""
_GUARD_SECONDS = 1.0
_FEW = 10
"""So many deletions of single files are let through when they leave the watch folder empty."""
_MOMENT = 2.0
"""So long (seconds) it may take until what happens to a file is marked."""
_CLOCK_SET = 1.0
"""By so many seconds the clock may go back without anybody having to mind: a scan looks as much further back."""


class _Scan(NamedTuple):
    """A look for what changed since a moment (wall clock seconds), under way."""

    found: Iterator[Optional[Change]]
    since: float
    lanes: Tuple[Lane, ...]
    began: Optional[float] = None
    """When (wall clock seconds) it began, if it goes only where there are no watches; None: it goes everywhere."""
    careful: bool = False
    """True: nothing is deleted on its account, for the folder may be another one than before."""
    news: bool = True
    """True: what it finds has arrived at no remote yet."""
    start: bytes = ROOT
    """The folder that it goes through."""


def _tell_nobody(_paths: Iterable[bytes], _scope: int) -> None:
    """Stand in for whoever wants to know of changes."""


class Source:
    """The tree below one watch folder, and what changes in it, for all its remotes."""

    def __init__(
        self, loop: Loop, watch: bytes, kinds: Inotify, passes: Filter, raises_limits: bool = True,
        mounts: Mapping[bytes, Inner] = MappingProxyType({}),
    ) -> None:
        """Open inotify, nothing is watched yet. Raise WatcherError if it cannot be had.

        `raises_limits`: the kernel's limit of watches may be raised if it is too low. `mounts`: what is known to
        have been mounted below.
        """
        self.watch, self.kinds, self.passes = watch, kinds, passes
        self.lanes: List[Lane] = []
        self.tally = SourceTally()
        self._loop = loop
        self._guard = Guard(watch)
        self._emptied = Emptied()
        self._empty_is_meant = False
        self.mounts = InnerMounts({path: known for path, known in mounts.items() if not passes.hides(path)})
        self._mount_table = MountTable(loop)
        self._unmounted: FrozenSet[bytes] = frozenset()
        """What has been unmounted since the last look at the mounts, be it back or not."""
        self._back: Dict[bytes, bool] = {}
        """Mounts whose content is to be made up for; True: that may lead to deletions."""
        self._watcher = Watcher(watch, kinds, passes)
        self._seen_until, self._seen_at = time.time(), time.monotonic()
        """The moment up to which all changes have been seen, by both clocks."""
        self._floors: Dict[Lane, float] = {}
        """For lanes that were behind when the clock was set back: until they are not, no mark lies after this."""
        self._scans: List[_Scan] = []
        self._scanned_until = 0.0
        self._shortage = Shortage()
        self._refusal = ""
        """Why the limit of watches is not raised."""
        self._picked_up = False
        """True: the look at folders without a watch has got some watched."""
        self._guard_due = 0.0
        self._trouble = ""
        self._raises_limits = raises_limits
        self._watching = self._stopped = False
        self.on_adopted: Callable[[], None] = lambda: None
        """Called when another folder has been taken for the watch folder, so that its lanes can catch up."""
        self.on_changed: Callable[[Iterable[bytes], int], None] = _tell_nobody
        """Called with what has changed (paths, scope) and arrived at no remote yet, once the lanes know of it."""

    def __str__(self) -> str:
        return self.watch.decode("utf-8", "backslashreplace")

    # -- watching ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Watch the whole tree. Changes from now on are seen."""
        started = time.monotonic()
        self._seen_until, self._seen_at = time.time(), time.monotonic()
        self.look_at_mounts()
        self._watcher.cover()
        self._note_shortage()
        self._loop.watch(self._watcher.handle, READ, self.read)
        self._watching = True
        lacking = f", {self._unwatched()} not yet" if self._unwatched() else ""
        log.info("%s: %d folders watched%s, %.2f s", self, len(self._watcher), lacking, time.monotonic() - started)

    def stop(self) -> None:
        """Give the watches back; what is dirty can still be pushed."""
        self._stopped = True
        self._unwatch()
        self._mount_table.close()

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            self._loop.forget(self._watcher.handle)
            self._watcher.close()

    def read(self) -> None:
        """Take what the kernel has queued, and mark it in every lane."""
        if not self._watching:
            return
        before, now = time.time(), time.monotonic()
        self._follow_clock(before - (now - self._seen_at))
        self._spread(self._watcher.read(now))
        if not self._trouble and not self._guard.trouble() and not self._guard.lost:
            # otherwise the folder may be changed where no watch sees it
            self._seen_until, self._seen_at = before, now

    def _follow_clock(self, seen_until: float) -> None:
        """Given when all had been seen, as the clock has it now: if it was set back, move what goes by it.

        What changes from then on bears stamps older than what was noted before.
        """
        set_back = self._seen_until - seen_until
        self._seen_until = min(self._seen_until, seen_until)
        if set_back > _CLOCK_SET:
            log.warning("%s: the clock was set back by %.0f s", self, set_back)
            self._floors = {lane: min(seen_until, self._floors.get(lane, seen_until)) for lane in self.lanes}
            self._scanned_until = min(self._scanned_until, seen_until)
            self.mounts.date_back(seen_until)
            if self.scanning():
                self.scan_since(seen_until, self.lanes)

    def _spread(self, seen: Seen) -> None:
        self.tally.events += seen.events
        self.tally.overflows += seen.overflown
        by_scope: Dict[int, List[bytes]] = {}
        for path, scope in seen.dirty.items():
            by_scope.setdefault(scope, []).append(path)
        for scope, paths in by_scope.items():
            self._mark(paths, scope, self._seen_until, self.lanes)
            self.on_changed(paths, scope)
        for new, old in seen.moves.items():
            for lane in self.lanes:
                lane.moved(old, new)
        if seen.overflown:
            log.warning("%s: the kernel dropped events; looking for what changed meanwhile", self)
            self._watcher.cover()
            self.scan_since(self._seen_until, self.lanes)
        self._unmounted |= seen.unmounted
        if seen.root_removed:
            self._guard.forget()
        if seen.root_unwatched:
            self._guard.lost = True
        if seen.root_gone:
            self._guard_due = 0.0
        if seen.dirty:
            self._emptied.changed(time.monotonic())
        self._note_shortage()

    @staticmethod
    def _mark(paths: Iterable[bytes], scope: int, since: float, lanes: Iterable[Lane]) -> None:
        dirt = Dirt(scope, since)
        for lane in lanes:
            lane.mark(paths, dirt)

    # -- folders without a watch ---------------------------------------------------------------------------------

    def _unwatched(self) -> int:
        return sum(self._watcher.uncovered.values())

    def _note_shortage(self) -> None:
        if self._watcher.uncovered:
            self._shortage.begin(self._seen_until, time.time(), time.monotonic())

    def _look_at_uncovered(self) -> None:
        """Begin to watch what is not watched, if that can be had by now, and to look there for what has changed."""
        folders = list(self._watcher.uncovered)
        if folders and not self._watcher.cover_again(folders[0]):
            self._raise_limit(folders[0])
        began = time.time()
        since = self._shortage.since(began, time.monotonic())
        self._picked_up = False
        self._scans.append(_Scan(self._changes_in(folders, since), since, tuple(self.lanes), began))
        self._shortage.due = NEVER

    def _changes_in(self, folders: Sequence[bytes], since: float) -> Iterator[Optional[Change]]:
        for folder in folders:
            # first the watch, so that nothing falls between the two
            if self._watcher.cover_again(folder):
                self._picked_up = True
                self.doubt()
            yield from self._changes_since(since, folder)
            yield None

    def _raise_limit(self, folder: bytes) -> None:
        """Raise the limit of watches, so that one can be had for a folder, or learn why that is not possible."""
        limit = binding_limit("max_user_watches")
        if not self._raises_limits:
            self._refusal = "a dry run changes nothing"
        elif limit.value >= MOST:
            self._refusal = "there is no higher one"
        elif not self._refusal:
            try:
                set_limit(limit, enough(limit, self._unwatched()))
            except OSError as error:
                self._refusal = os.strerror(error.errno or 0)
            else:
                self._refusal = "" if self._watcher.cover_again(folder) else "that had no effect"

    def _looked_at_uncovered(self, began: float) -> None:
        """A look is over: say what is to be said, and have the next one come."""
        lacking = self._unwatched()
        self._shortage.looked(began, time.time(), time.monotonic(), lacking)
        limit = binding_limit("max_user_watches")
        if lacking and not self._refusal:
            # some were to be had, and then no more
            self._shortage.due = 0.0
        elif lacking and self._shortage.says(limit, lacking):
            log.warning("%s: %s", self, advice(limit, lacking, self._refusal))
        elif self._shortage.is_over():
            self._refusal = ""
            log.info("%s: all %d folders are watched by now", self, len(self._watcher))

    # -- marking by other means than events ----------------------------------------------------------------------

    def mark_whole_tree(self, lanes: Iterable[Lane], delete: bool, since: Optional[float] = None) -> None:
        """Make the whole tree dirty; `delete`: what only the remote has goes, unless the watch folder is empty.

        Nor is anything deleted where another folder was mirrored before.

        `since` (seconds of the wall clock): what happened after it may not have arrived; 0: nothing surely has; None:
        all that was seen has been marked, this is only to make sure.
        """
        if since is not None:
            self.mounts.date_back(since)
        since = self._seen_until if since is None else since
        may_delete = delete and self._may_delete()
        for lane in lanes:
            lane.mark([ROOT], Dirt(TREE if may_delete and not lane.estranged else CONTENT, since))
            if delete and not may_delete and not lane.estranged:
                # a mirror that is as empty is equal, and what goes later while nobody looks is missed there
                lane.compare(Request(delete=False))

    def compare(self, excludes: Tuple[str, ...] = (), sure: bool = False) -> None:
        """Have the whole tree compared with each remote, beside the live pushes, and what differs put right.

        `excludes`: rsync patterns that are left out. `sure`: the user has said that an empty folder, or one
        that has nothing mounted on it, is meant.
        """
        if sure:
            self._empty_is_meant = True
            self._forget_missing_mounts()
        may_delete = sure or self._may_delete()
        for lane in self.lanes:
            lane.compare(Request(excludes, delete=sure or (may_delete and not lane.estranged)))

    def _may_delete(self) -> bool:
        """Say no if the watch folder is empty: that is more often a disk that is not mounted than a wish."""
        if is_empty(self.watch):
            log.warning("%s: is empty; nothing is deleted at the remotes (if it is to be so: SIGUSR1)", self)
            return False
        return True

    def scan_since(self, since: float, lanes: Iterable[Lane], careful: bool = False, news: bool = True) -> None:
        """Look, a slice at a time, for what changed since a moment (wall clock seconds); mark it in the lanes.

        `careful`: nothing is deleted on its account. `news`: what is found has arrived at no remote yet, so that
        whoever wants to know of changes is told.
        """
        self.mounts.date_back(since)
        self._scans.append(_Scan(self._changes_since(since), since, tuple(lanes), careful=careful, news=news))
        self.doubt()

    def _changes_since(self, since: float, start: bytes = ROOT) -> Iterator[Optional[Change]]:
        return scan(self.watch, int(since * 1e9), self.passes.excludes, start)

    def doubt(self) -> None:
        """Take each folder that appears for one that stands in the place of another.

        A scan finds that a folder is gone, or a file in its place; if there is a folder again before that was pushed,
        only the push of a tree deletes at the remote what the first one held. Over once all that was found has arrived.
        """
        self._watcher.doubt = True
        self._scanned_until = time.time()

    def in_doubt(self) -> bool:
        """Say whether something that a scan has found may not have arrived yet."""
        if self._watcher.doubt:
            arrived = [self.arrived(lane) for lane in self.lanes]
            self._watcher.doubt = not all(moment is not None and moment > self._scanned_until for moment in arrived)
        if not self._watcher.doubt and not self._back:
            self.mounts.settle()
        return self._watcher.doubt

    def folders(self) -> Tuple[int, int]:
        """Return how many folders are watched, and for how many there was no watch left."""
        return len(self._watcher), self._unwatched()

    def trouble(self) -> str:
        """Return why the lanes are paused; "": they are not."""
        return self._trouble or ("has become empty" if self._emptied.waits else "")

    def scanning(self) -> bool:
        """Say whether a scan is under way, so that not all that is dirty is marked yet."""
        return any(each.began is None for each in self._scans)

    def unseen_since(self, lane: Lane) -> float:
        """Return the moment (wall clock seconds) from which on changes may not be marked in a lane yet; inf: all are.

        What the kernel has queued is not meant.
        """
        times = [each.since for each in self._scans if lane in each.lanes]
        times += [self._seen_until] if self._trouble or self._guard.lost else []
        return min([self._shortage.since(time.time(), time.monotonic()), *times])

    def arrived(self, lane: Lane) -> Optional[float]:
        """Return the moment before which all changes have arrived at a lane's remote.

        None: unknown, for a scan runs, or the remote has never had the whole tree.
        """
        if any(lane in each.lanes and each.began is None for each in self._scans) or self._trouble:
            return None
        if lane in self._floors and lane.in_step():
            del self._floors[lane]
        seen = min(self._seen_until, self._shortage.since(time.time(), time.monotonic()))
        seen = min(seen, self._floors.get(lane, seen))
        return min([seen] + [dirt.since for _, dirt in lane.unsent()]) or None

    # -- the work ------------------------------------------------------------------------------------------------

    def step(self, now: float) -> None:
        """Do what is due, and let each lane do its work. `now`: monotonic seconds."""
        self._look_at_root(now)
        if not self._trouble:
            if self._unmounted or self._mount_table.changed():
                self.look_at_mounts()
            if self._back and not self._stopped:
                self._look_for_changes_in_mounts()
            if self._scans:
                self._scan_a_slice()
            if not self._stopped:
                self._settle(now)
            self._look_for_emptiness(now)
        for lane in self.lanes:
            lane.step(now)

    def _settle(self, now: float) -> None:
        if now >= self._watcher.alarm():
            self._spread(self._watcher.settle(now))
        if now >= self._shortage.due:
            self._look_at_uncovered()

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if no handle is ready before."""
        if self._trouble:
            return min([self._guard_due] + [lane.alarm() for lane in self.lanes])
        if self._scans:
            return 0.0
        if self._stopped:
            return min((lane.alarm() for lane in self.lanes), default=NEVER)
        times = [self._watcher.alarm(), self._shortage.due, self._emptied.alarm()]
        times += [lane.alarm() for lane in self.lanes]
        if any(lane.estranged for lane in self.lanes):
            # the folder that was mirrored before may come back at any time
            times.append(self._guard_due)
        return min(times)

    def _scan_a_slice(self) -> None:
        until = time.monotonic() + _SLICE_SECONDS
        first = self._scans[0]
        try:
            for change in first.found:
                if change is not None:
                    self._mark_scanned(change, first)
                    if first.news:
                        self.on_changed([change.path], change.scope)
                if time.monotonic() >= until:
                    return
        except OSError as error:
            if self._guard.trouble():
                self._put_scans_back()
                return
            log.warning("%s: cannot be looked through, the whole tree is compared instead: %s", self, error)
            self.mark_whole_tree(first.lanes, delete=not first.careful, since=first.since)
        del self._scans[0]
        if first.began is None or self._picked_up:
            self._scanned_until = time.time()
        if first.began is not None:
            self._looked_at_uncovered(first.began)
            return
        self.tally.scanned = time.time()
        when = time.strftime("%F %T", time.localtime(first.since))
        log.info("%s: looked through for changes since %s", self, when)

    def _put_scans_back(self) -> None:
        """Begin the scans anew when the folder is back; until then no open handle must keep a disk from its unmount."""
        if any(each.began is not None for each in self._scans):
            self._shortage.due = 0.0
        whole = [each for each in self._scans if each.began is None]
        self._scans = [each._replace(found=self._changes_since(each.since, each.start)) for each in whole]

    def _mark_scanned(self, change: Change, found_by: _Scan) -> None:
        since, lanes = found_by.since, found_by.lanes
        if change.path == ROOT and change.scope & LISTING == LISTING and not self._may_delete():
            self.mark_whole_tree(lanes, delete=False, since=since)
            return
        # what was never equal may have more than was ever here
        trusted = [lane for lane in lanes if lane.was_equal and not found_by.careful]
        self._mark([change.path], change.scope, since, trusted)
        careful = CONTENT if change.scope == TREE else ENTRY
        self._mark([change.path], careful, since, (lane for lane in lanes if lane not in trusted))

    # -- what is mounted below -----------------------------------------------------------------------------------

    def look_at_mounts(self) -> None:
        """See what is mounted below. What is missing is left out from now on; what is back or new is made up for."""
        mounted, view = self._mounted(), View(self.watch, self._had_folder)
        replaced = self.mounts.replaced(mounted, view)
        if replaced and self._mounted() != mounted:
            # seen in the middle of a change, of which the kernel will tell
            replaced = frozenset()
        since = min([self._seen_until - _MOMENT, *(self.unseen_since(lane) for lane in self.lanes)])
        unmounted, self._unmounted = self._unmounted, frozenset()
        missing, away = frozenset(self.mounts.missing), unmounted | replaced
        found = self.mounts.look(mounted, view, since, away)
        if not any(found):
            return
        for path in (*found.lost, *(path for path in found.back if path in away and path not in missing)):
            if any(lane.is_sending(path) for lane in self.lanes):
                self.mounts.suspect(path)
        self._leave_out(found.lost)
        for path in (*found.back, *found.new):
            self._watcher.cover(path)
            self._back[path] = found.back.get(path, False)
        for path in (*found.lost, *found.forgotten):
            self._back.pop(path, None)
        # where there is no folder any more that something could be mounted in, there is a deletion
        self._mark([path.rpartition(b"/")[0] for path in found.forgotten], TREE, self._seen_until, self.lanes)
        self._tell_of_mounts(found)

    def _mounted(self) -> Dict[bytes, str]:
        """Return what is mounted below and not excluded: place -> kind."""
        try:
            mounted = below(self.watch)
        except OSError as error:
            log.warning("%s: what is mounted below cannot be seen: %s", self, error)
            return {}
        rules = self.passes.without(frozenset())
        return {path: kind for path, kind in mounted.items() if not rules.hides(path)}

    def _had_folder(self, path: bytes) -> bool:
        """Say whether there is a folder, or may be one once the folder that is mirrored is the watch folder again."""
        is_there = os.path.isdir(join(self.watch, path))
        # asked last, so that it was the right one when it was looked into
        return is_there or not self.lanes or any(lane.estranged for lane in self.lanes) or bool(self._guard.trouble())

    def _tell_of_mounts(self, found: Look) -> None:
        missing = self.mounts.topmost()
        for why in sorted({missing[path] for path in found.lost if path in missing}):
            paths = [path for path in found.lost if missing.get(path) == why]
            log.warning("%s: %s %s; nothing at or below it is sent or deleted until it is back (if it is meant:"
                        " SIGUSR1)", self, shown_paths(paths), why)
        for what, told in (
            ("is mounted; looking for what changed there", found.back),
            ("is newly mounted; sending what is there, deleting nothing", found.new),
            ("was not mounted, and the folder it was in is gone as well", found.forgotten),
        ):
            if told:
                log.info("%s: %s %s", self, shown_paths(told), what)

    def _leave_out(self, lost: Sequence[bytes]) -> None:
        """Take up what is missing by now: those that were lost have gone, others may be there again."""
        self.passes = self.passes.without(frozenset(self.mounts.missing))
        self._watcher.leave_out(self.passes, lost)
        for lane in self.lanes:
            self.mounts.date_back(lane.leave_out(self.passes, lost))
        if not lost:
            return
        self._put_scans_back()
        devices = [self._guard.root.device, *(inner.root.device for inner in self.mounts.known.values())]
        if any(devices.count(self.mounts.known[path].root.device) > 1 for path in lost):
            # a folder that could be seen there may have another place in the tree, and has lost its watch
            self._watcher.cover()

    def _forget_missing_mounts(self) -> None:
        """The user has said that all is as it is meant to be."""
        forgotten = self.mounts.forget_missing()
        self._leave_out([])
        for path in forgotten:
            self._watcher.cover(path)
        self.look_at_mounts()

    def _look_for_changes_in_mounts(self) -> None:
        for path, sure in self._back.items():
            known = self.mounts.known[path]
            if known.since:
                changes = self._changes_since(known.since, path)
                self._scans.append(_Scan(changes, known.since, tuple(self.lanes), careful=not sure, start=path))
            if not known.since or known.lacking:
                self._mark([path], CONTENT, self._seen_until, self.lanes)
                self.on_changed([path], CONTENT)
        self._back = {}
        self.doubt()

    # -- the guard -----------------------------------------------------------------------------------------------

    def root(self) -> Root:
        """Return which folder is taken for the watch folder."""
        return self._guard.root

    def _look_at_root(self, now: float) -> None:
        """Pause all lanes while the watch folder is not the one that it was: a missing disk must not empty mirrors."""
        if self._trouble and now < self._guard_due:
            return
        self._guard_due = now + _GUARD_SECONDS
        trouble = self._guard.trouble()
        if trouble == REPLACED and not any(lane.was_equal for lane in self.lanes):
            # nothing stands at the mirrors on its account yet: a disk was mounted late, most likely
            self._adopt()
        elif trouble:
            advice = " (if it is meant: SIGHUP)" if trouble == REPLACED else ""
            self._pause(trouble, advice)
        elif self._trouble or self._guard.lost:
            self._resume()

    def _pause(self, trouble: str, advice: str = "") -> None:
        if trouble != self._trouble:
            log.error("%s: %s; nothing is pushed or deleted until it is back%s", self, trouble, advice)
        self._trouble = trouble
        self._put_scans_back()
        self._pause_lanes()

    def _pause_lanes(self) -> None:
        for lane in self.lanes:
            lane.paused = bool(self._trouble) or self._emptied.waits

    def _adopt(self) -> None:
        before, self._guard = self._guard, Guard(self.watch)
        if self._watch_again():
            log.info("%s: is another folder than it was, and is taken for it from now on", self)
            self.on_adopted()
        else:
            self._guard = before

    def _resume(self) -> None:
        since = min(self._seen_until, self._shortage.since(time.time(), time.monotonic()))
        how = "is back" if self._trouble else "was gone for a moment"
        # a file system without an id of its own may be another one on the same device
        careful = self._guard.lost and not self._guard.root.file_system
        if not self._watch_again():
            return
        log.info("%s: %s", self, how)
        if self._stopped:
            return
        if careful:
            log.warning("%s: cannot be told from another one on the same device; sending what changed, deleting nothing"
                        " on account of the time it was away (SIGUSR1 makes all equal)", self)
        self.scan_since(since, self.lanes, careful=careful)

    def _watch_again(self) -> bool:
        """Watch what is there now, from the beginning; return False if that must be tried again."""
        if not self._stopped:
            self._unwatch()
            try:
                self._watcher = Watcher(self.watch, self.kinds, self.passes)
            except WatcherError as error:
                self._pause(f"cannot be watched ({error})")
                return False
            self._unmounted = frozenset(self.mounts.known)
            self.start()
        self._trouble, self._guard.lost = "", False
        for lane in self.lanes:
            lane.target = lane.target._replace(root=self._guard.root)
        self._pause_lanes()
        return True

    def _look_for_emptiness(self, now: float) -> None:
        """Let deletions wait while the folder is empty where it was not: that is more often a mishap than a wish."""
        if self._emptied.waits:
            if self._empty_is_meant or self._emptied.is_over(is_empty(self.watch), now):
                self._emptied = Emptied()
                self._pause_lanes()
                log.info("%s: deletions go on", self)
        elif self._would_delete_much() and is_empty(self.watch):
            if self._empty_is_meant:
                return
            log.warning("%s: has become empty; deletions wait until there is something in it again (if it is to be so:"
                        " SIGUSR1)", self)
            self._emptied.begin()
            self._pause_lanes()
        elif self._empty_is_meant:
            self._empty_is_meant = is_empty(self.watch)

    def _would_delete_much(self) -> bool:
        """Say whether more waits to be deleted than a few files, if all that waits is gone."""
        for lane in self.lanes:
            # of the watch folder itself nothing is deleted without its listing
            waiting = (item for item in lane.waiting() if item[0] or item[1].scope & LISTING == LISTING)
            first = list(itertools.islice(waiting if lane.target.delete else (), _FEW + 1))
            if any(path and look(self.watch, path).kind != GONE for path, _ in first):
                continue
            if len(first) > _FEW or any(dirt.scope != ENTRY for _, dirt in first):
                return True
        return False
