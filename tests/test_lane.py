"""One lane under a scripted remote and a clock that the test moves: when what goes, and that nothing is ever lost."""

import os
import shutil
import tempfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_mirror import write

from sersync_py import orders
from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE, Dirt, ancestors
from sersync_py.comparison import Request
from sersync_py.filters import Filter
from sersync_py.lane import ABREAST, LONGEST_REST, MUCH_PATHS, Lane
from sersync_py.loop import NEVER
from sersync_py.outcomes import AWAY, DONE, HOPELESS, PARTIAL, Outcome
from sersync_py.pushes import BIG_BYTES
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target
from sersync_py.warm import Slots

FINE = Outcome(DONE, 0)
GONE_AWAY = Outcome(AWAY, 10, "connection refused")


class Scripted:
    """A session that ends when the test says so, and as it says."""

    def __init__(self, order, number):
        self.order, self.number = order, number
        self.names = [name[2:].rstrip(b"/") for name in orders.names(order)]
        self.alarm, self.outcome, self.told_to_end = NEVER, None, False
        self.was_waiting = self.was_cut = False

    def step(self, _now):
        return self.outcome

    def heard(self):
        return b""

    def quiet(self, _now):
        return 0.0

    def end(self, _now):
        self.told_to_end = True

    def cut(self, _why):
        self.was_cut = True


class Rig:
    """A lane, its sessions and its clock. `outcome`: what each session ends with at once; None: it is left running."""

    def __init__(self, watch, delete=True, slots=10, outcome=None):
        self.now, self.outcome, self.sessions = 1000.0, outcome, []
        target = Target(watch, Remote("host", "m"), Rsync(warm=None), delete)
        self.slots = Slots(slots)
        self.lane = Lane(None, target, Filter(), self.slots, self.launch)

    def launch(self, _loop, order, _known, _now):
        session = Scripted(order, len(self.sessions))
        session.outcome = self.outcome
        self.sessions.append(session)
        return session

    def mark(self, *paths, scope=ENTRY, since=1.0):
        self.lane.mark(paths, Dirt(scope, since))
        self.lane.step(self.now)

    def flying(self):
        return [session for session in self.sessions if session.outcome is None]

    def end(self, outcome=FINE, session=None):
        (session or self.flying()[0]).outcome = outcome
        self.lane.step(self.now)

    def go(self, seconds):
        """Let time pass as the loop does: from alarm to alarm."""
        until = self.now + seconds
        for _ in range(10000):
            self.now = min(until, max(self.now, self.lane.alarm()))
            self.lane.step(self.now)
            if self.now >= until:
                return
        raise AssertionError("the lane's alarm makes the loop spin")

    def sent(self):
        return [session.names for session in self.sessions]


@pytest.fixture
def watch(source):
    for name in (b"a", b"b", b"c", b"folder/x", b"folder/y"):
        write(source, name)
    return source


@pytest.fixture
def rig(watch):
    return Rig(watch)


def test_an_idle_lane_sends_a_change_at_once(rig):
    """No timer, no quiet time."""
    assert rig.lane.in_step()
    assert rig.lane.alarm() == NEVER
    rig.mark(b"a")
    assert rig.sent() == [[b"a"]]
    assert not rig.lane.in_step()
    rig.end()
    assert rig.lane.in_step()


def test_what_comes_while_a_session_runs_is_the_next_batch(rig):
    """However many come: two sessions in all."""
    rig.mark(b"a")
    rig.mark(b"b")
    rig.mark(b"c", b"gone")
    assert rig.sent() == [[b"a"]]
    rig.end()
    assert rig.sent() == [[b"a"], [b"b", b"c", b"gone"]]


def test_what_a_whole_tree_push_reported_last_is_known_whatever_is_sent_after_it(rig):
    """Until there is nobody any more who asks for it."""
    rig.lane.progress = True
    rig.mark(ROOT, scope=TREE)
    rig.mark(b"a")
    rig.end(FINE._replace(output=b"200 of 200"))
    rig.go(1.0)
    assert rig.sent()[1:] == [[b"a"]]
    assert rig.lane.heard() == b"200 of 200"
    rig.end(FINE._replace(output=b"statistics"))
    assert rig.lane.heard() == b"200 of 200"
    rig.lane.progress = False
    rig.mark(b"b")
    rig.end()
    assert rig.lane.heard() == b""


