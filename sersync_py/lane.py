"""One remote of one watch folder: what is dirty there, the sessions in flight, pacing, retry. Knows no other lane.

A change that comes while the lane is idle goes out at once; what comes while a session runs is the next batch, so
batches grow under load by themselves.
"""

import logging
import os
import time
from typing import Callable, Container, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

from sersync_py import orders
from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Dirt, DirtySet, ancestors
from sersync_py.comparison import Comparison, Request
from sersync_py.filters import Filter
from sersync_py.flights import Flights
from sersync_py.held import Held
from sersync_py.loop import NEVER, Loop
from sersync_py.outcomes import DONE, PARTIAL, Outcome, behind_temporary, less_able
from sersync_py.pacing import Pacing, Throttle, first_pause
from sersync_py.probe import Probe
from sersync_py.pushes import BATCH_PATHS, Batch, Sessions, divide, sessions
from sersync_py.session import Launcher, Session
from sersync_py.tally import LaneTally
from sersync_py.target import CANARY_SECONDS, CONNECT_SECONDS, Target
from sersync_py.trouble import Trouble, reached, worse
from sersync_py.walk import FOLDER, GONE, look, look_inside
from sersync_py.warm import Slots, Warm

__all__ = ["Lane", "shown_paths"]

log = logging.getLogger(__name__)

ABREAST = 3
"""Batches of a lane that may be on their way at a time. One rsync does not keep even two cores busy: 10,000 files of
4 KB took 1.5 s in one session, 0.8 s in two, 0.7 s in three and 1.05 s in four (2 cores, loopback, tmpfs)."""
MUCH_PATHS = 500
"""So many small files are worth a session of their own: the session costs 20 ms of processor time, they cost 35."""
_MOST_MOVED = 1000
LONGEST_REST = 60.0
"""Seconds. A big file that failed rests for as long as it was on its way, but no longer."""
_ROOM = min(os.sysconf("SC_ARG_MAX"), 2 << 20) // 2
"""Bytes that a command may have, the environment besides. The kernel's own limit is 6 MB, if the stack has none."""
SELDOM = 10
"""A tree in which something cannot be read rests for so many times as long as its push took: it may be the whole."""
_CLEAN = Dirt(0, 0.0)
_SHOWN = 3
Settled = Callable[["Lane", Mapping[bytes, Dirt], Container[bytes]], None]


class _Push:
    """A batch in flight: its sessions one after the other."""

    def __init__(self, batch: Batch, steps: Sessions, big: bool, slot: bool) -> None:
        self.batch, self.steps, self.big, self.slot = batch, steps, big, slot
        self.session: Optional[Session] = None
        self.overtaken = False
        """True: a file system that it is about was unmounted, so what it has seen since may not be so."""
        self.asked = batch.asked()


def shown_paths(paths: Iterable[bytes]) -> str:
    """Return the first few paths as a person can read them, control characters escaped."""
    names = list(paths)
    texts = [ascii(name.decode("utf-8", "surrogateescape"))[1:-1] if not _plain(name) else name.decode("utf-8")
             for name in names[:_SHOWN]]
    return ", ".join(text or "./" for text in texts) + (", ..." if len(names) > _SHOWN else "")


def _plain(name: bytes) -> bool:
    try:
        return name.decode("utf-8").isprintable()
    except UnicodeDecodeError:
        return False