def test_a_change_of_what_is_being_sent_is_sent_again(rig):
    """It may have been read before the change."""
    rig.mark(b"a")
    rig.mark(b"a")
    rig.end()
    assert not rig.lane.in_step()
    rig.go(1.0)
    assert rig.sent() == [[b"a"], [b"a"]]


def test_a_hot_path_goes_at_a_bounded_rate_and_a_calm_one_at_once(watch):
    """Ten seconds of writing without a pause."""
    rig = Rig(watch, outcome=FINE)
    for _ in range(2000):
        rig.mark(b"a")
        rig.go(0.005)
    assert 8 <= len(rig.sessions) <= 15
    rig.mark(b"b")
    assert rig.sent()[-1] == [b"b"]
    rig.go(1.1)
    assert rig.lane.in_step()


def test_a_remote_that_is_away_is_tried_every_two_seconds_at_most_with_a_single_path(watch):
    """The first retry soon; a try costs one small session, whatever waits."""
    rig = Rig(watch, outcome=GONE_AWAY)
    rig.mark(b"a", b"b", b"c")
    assert rig.sent() == [[b"a", b"b", b"c"]]
    starts = []
    for _ in range(1000):
        before = len(rig.sessions)
        rig.go(0.01)
        starts += [rig.now] * (len(rig.sessions) - before)
    assert 0.4 <= starts[0] - 1000.0 <= 0.6
    pauses = [later - earlier for earlier, later in zip(starts, starts[1:])]
    assert max(pauses) <= 2.05
    assert min(pauses) >= 0.5
    assert all(len(names) == 1 for names in rig.sent()[1:])
    assert {path for path, _ in rig.lane.unsent()} == {b"a", b"b", b"c"}


def test_changes_do_not_wake_a_remote_that_is_away(watch):
    """A thousand events in a second are no thousand sessions."""
    rig = Rig(watch, outcome=GONE_AWAY)
    for number in range(1000):
        rig.mark(b"new %d" % number)
        rig.go(0.001)
    assert len(rig.sessions) <= 3


def test_a_remote_that_is_back_gets_more_with_each_success(watch):
    """One path, then ten, then a hundred; then it is trusted again."""
    rig = Rig(watch, outcome=GONE_AWAY)
    rig.mark(*[b"%d" % number for number in range(500)])
    rig.go(0.3)
    rig.outcome = FINE
    rig.go(3.0)
    sizes = [len(names) for names in rig.sent()]
    assert sizes[0] == 500
    assert sizes[1:4] == [1, 10, 100]
    assert sum(sizes[1:]) == 500
    assert rig.lane.in_step()


def test_a_path_that_fails_alone_is_held_and_tried_again_while_others_go_on(rig):
    """It holds nothing up, is owed after the second failure, and goes when it can."""
    denied = Outcome(PARTIAL, 23, "denied", frozenset([b"a"]))
    rig.mark(b"a", b"b")
    rig.end(denied)
    assert {path for path, _ in rig.lane.unsent()} == {b"a"}
    assert list(rig.lane.owed()) == []
    rig.mark(b"c")
    assert rig.sent()[-1] == [b"c"]
    rig.end()
    rig.go(0.6)
    assert rig.sent()[-1] == [b"a"]
    rig.end(denied)
    assert list(rig.lane.owed()) == [(b"a", ENTRY, 23 << 8)]
    rig.go(2.5)
    rig.end()
    assert rig.lane.in_step()
    assert list(rig.lane.owed()) == []


def test_a_held_path_does_not_keep_the_loop_busy_while_the_remote_is_away(rig):
    """Its retry waits for the remote's return, however long that takes."""
    rig.mark(b"a", b"b")
    rig.end(Outcome(PARTIAL, 23, "denied", frozenset([b"a"])))
    rig.outcome = GONE_AWAY
    rig.mark(b"c")
    rig.lane.retry_now()
    rig.go(60.0)
    rig.outcome = FINE
    rig.go(10.0)
    assert rig.lane.in_step()


def test_a_folder_whose_deletions_were_skipped_goes_again_without_what_cannot_be_read(rig):
    """That fails each time, and would keep the other from ever being made equal."""
    rig.mark(b"a")
    rig.mark(b"folder", scope=LISTING, since=2.0)
    rig.mark(b"b", since=3.0)
    told = settled(rig)
    rig.end()
    (both,) = rig.flying()
    rig.end(Outcome(PARTIAL, 23, "denied", frozenset([b"b"]), frozenset([b"folder"])), both)
    assert told[-1][2] == [b"b", b"folder"]
    assert (b"folder", Dirt(LISTING, 2.0)) in rig.lane.unsent()
    assert not list(rig.lane.owed())
    for _ in range(12):
        rig.go(0.5)
        for session in rig.flying():
            rig.end(Outcome(PARTIAL, 23, "denied", frozenset([b"b"])) if b"b" in session.names else FINE, session)
    assert {path for path, _ in rig.lane.unsent()} == {b"b"}


@pytest.mark.parametrize(("seconds", "rest"), [(1.0, LONGEST_REST), (30.0, 300.0)])
def test_a_tree_in_which_something_cannot_be_read_goes_again_now_and_then(rig, seconds, rest):
    """Until then nothing is deleted in it; it may be the whole tree, so it must not be on its way all the time."""
    rig.mark(ROOT, scope=TREE)
    for attempt in range(1, 5):
        unreadable = frozenset([b"folder/x"])
        for session in rig.flying():
            rig.end(Outcome(PARTIAL, 23, "denied", unreadable, {ROOT} - unreadable, seconds=seconds)
                    if ROOT in session.names else Outcome(PARTIAL, 23, "denied", unreadable), session)
        for _ in range(int(rest * 2) - 1):
            rig.go(0.5)
            for session in rig.flying():
                rig.end(Outcome(PARTIAL, 23, "denied", unreadable), session)
        assert sum(ROOT in names for names in rig.sent()) == attempt
        while sum(ROOT in names for names in rig.sent()) == attempt:
            rig.go(0.1)
            for session in rig.flying():
                if ROOT not in session.names:
                    rig.end(Outcome(PARTIAL, 23, "denied", unreadable), session)
    rig.outcome = FINE
    for session in rig.flying():
        rig.end(FINE, session)
    rig.go(3.0)
    assert rig.lane.in_step()


@pytest.mark.parametrize(("seconds", "rest"), [(30.0, 30.0), (500.0, LONGEST_REST)])
def test_a_big_file_that_failed_rests_for_as_long_as_it_was_on_its_way(watch, rig, seconds, rest):
    """One that does not fit the remote's disk would keep the network busy."""
    with open(write(watch, b"big"), "wb") as file:
        file.truncate(BIG_BYTES)
    rig.mark(b"big")
    for attempt in range(1, 5):
        rig.go(seconds)
        rig.end(Outcome(PARTIAL, 23, "No space left on device", frozenset([b"big"]), seconds=seconds))
        # its folder's time
        rig.end()
        rig.go(rest - 0.01)
        assert rig.sent().count([b"big"]) == attempt
        rig.go(0.02)
        assert rig.sent().count([b"big"]) == attempt + 1


def test_a_failure_that_cannot_be_put_down_to_a_path_keeps_them_all(rig):
    """Nothing is taken for pushed that may not be."""
    rig.mark(b"a", b"b")
    rig.end(Outcome(PARTIAL, 23, "strange", None))
    assert {path for path, _ in rig.lane.unsent()} == {b"a", b"b"}


def test_a_folder_that_failed_in_a_tree_is_tried_again_with_all_below_it(rig):
    """It could not be read: not even a name in it has been sent."""
    rig.mark(ROOT, scope=TREE)
    rig.end(Outcome(PARTIAL, 23, "opendir failed", frozenset([b"folder", b"a"])))
    assert dict(rig.lane.unsent()) == {b"folder": Dirt(TREE, 1.0), b"a": Dirt(ENTRY, 1.0)}


def test_a_push_that_a_pause_cuts_short_goes_on_after_it(rig):
    """Between two sessions of one push the watch folder was gone for a moment."""
    rig.mark(b"a")
    rig.mark(b"b")
    rig.mark(b"folder", scope=TREE)
    rig.end()
    rig.lane.paused = True
    rig.end()
    rig.lane.paused = False
    rig.outcome = FINE
    rig.go(3.0)
    assert rig.lane.in_step()


def test_what_waits_for_a_remote_twice_in_vain_is_owed(watch):
    """With the exit code as a wait status, as sersync2 wrote it."""
    rig = Rig(watch, outcome=Outcome(AWAY, 12))
    rig.mark(b"a", b"gone")
    assert list(rig.lane.owed()) == []
    rig.go(1.0)
    assert sorted(rig.lane.owed()) == [(b"a", ENTRY, 12 << 8), (b"gone", ENTRY, 12 << 8)]