class Lane:
    """Mirrors one watch folder to one remote. `step` does all the work; `alarm` says when it is due again."""

    def __init__(
        self, loop: Loop, target: Target, passes: Filter, slots: Slots, launch: Launcher = Session,
    ) -> None:
        self.target, self.passes = target, passes
        self._loop, self._slots, self._launch = loop, slots, launch
        self._dirty = DirtySet()
        self._pushes: List[_Push] = []
        self._held = Held()
        self._moved: Dict[bytes, bytes] = {}
        """Folders that were renamed, new path -> old path, and whose push has not begun."""
        self._pacing = Pacing(first_pause(target.watch + b"\0" + target.destination()))
        self._throttle = Throttle()
        self._trouble: Optional[Trouble] = None
        self._comparison = Comparison(loop, launch)
        self._warm = Warm(loop, launch, slots, target.remote, target.rsync)
        self._probe = Probe(loop, launch)
        self._surplus: Tuple[bytes, ...] = ()
        """What the last comparison found at the remote only; goes with the next push."""
        self._next_start = 0.0
        """Not before this moment is anything that is dirty due."""
        self._turn: Optional[float] = None
        """When it is this lane's turn among all; None: it has not asked."""
        self._much = MUCH_PATHS
        """When so many paths wait, a session is started beside those in flight."""
        self.paused = False
        """True: nothing may be pushed, for the watch folder is not what it was, or has become empty."""
        self.was_equal = False
        """True: the mirror was made equal to this very folder once, so what only the mirror has was deleted here."""
        self.estranged = False
        """True: another folder than this one was mirrored before; nothing is deleted on the word of a comparison."""
        self.in_step_until = 0.0
        """The last moment (wall clock seconds) at which nothing was dirty, known once something is."""
        self.progress = False
        """True: whole-tree pushes report their progress."""
        self._last_heard = b""
        self.tally = LaneTally()
        self.on_settled: Settled = _tell_nobody
        """Called when a push has reached the remote, with what it took and what of that failed."""

    def __str__(self) -> str:
        return self.target.destination().decode("utf-8", "backslashreplace")

    # -- what is to be pushed ------------------------------------------------------------------------------------

    def mark(self, paths: Iterable[bytes], dirt: Dirt) -> None:
        """Make paths dirty; the caller has left out what the filter excludes."""
        if self.in_step():
            self.in_step_until = time.time()
        for path in paths:
            if not self.passes.misses(path):
                self._dirty.mark(path, dirt)
        self._next_start = 0.0

    def leave_out(self, passes: Filter, lost: Sequence[bytes]) -> float:
        """Go by another filter from now on; what is at and below these folders, which it leaves out, waits no longer.

        Pushes that are about them are cut off. Return since when (wall clock) something that is left out was dirty;
        inf: nothing was.
        """
        self.passes = passes
        meets = _meeting(lost)

        def concerns(path: bytes, scope: int) -> bool:
            return passes.misses(path) or meets(path, scope)

        concerned = [(path, dirt) for path, dirt in self.unsent() if concerns(path, dirt.scope)] if lost else []
        for path in [path for path, _ in concerned if passes.misses(path)]:
            self._held.let_go({path: TREE})
            if path in self._dirty:
                self._dirty.take(path)
        for push in self._pushes if lost else ():
            if any(concerns(path, scope) for path, scope in push.asked.items()):
                push.overtaken = True
                if push.session is not None:
                    push.session.cut("a file system was unmounted")
        return min((dirt.since for _, dirt in concerned), default=NEVER)

    def is_sending(self, path: bytes) -> bool:
        """Say whether a push in flight may make a folder, or anything in it, what it is here, or delete it."""
        meets = _meeting([path])
        return any(meets(asked, scope) for push in self._pushes for asked, scope in push.asked.items())

    def moved(self, old: bytes, new: bytes) -> None:
        """Note that a folder was renamed. Both paths are marked besides; this only spares the remote the transfer."""
        if len(self._moved) < _MOST_MOVED:
            self._moved[new] = self._moved.pop(old, old)

    def compare(self, request: Request) -> None:
        """Have the whole tree compared, beside all else, and mark what differs."""
        self._comparison.request = request

    def take_over(self, other: "Lane") -> None:
        """Take what another lane to the same remote has not sent, unless it is excluded by now."""
        for path, dirt in other.unsent():
            if not self.passes.hides(path):
                self.mark([path], dirt)
        self._comparison.request = other._comparison.request
        self.was_equal, self.estranged = other.was_equal, other.estranged
        self.tally = other.tally

    def waiting(self) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield every path that waits to be sent, with its dirt."""
        yield from self._dirty.items()
        yield from self._held.items()

    def unsent(self) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield every path that the remote does not surely have, with its dirt."""
        yield from self.waiting()
        for push in self._pushes:
            yield from push.batch.taken.items()

    def in_step(self) -> bool:
        """Say whether the remote has everything."""
        return not (self._dirty or self._pushes or self._held or self._surplus)

    def expects(self, path: bytes) -> bool:
        """Say whether a change of the path is still to arrive at the remote, and nothing is known to be in its way."""
        if self._trouble is not None or path in self._held:
            return False
        if path in self._dirty or self._dirty.covered(path):
            return True
        return any(
            path in push.batch.taken or any(_scope(push.batch, above) == TREE for above in ancestors(path))
            for push in self._pushes
        )

    def comparing(self) -> bool:
        """Say whether a comparison of the whole tree is due or under way."""
        return self._comparison.request is not None

    def away(self) -> Optional[Tuple[float, float]]:
        """Return since when the remote does not take what it is sent and when it is tried next (monotonic seconds).

        None: it takes it, as far as is known.
        """
        return None if self._trouble is None else (self._trouble.since, self._trouble.next_try)

    def unsent_count(self) -> int:
        """Return how many paths the remote does not surely have."""
        taken = [push.batch.taken for push in self._pushes]
        alone = (path for path, _ in self._held.items() if path not in self._dirty)
        held = sum(not any(path in each for each in taken) for path in alone)
        return len(self._dirty) + sum(map(len, taken)) + held + len(self._surplus)

    def running(self) -> int:
        """Return how many sessions are in flight."""
        return len(self._flying())

    def settled(self) -> bool:
        """Say whether nothing more can be done for now: all is sent, or what is left waits for the remote."""
        return not self._pushes and (self.paused or self._trouble is not None or not self._dirty)

    def owed(self) -> Iterator[Tuple[bytes, int, int]]:
        """Yield (path, scope, exit code * 256) of what failed twice."""
        for path, dirt in self._held.failed_twice():
            yield path, dirt.scope, 23 << 8
        if self._trouble is not None and self._trouble.tries >= 2:
            code = max(self._trouble.outcome.code, 1) << 8
            for path, dirt in self.unsent():
                if path not in self._held:
                    yield path, dirt.scope, code

    def heard(self) -> bytes:
        """Return what a session that reports its progress has said so far, or what the last one said to its end."""
        flying = (push.session for push in self._pushes if push.session is not None)
        return b"".join(each.heard() for each in flying if orders.reports(each.order)) or self._last_heard

    def retry_now(self) -> None:
        """Make everything that waits for a retry due."""
        self._held.retry_now()
        if self._trouble is not None:
            self._trouble = self._trouble._replace(next_try=0.0)

    # -- the work ------------------------------------------------------------------------------------------------

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if no handle is ready before."""
        times = [session.alarm for session in self._flying()]
        times += [self._warm.alarm(), self._probe.alarm()]
        if not self.paused:
            if self._trouble is None:
                times.append(self._held.due())
            times.append(self._due_start())
            times.append(self._comparison.alarm(0.0 if self._trouble is None else self._trouble.next_try))
        return min(times)

    def step(self, now: float) -> None:
        """Look after the sessions in flight and start what can start. `now`: monotonic seconds."""
        for push in list(self._pushes):
            self._advance(push, now)
        self._follow_comparison(now)
        self._warm.step(now)
        if self._probe.finds_nobody(self.target, self._flying(), now):
            for session in self._flying():
                session.cut("no answer any more")
        if self.paused:
            self.drop_warm(now)
            return
        if self._trouble is None or now >= self._trouble.next_try:
            self._comparison.start(self.target, now)
            self._follow_comparison(now)
        self._release_held(now)
        while now >= self._due_start():
            if self._turn is None:
                self._turn = self._slots.turns.take(now)
            else:
                self._start(now)

    def _flying(self) -> List[Session]:
        """Return the sessions that carry something."""
        flying = [push.session for push in self._pushes if push.session is not None]
        return flying + ([self._comparison.session] if self._comparison.session is not None else [])

    def drop_warm(self, now: float) -> None:
        """Keep no session waiting until the next push: it would not know of another watch folder."""
        self._warm.drop(now)

    def end(self, now: float) -> None:
        """Ask the sessions in flight to end."""
        for session in self._flying():
            session.end(now)
        self._probe.end(now)
        self.drop_warm(now)

    def is_over(self, now: float) -> bool:
        """Having been asked to end, look after what is still in flight; say whether nothing is."""
        self._pushes = [push for push in self._pushes if push.session is not None and push.session.step(now) is None]
        self._comparison.step(now)
        return not self._flying() and all([self._probe.is_over(now), self._warm.is_over(now)])

    def _follow_comparison(self, now: float) -> None:
        """Mark what a comparison has found."""
        outcome = self._comparison.step(now)
        if outcome is None or self.paused:
            return
        self._note(outcome, now)
        if outcome.verdict not in (DONE, PARTIAL):
            return
        found, whole = self._comparison.settle(self.target, self.passes, outcome, self._is_arriving)
        if whole:
            self._set_equal()
        self.tally.whole_tree_compared = time.time()
        count = len(found.dirty) + len(found.surplus)
        log.info("%s: whole tree compared, %d paths differ, %.3f s", self, count, outcome.seconds)
        for path, scope in found.dirty.items():
            self.mark([path], Dirt(scope, time.time()))
        self._surplus = found.surplus
        self._next_start = 0.0

    def _is_arriving(self, path: bytes) -> bool:
        """Say whether a path that only the remote has is a file on its way there, under rsync's temporary name."""
        file = behind_temporary(path)
        if file is None:
            return False
        return any(each in push.batch.taken for push in self._pushes for each in (file, *ancestors(file)))

    def _advance(self, push: _Push, now: float) -> None:
        """Take the outcome of a session that has ended, and start the next one of its push or settle the push."""
        while push.session is not None:
            outcome = push.session.step(now)
            if outcome is None:
                return
            if push.overtaken:
                self._remove(push)
                self._put_back(push)
                return
            if orders.reports(push.session.order):
                self._last_heard = outcome.output
            elif not self.progress:
                self._last_heard = b""
            well = outcome.verdict in (DONE, PARTIAL)
            if push.session.was_waiting:
                self._warm.went(well, now)
            # one that had waited may have been dead before it was given anything
            counts = well or push.session.was_cut or not push.session.was_waiting
            if counts:
                self._note(outcome, now)
            self._run_next(push, outcome, now)
            if not counts:
                self._pacing.forget(push.batch.taken)

    def _run_next(self, push: _Push, outcome: Optional[Outcome], now: float) -> None:
        try:
            order = next(push.steps) if outcome is None else push.steps.send(outcome)
        except StopIteration as ended:
            self._remove(push)
            self._settle(push, ended.value, now)
            return
        if self.paused:
            # what stands in the place of the watch folder by now must not be taken for it
            self._remove(push)
            self._put_back(push)
            return
        push.session = self._warm.take(order, push.asked, now)
        if push.session is None:
            push.session = self._launch(self._loop, orders.in_words(order, _ROOM), push.asked, now)
        else:
            self._keep_warm(now)

    def _keep_warm(self, now: float) -> None:
        """Have a session ready for the names that come next."""
        self._warm.keep(orders.push_names(self.target, (), force=not self.passes), now)

    def _remove(self, push: _Push) -> None:
        push.session = None
        self._pushes.remove(push)
        if push.slot:
            self._slots.free += 1

    def _put_back(self, push: _Push) -> None:
        self._surplus = push.batch.surplus or self._surplus
        for path, dirt in push.batch.taken.items():
            if not self.passes.misses(path):
                self._dirty.mark(path, dirt)
        self._next_start = 0.0

    def _batches(self) -> List[_Push]:
        return [push for push in self._pushes if not push.big]

    def _due_start(self) -> float:
        """Return when (monotonic seconds) the next batch may start: at once if none is in flight, or if much waits."""
        if not (self._dirty or self._surplus):
            return NEVER
        flying, due = len(self._batches()), self._throttle.due(self._turn or 0.0)
        if not flying:
            due = max(self._next_start, due)
            return due if self._trouble is None else max(due, self._trouble.next_try)
        if self._trouble is None and flying < ABREAST and self._slots.free and len(self._dirty) >= self._much:
            return due
        return NEVER

    def _most(self, now: float) -> int:
        """Return how many paths the next batch takes: if much waits, not all of it, unless the other lanes are busy."""
        if self._trouble is not None:
            return self._trouble.most
        if self._slots.turns.keep_busy(now):
            return BATCH_PATHS
        return min(BATCH_PATHS, max(MUCH_PATHS, len(self._dirty) // ABREAST))

    def _start(self, now: float) -> None:
        most, beside = self._most(now), bool(self._batches())
        self._next_start, self._turn = NEVER, None
        covered: List[bytes] = []
        batch, big = divide(self.target, self.passes, self._pacing, self._due(now, covered), most)
        # what waits for what is in flight is not looked through again before there is much more of it
        self._much = MUCH_PATHS if 2 * len(batch.taken) > MUCH_PATHS else max(MUCH_PATHS, 2 * len(self._dirty))
        if not beside:
            batch, self._surplus = batch._replace(surplus=self._surplus), ()
        for path in covered:
            if any(batch.taken.get(above, _CLEAN).scope == TREE for above in ancestors(path)):
                batch.taken[path] = self._dirty.take(path)
        moves = tuple((self._moved.pop(path), path) for path in batch.taken if path in self._moved)
        batch = batch._replace(moves=moves)
        for path in big[:max(1, most)]:
            self._start_big(path, now)
        for path in batch.taken:
            if path in self._dirty:
                self._dirty.take(path)
        if batch.names or batch.again or batch.trees or batch.surplus:
            self._slots.free -= beside
            self._launch_push(_Push(batch, self._sessions(batch), False, beside), now)
        elif batch.taken:
            # all of it was gone and deletions are off
            self._next_start = now
            self._let_go(batch)
            self.on_settled(self, batch.taken, ())

    def _due(self, now: float, covered: List[bytes]) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield what is dirty, may be pushed now and does not touch what is in flight.

        What a dirty tree above accounts for goes to `covered` instead.
        """
        flights = Flights(
            (path for push in self._batches() for path in (*push.batch.taken, *push.asked)),
            (path for push in self._pushes if push.big for path in push.batch.taken),
        )
        for path, dirt in self._dirty.items():
            if flights.block(path, dirt.scope):
                continue
            if self._dirty.covered(path):
                covered.append(path)
                continue
            due = self._pacing.due(path, now)
            if due > now:
                self._next_start = min(self._next_start, due)
                continue
            yield path, dirt

    def _start_big(self, path: bytes, now: float) -> None:
        """Start a big file in a session of its own, if there is a slot and no trouble; otherwise it stays dirty."""
        if self._pushes and (self._slots.free < 1 or self._trouble is not None):
            return
        batch = Batch({path: self._dirty.take(path)}, {path: ENTRY}, {}, {})
        self._slots.free -= 1
        self._launch_push(_Push(batch, self._sessions(batch), True, True), now)

    def _sessions(self, batch: Batch) -> Sessions:
        return sessions(self.target, self.passes, batch, self.progress)

    def _launch_push(self, push: _Push, now: float) -> None:
        self._pacing.started(push.batch.taken, now, push.batch.trees)
        self._throttle.started(now)
        self._pushes.append(push)
        self._run_next(push, None, now)
        # what could not even be started, or only pretends to run, is over already
        self._advance(push, now)

    # -- how it went ---------------------------------------------------------------------------------------------

    def _settle(self, push: _Push, outcome: Outcome, now: float) -> None:
        self._pacing.ended((*push.batch.taken, *push.batch.trees), time.time())
        self._next_start, self._much = now, MUCH_PATHS
        if outcome.verdict in (DONE, PARTIAL):
            self._settle_reached(push, outcome, now)
        else:
            self._put_back(push)

    def _settle_reached(self, push: _Push, outcome: Outcome, now: float) -> None:
        whole = push.batch.trees.get(ROOT) == TREE
        paths = (*push.asked, *push.batch.surplus)
        failed = self._failed(push, outcome)
        skipped = self._skipped(push, outcome, failed)
        undone = {**failed, **skipped}
        log.info(
            "%s: pushed %s (%s), %d bytes, %.3f s%s", self, "the whole tree" if whole else len(paths),
            shown_paths(paths), outcome.sent, outcome.seconds, f", {len(failed)} failed" if failed else "",
        )
        if whole and outcome.verdict == DONE:
            self._set_equal()
        if push.batch.trees.get(ROOT) in (TREE, CONTENT):
            self.tally.whole_tree_pushed = time.time()
        self._let_go(push.batch, undone)
        self._hold(push, failed, outcome, now)
        if skipped:
            self._hold_skipped(skipped, failed, outcome, now)
        self._keep_warm(now)
        self._mark_replaced(push.batch)
        if push.big:
            # sessions beside this one may have left the folder's time older than it is
            parent = next(iter(push.batch.taken)).rpartition(b"/")[0]
            self._dirty.mark(parent, Dirt(ENTRY, time.time()))
        self.on_settled(self, push.batch.taken, undone)

    def _mark_replaced(self, batch: Batch) -> None:
        """Make dirty again what was to go with all below it, went alone because it was a file, and is a folder by now.

        rsync may have found that folder already, and then has left below it what the remote had there before.
        """
        trees = {path for path, scope in batch.trees.items() if scope == TREE}
        known: Dict[bytes, str] = {}
        for path, dirt in batch.taken.items():
            if dirt.scope == ENTRY:
                continue
            sent = batch.names.get(path, 0) | batch.again.get(path, 0) | batch.trees.get(path, 0)
            if dirt.scope | sent == sent or any(above in trees for above in ancestors(path)):
                continue
            if look_inside(self.target.watch, path, known).kind == FOLDER:
                self._dirty.mark(path, dirt)

    def _set_equal(self) -> None:
        self.was_equal, self.estranged = True, False

    def _let_go(self, batch: Batch, failed: Iterable[bytes] = ()) -> None:
        """Hold no longer what has gone through as far below as it was held."""
        if not self._held:
            return
        scopes = batch.asked()
        for path, dirt in batch.taken.items():
            scopes[path] = scopes.get(path, 0) | dirt.scope
        self._held.let_go(scopes, frozenset(failed))

    def _failed(self, push: _Push, outcome: Outcome) -> Dict[bytes, Dirt]:
        """Return the paths that failed, with the dirt that they keep."""
        if outcome.verdict != PARTIAL:
            return {}
        since = _oldest(push)
        all_of_it = {path: Dirt(scope | _scope(push.batch, path), since) for path, scope in push.asked.items()}
        if outcome.failed is None:
            return all_of_it
        result = {}
        for path in outcome.failed:
            if self._is_no_part_of(push, path):
                continue
            scope = self._failed_scope(push, path)
            if self.passes and self.target.delete and look(self.target.watch, path).kind != FOLDER:
                # a folder may stand in its way that must be emptied with care
                scope = TREE
            # what went as a file may be a folder when it goes again
            result[path] = Dirt(scope | _scope(push.batch, path), since)
        return result if result or not outcome.failed else all_of_it

    @staticmethod
    def _skipped(push: _Push, outcome: Outcome, failed: Container[bytes]) -> Dict[bytes, Dirt]:
        """Return the folders in which nothing was deleted, with the dirt that they keep."""
        if not outcome.skipped:
            # so it is of nearly every push
            return {}
        since = _oldest(push)
        return {path: Dirt(push.asked[path] | _scope(push.batch, path), since)
                for path in outcome.skipped if path not in failed}

    def _hold_skipped(
        self, skipped: Mapping[bytes, Dirt], failed: Iterable[bytes], outcome: Outcome, now: float
    ) -> None:
        """Keep folders for another try: soon without what failed, or seldom where that lies in them."""
        above = {folder for path in failed for folder in ancestors(path)}
        stuck = {path: dirt for path, dirt in skipped.items() if path in above and dirt.scope & CONTENT == CONTENT}
        self._held.add(stuck, now, max(LONGEST_REST, SELDOM * outcome.seconds))
        self._held.add_hopeful({path: dirt for path, dirt in skipped.items() if path not in stuck}, now)

    def _is_no_part_of(self, push: _Push, path: bytes) -> bool:
        """Say whether a path that an error was read to be about is not here and was not to be deleted either."""
        scopes = [push.asked[each] for each in (path, *ancestors(path)) if each in push.asked]
        return scopes[:1] == [CONTENT] and look(self.target.watch, path).kind == GONE

    def _failed_scope(self, push: _Push, path: bytes) -> int:
        """Return how far below a failed path its dirt reaches; of a folder in a tree nothing below may have gone."""
        if path in push.asked:
            return push.asked[path]
        above = next((push.asked[folder] for folder in ancestors(path) if folder in push.asked), ENTRY)
        return above if look(self.target.watch, path).kind == FOLDER else ENTRY

    def _hold(self, push: _Push, failed: Dict[bytes, Dirt], outcome: Outcome, now: float) -> None:
        """Keep what failed for a retry; say what failed twice."""
        # what does not fit the remote's disk shall not keep the network busy
        again = self._held.add(failed, now, min(outcome.seconds, LONGEST_REST) if push.big else 0.0)
        if again:
            log.warning(
                "%s: %d of %d paths failed twice and are tried again and again (%s): %s",
                self, len(again), len(push.asked), shown_paths(again), outcome.why(),
            )

    def _release_held(self, now: float) -> None:
        """Make some of what is held dirty again once it is due; it stays held until it has gone through."""
        if self._trouble is None:
            for path, dirt in self._held.release(now, self._flies):
                self._dirty.mark(path, dirt)

    def _flies(self, path: bytes) -> bool:
        return any(path in push.batch.taken for push in self._pushes)

    def _note(self, outcome: Outcome, now: float) -> None:
        """Learn from a session's outcome whether the remote takes what it is sent."""
        self.tally.note(outcome, time.time())
        if outcome.verdict in (DONE, PARTIAL):
            self._note_reached(now)
            return
        less = less_able(self.target, outcome)
        if less is not None:
            self.target, why = less
            log.info("%s: %s", self, why)
            return
        self._trouble, is_new = worse(self._trouble, outcome, now)
        self.target = self.target._replace(connect_seconds=CANARY_SECONDS)
        self._warm.drop(now)
        self._warm.heed(outcome)
        if is_new:
            log.warning("%s: away: %s; changes wait and it is tried again", self, outcome.why())

    def _note_reached(self, now: float) -> None:
        known = self._trouble
        if known is None:
            return
        self._trouble = reached(known, len(self._dirty), BATCH_PATHS, now)
        if self._trouble is None:
            self.target = self.target._replace(connect_seconds=CONNECT_SECONDS)
            if known.said:
                log.info("%s: back after %.1f s, %d paths to send", self, now - known.since, len(self._dirty))
            self.retry_now()


def _tell_nobody(_lane: Lane, _taken: Mapping[bytes, Dirt], _failed: Container[bytes]) -> None:
    """Stand in for whoever wants to know of pushes."""


def _meeting(places: Iterable[bytes]) -> Callable[[bytes, int], bool]:
    """Return what says whether a push of a path, as far as its scope reaches, is about folders or what is in them."""
    inside = frozenset(places)
    parents = {path.rpartition(b"/")[0] for path in inside}
    above = {each for path in inside for each in ancestors(path)}

    def meets(path: bytes, scope: int) -> bool:
        # where such a folder has gone as well, its parent's listing lacks it
        listed = path in parents and scope & LISTING == LISTING
        return listed or (path in above and scope & CONTENT == CONTENT) or path in inside or any(
            each in inside for each in ancestors(path))

    return meets


def _oldest(push: _Push) -> float:
    """Return since when (wall clock seconds) the remote may differ in what a push carries."""
    return min((dirt.since for dirt in push.batch.taken.values()), default=time.time())


def _scope(batch: Batch, path: bytes) -> int:
    """Return how far below a path its dirt reached when the batch took it; 0: it was not taken itself."""
    return batch.taken.get(path, _CLEAN).scope