def test_a_big_file_does_not_hold_up_small_ones(rig, watch):
    """It has a session of its own; changes beside it go at once, a change of itself waits for it."""
    with open(os.path.join(watch, b"folder/big"), "wb") as file:
        file.truncate(BIG_BYTES)
    rig.mark(b"folder/big", b"a")
    assert sorted(rig.sent()) == [[b"a"], [b"folder/big"]]
    big = next(session for session in rig.sessions if session.names == [b"folder/big"])
    rig.end(session=next(session for session in rig.sessions if session is not big))
    rig.mark(b"folder/x")
    assert rig.sent()[-1] == [b"folder/x"]
    rig.end(session=rig.sessions[-1])
    rig.mark(b"folder/big")
    rig.go(2.0)
    assert sum(b"folder/big" in names for names in rig.sent()) == 1
    assert rig.slots.free == 9
    rig.end(session=big)
    assert rig.slots.free >= 9

def many(number, folder="folder"):
    return [f"{folder}/{index}".encode() for index in range(number)]


def test_much_goes_in_several_sessions_at_a_time_and_no_path_in_two(rig, watch):
    """One rsync alone does not keep the machines busy. What is left when all are under way is the next batch."""
    names = many(4 * MUCH_PATHS)
    for name in names:
        write(watch, name)
    rig.mark(*names)
    assert len(rig.flying()) == ABREAST
    sent = [name for batch in rig.sent() for name in batch]
    assert len(sent) == len(set(sent)) < len(names)
    while rig.flying():
        rig.end()
    rig.go(1.0)
    while rig.flying():
        rig.end()
    assert rig.lane.in_step()
    assert sorted(name for batch in rig.sent() for name in batch) == sorted(names)


def test_a_lane_among_many_waits_for_its_turn_and_then_takes_all_there_is(rig, watch):
    """Sessions beside each other are no gain where those of other lanes keep the machine busy."""
    turns = [rig.slots.turns.take(rig.now) for _ in range(50)]
    names = many(2 * MUCH_PATHS)
    for name in names[:-1]:
        write(watch, name)
    rig.mark(*names[:-1])
    assert rig.sent() == []
    assert rig.lane.alarm() > turns[-1]
    rig.go((turns[-1] - rig.now) / 2)
    assert rig.sent() == []
    write(watch, names[-1])
    rig.mark(names[-1])
    rig.now = rig.lane.alarm()
    many_more = [rig.slots.turns.take(rig.now) for _ in range(10)]
    rig.lane.step(rig.now)
    assert [sorted(sent) for sent in rig.sent()] == [sorted(names)]
    rig.end()
    assert rig.lane.in_step()
    assert many_more[-1] < rig.slots.turns.take(rig.now) < many_more[-1] + 2 * rig.slots.turns.pause


def test_a_session_whose_errors_were_all_harmless_leaves_nothing_to_be_sent_again(rig):
    """Something vanished on the way, say."""
    rig.mark(b"a", b"b")
    rig.end(Outcome(PARTIAL, 23, failed=frozenset()))
    assert rig.lane.in_step()


def test_an_error_that_is_read_to_be_about_nothing_that_is_here_makes_all_go_again(rig):
    """Nothing was to be deleted, so what is not here cannot be what failed."""
    rig.mark(ROOT, scope=CONTENT)
    rig.end(Outcome(PARTIAL, 23, failed=frozenset([b"in m"])))
    assert not rig.lane.in_step()
    rig.go(1.0)
    assert rig.sent() == [[b""], [b""]]


def test_what_is_above_or_below_something_under_way_waits_for_it(rig, watch):
    """A folder's deletion must not meet a file on its way into it."""
    names = many(2 * MUCH_PATHS)
    for name in names:
        write(watch, name)
    rig.mark(*names)
    assert len(rig.flying()) == 2
    shutil.rmtree(os.path.join(watch, b"folder"))
    rig.mark(b"folder", *many(MUCH_PATHS, "elsewhere"))
    assert all(name != b"folder" for batch in rig.sent() for name in batch)
    while rig.flying():
        rig.end()
    rig.go(1.0)
    assert any(b"folder" in batch for batch in rig.sent())


def test_a_second_session_takes_a_slot_and_gives_it_back(watch):
    """`-n` bounds what runs beside the first session of each lane."""
    rig = Rig(watch, slots=1)
    for name in many(3 * MUCH_PATHS):
        write(watch, name)
    rig.mark(*many(3 * MUCH_PATHS))
    assert len(rig.flying()) == 2
    assert rig.slots.free == 0
    while rig.flying():
        rig.end()
    assert rig.slots.free == 1


def test_much_that_must_wait_is_not_looked_through_with_each_change(rig, watch):
    """While a whole-tree push is under way nothing else goes, however much there is."""
    rig.mark(ROOT, scope=TREE)
    names = many(MUCH_PATHS)
    rig.mark(*names)
    looks = []
    rig.lane._due = lambda now, covered: looks.append(now) or iter(())
    for name in names[:50]:
        rig.mark(name)
    assert len(looks) <= 1
    assert rig.lane.alarm() > rig.now


def test_a_comparison_that_is_asked_for_while_another_is_under_way_follows_it(rig):
    """The first may leave out what the second does not."""
    rig.lane.compare(Request(excludes=("*.php",)))
    rig.lane.step(rig.now)
    rig.lane.compare(Request())
    rig.end()
    assert rig.lane.comparing()
    assert b"--exclude=*.php" not in rig.flying()[0].order.argv
    rig.end()
    assert not rig.lane.comparing()


def test_a_tree_waits_for_what_is_in_flight_below_it(rig, watch):
    """Two sessions never touch the same path, nor a folder and what is in it."""
    with open(os.path.join(watch, b"folder/big"), "wb") as file:
        file.truncate(BIG_BYTES)
    rig.mark(b"folder/big")
    rig.mark(b"folder", scope=TREE)
    rig.mark(ROOT, scope=TREE)
    rig.go(3.0)
    assert rig.sent() == [[b"folder/big"]]
    rig.end()
    rig.go(3.0)
    assert [b""] in rig.sent()


def test_a_paused_lane_starts_nothing_and_forgets_nothing(rig):
    """The watch folder is not there: nothing may be deleted for that."""
    rig.lane.paused = True
    rig.mark(b"a")
    rig.go(5.0)
    assert rig.sent() == []
    assert rig.lane.alarm() == NEVER
    rig.lane.paused = False
    rig.lane.step(rig.now)
    assert rig.sent() == [[b"a"]]


def test_with_deletions_off_what_is_gone_is_settled_without_a_session(watch):
    """And the lane does not spin on it."""
    rig = Rig(watch, delete=False)
    rig.mark(b"gone")
    rig.go(1.0)
    assert rig.sent() == []
    assert rig.lane.in_step()


def test_at_the_end_its_sessions_are_asked_to_end(rig):
    """All of them."""
    rig.mark(b"a")
    rig.lane.end(rig.now)
    assert rig.sessions[0].told_to_end


def test_another_lane_takes_over_all_that_is_not_sent(rig, watch):
    """What waits, what is in flight, what is held; with the moments since when."""
    rig.mark(b"a", b"b", since=5.0)
    rig.end(Outcome(PARTIAL, 23, "denied", frozenset([b"a"])))
    rig.mark(b"c", since=6.0)
    rig.mark(b"folder", scope=TREE, since=7.0)
    heir = Rig(watch)
    heir.lane.take_over(rig.lane)
    assert dict(heir.lane.unsent()) == {b"a": Dirt(ENTRY, 5.0), b"c": Dirt(ENTRY, 6.0), b"folder": Dirt(TREE, 7.0)}


def test_it_is_settled_when_nothing_more_can_be_done_for_now(rig):
    """Which ends the wait at SIGTERM: all sent, or what is left waits for the remote."""
    assert rig.lane.settled()
    rig.mark(b"a")
    assert not rig.lane.settled()
    rig.end(GONE_AWAY)
    assert rig.lane.settled()
    assert not rig.lane.in_step()


@pytest.mark.parametrize(("path", "scope", "concerned"), [
    (b"p/disk", ENTRY, True), (b"p/disk/x", ENTRY, True), (b"p", LISTING, True), (b"p", TREE, True),
    (b"p", CONTENT, True), (ROOT, TREE, True), (ROOT, LISTING, False), (b"p", ENTRY, False), (b"p/other", TREE, False),
    (b"p/disk2", TREE, False),
])
def test_a_push_that_may_meet_an_unmounted_disk_is_known_and_cut_off(source, path, scope, concerned):
    """Of the folder that it was mounted in the listing is enough: automounters remove the mount point as well."""
    for name in (b"p/disk/x", b"p/other/x", b"p/disk2/x"):
        write(source, name)
    rig = Rig(source)
    rig.mark(path, scope=scope, since=3.0)
    assert rig.lane.is_sending(b"p/disk") == concerned
    (session,) = rig.flying()
    rig.lane.leave_out(Filter().without(frozenset([b"p/disk"])), [b"p/disk"])
    assert session.was_cut == concerned


# ---- nothing is ever lost --------------------------------------------------------------------------------------------

PATHS = (b"a", b"b", b"folder", b"folder/x", b"folder/y", b"gone", b"folder/gone", ROOT)
MARK = st.tuples(st.just("mark"), st.lists(st.sampled_from(PATHS), min_size=1, max_size=3),
                 st.sampled_from([ENTRY, ENTRY, ENTRY, CONTENT, TREE]))
END = st.tuples(st.just("end"), st.integers(0, 3), st.one_of(
    st.sampled_from(["done", "away", "hopeless", "unclear"]), st.sets(st.sampled_from(PATHS), min_size=1, max_size=2)))
TIME = st.tuples(st.just("time"), st.sampled_from([0.0, 0.01, 0.2, 0.7, 3.0]))
PAUSE = st.tuples(st.just("pause"), st.booleans())
RETRY = st.tuples(st.just("retry"))


class World:
    """The lane and beside it the plain truth: which paths the remote surely has."""

    def __init__(self, watch):
        self.rig = Rig(watch)
        self.marked = []
        """(path, scope, since, number of sessions that had been started by then) of each mark that has not arrived."""
        self.clock = 0.0

    def mark(self, paths, scope):
        self.clock += 1
        for path in paths:
            self.marked.append((path, scope, self.clock, len(self.rig.sessions)))
        self.rig.mark(*paths, scope=scope, since=self.clock)

    def end(self, index, how):
        flying = self.rig.flying()
        if not flying:
            return
        session = flying[index % len(flying)]
        if isinstance(how, (set, frozenset)):
            failed = frozenset(path for path in how if self.carries(session, path, ENTRY))
            # as the messages are understood: a folder that failed takes along what was asked for below it
            failed |= {name for name in session.names if failed & set(ancestors(name))}
            outcome = Outcome(PARTIAL, 23, "denied", failed) if failed else FINE
        else:
            failed = frozenset()
            outcome = {"done": FINE, "away": GONE_AWAY, "hopeless": Outcome(HOPELESS, 1, "usage"),
                       "unclear": Outcome(PARTIAL, 23, "strange", None)}[how]
        if outcome.verdict in (DONE, PARTIAL) and outcome.failed is not None:
            self.marked = [left for mark in self.marked for left in self.left(mark, session, failed)]
        self.rig.end(outcome, session)

    def left(self, mark, session, failed):
        """Return what is left of a mark after a session that has ended so."""
        path, scope, since, started = mark
        if session.number < started or not self.carries(session, path, scope):
            return [mark]
        if path in failed or failed & set(ancestors(path)):
            return [mark]
        if scope == ENTRY:
            # it was about the folder itself, not about what is below it
            return []
        return [(name, scope if name == b"folder" else ENTRY, since, len(self.rig.sessions))
                for name in failed if path in ancestors(name)]

    @staticmethod
    def carries(session, path, scope):
        """Say whether a session makes a path right to the given scope."""
        argv = session.order.argv
        recursive, deletes = b"-r" in argv, b"--delete" in argv
        if path in session.names:
            enough = scope == ENTRY or (recursive and (deletes or scope == CONTENT))
            return enough or path in (b"a", b"b", b"gone", b"folder/x", b"folder/y", b"folder/gone")
        if recursive and any(above in session.names for above in ancestors(path)):
            return deletes or (scope != TREE and path not in (b"gone", b"folder/gone"))
        return False

    def check(self):
        unsent = {}
        for path, dirt in self.rig.lane.unsent():
            known = unsent.get(path)
            unsent[path] = Dirt(dirt.scope | known.scope, min(dirt.since, known.since)) if known else dirt
        for path, scope, since, _ in self.marked:
            enough = {TREE} if scope == TREE or path in (b"gone", b"folder/gone") else {TREE, CONTENT}
            covering = [unsent[at] for at in (path, *ancestors(path))
                        if at in unsent and (at == path or unsent[at].scope in enough)]
            assert covering, f"{path!r} is lost"
            assert min(dirt.since for dirt in covering) <= since, f"{path!r}: a mark on disk would be too new"
            if path in (b"folder", ROOT):
                assert any(dirt.scope & scope == scope for dirt in covering), f"{path!r}: the scope is lost"
        assert len({name for session in self.rig.flying() for name in session.names}) == sum(
            len(session.names) for session in self.rig.flying()), "two sessions carry the same path"


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(MARK, MARK, END, END, TIME, PAUSE, RETRY), max_size=40))
def test_whatever_happens_every_mark_has_arrived_or_is_still_known(actions):
    """And once the remote takes what it is sent, all is through within seconds, without a busy loop."""
    top = tempfile.mkdtemp()
    try:
        watch = os.fsencode(top)
        for name in (b"a", b"b", b"folder/x", b"folder/y"):
            write(watch, name)
        world = World(watch)
        for action in actions:
            if action[0] == "mark":
                world.mark(*action[1:])
            elif action[0] == "end":
                world.end(*action[1:])
            elif action[0] == "time":
                world.rig.go(action[1])
            elif action[0] == "pause":
                world.rig.lane.paused = action[1]
                world.rig.lane.step(world.rig.now)
            else:
                world.rig.lane.retry_now()
                world.rig.lane.step(world.rig.now)
            world.check()
        world.rig.lane.paused = False
        for _ in range(60):
            while world.rig.flying():
                world.end(0, "done")
            world.rig.go(0.5)
        assert world.rig.lane.in_step()
        assert world.marked == []
        assert world.rig.slots.free == 10
        assert world.rig.lane.alarm() == NEVER
    finally:
        shutil.rmtree(top)


# ---- what others are told --------------------------------------------------------------------------------------------


def settled(rig):
    """Return what the lane tells of its pushes from now on."""
    told = []
    rig.lane.on_settled = lambda lane, taken, failed: told.append((lane, sorted(taken), sorted(failed)))
    return told


def test_each_push_that_reaches_the_remote_is_told_with_what_failed(rig):
    """One that does not reach it is not: its paths are still to come."""
    told = settled(rig)
    rig.mark(b"a", b"b")
    rig.end(GONE_AWAY)
    assert told == []
    rig.go(1.0)
    rig.end()
    assert told == [(rig.lane, [b"a"], [])]
    rig.end(Outcome(PARTIAL, 23, failed=frozenset([b"b"])))
    assert told[1:] == [(rig.lane, [b"b"], [b"b"])]


def test_what_need_not_be_sent_is_told_too(watch):
    """A file that came and went, where deletions are off: nobody shall wait for it."""
    rig = Rig(watch, delete=False)
    told = settled(rig)
    rig.mark(b"gone")
    assert rig.sent() == []
    assert told == [(rig.lane, [b"gone"], [])]


def test_a_path_is_expected_until_it_has_arrived(rig):
    """Dirty, in flight, or below a tree that is; not what failed, and nothing while the remote is away."""
    lane = rig.lane
    assert not lane.expects(b"a")
    rig.mark(b"a")
    rig.mark(b"folder", scope=TREE)
    assert lane.expects(b"a")
    assert lane.expects(b"folder/x")
    rig.end()
    assert not lane.expects(b"a")
    assert lane.expects(b"folder/x")
    rig.end(Outcome(PARTIAL, 23, failed=frozenset([b"folder"])))
    assert not lane.expects(b"folder/x")
    assert not lane.expects(b"folder")
    rig.mark(b"b")
    rig.end(GONE_AWAY)
    assert not lane.expects(b"b")


def test_what_the_remote_has_too_much_in_the_folder_of_a_big_file_on_its_way_waits_until_it_is_there(rig, watch):
    """It stands there under rsync's temporary name."""
    with open(os.path.join(watch, b"folder/big"), "wb") as file:
        file.truncate(BIG_BYTES)
    rig.mark(b"folder/big")
    rig.mark(b"folder", scope=LISTING)
    assert rig.sent() == [[b"folder/big"]]
    rig.mark(ROOT, scope=LISTING)
    assert rig.sent() == [[b"folder/big"], [b""]]
    rig.end(session=rig.sessions[1])
    rig.end(session=rig.sessions[0])
    rig.go(1.0)
    assert b"folder" in rig.sent()[2]
