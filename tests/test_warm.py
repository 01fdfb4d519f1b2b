"""A session kept waiting for the next change: when there is one, and that it costs nothing but its connection."""

import os
import signal

import pytest
from rig import Daemon, wait_equal, wait_for
from test_lane import FINE, Scripted
from test_mirror import started, write

from sersync_py import orders
from sersync_py.changes import ENTRY, Dirt
from sersync_py.filters import Filter
from sersync_py.lane import Lane
from sersync_py.loop import NEVER
from sersync_py.outcomes import AWAY, Outcome
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target
from sersync_py.warm import Slots, Warm

CUT = Outcome(AWAY, 12, "connection broke")
FULL = Outcome(AWAY, 5, "@ERROR: max connections (1) reached -- try again later")


class Waiting(Scripted):
    """A scripted session that can be started ahead of need."""

    def __init__(self, order, number):
        super().__init__(order, number)
        self.was_waiting, self.dismissed = order.waits, False

    def go(self, order, _known, _now):
        self.order = order
        self.names = [name[2:] for name in orders.names(order)]

    def dismiss(self, _now):
        self.dismissed = True
        self.outcome = FINE


class Rig:
    """One `Warm` and what it starts."""

    def __init__(self, idle=30, timeout=None, slots=10):
        self.started = []
        self.slots = Slots(slots)
        self.warm = Warm(None, self.launch, self.slots, Remote("host", "m"), Rsync(warm=idle, timeout=timeout))

    def launch(self, _loop, order, _known, _now):
        self.started.append(Waiting(order, len(self.started)))
        return self.started[-1]


def order(name="m", feed=(), **options):
    target = Target(b"/data", Remote("host", name), Rsync(**options), True)
    return orders.push_names(target, [(path, ENTRY) for path in feed], force=True)


def test_it_waits_for_the_idle_time_after_the_last_push_and_no_longer():
    """Nothing runs and nothing is connected when nothing happens."""
    rig = Rig(idle=30)
    assert rig.warm.alarm() == NEVER
    rig.warm.keep(order(), 100.0)
    rig.warm.keep(order(), 120.0)
    assert rig.warm.alarm() == 150.0
    rig.warm.step(149.0)
    assert len(rig.started) == 1
    assert not rig.started[0].dismissed
    rig.warm.step(150.0)
    assert rig.started[0].dismissed
    rig.warm.step(150.1)
    assert rig.warm.alarm() == NEVER
    assert rig.slots.waiting == 10


def test_it_carries_an_order_of_the_same_words_only():
    """Another remote, or other options, are another session."""
    rig = Rig()
    rig.warm.keep(order(), 0.0)
    assert rig.warm.take(order("other", [b"a"]), {}, 1.0) is None
    assert rig.warm.take(order(feed=[b"a"]), {}, 1.0) is rig.started[0]
    assert rig.started[0].names == [b"a"]
    assert rig.warm.take(order(feed=[b"b"]), {}, 1.0) is None


def test_one_that_would_carry_other_words_is_replaced():
    """The receiver has turned out to be an old one, say."""
    rig = Rig()
    rig.warm.keep(order(), 0.0)
    rig.warm.keep(order(params=("-a",)), 1.0)
    assert [each.dismissed for each in rig.started] == [True, False]


def test_switched_off_none_is_ever_started():
    """`<warm start="false"/>`."""
    rig = Rig(idle=None)
    rig.warm.keep(order(), 0.0)
    assert rig.started == []


def test_no_more_wait_than_there_are_slots():
    """Over all lanes: `-n`."""
    rig = Rig(slots=0)
    rig.warm.keep(order(), 0.0)
    assert rig.started == []


def test_one_that_died_is_not_taken_and_not_started_again_before_the_next_push():
    """A daemon that is down is not knocked at."""
    rig = Rig()
    rig.warm.keep(order(), 0.0)
    rig.started[0].outcome = CUT
    assert rig.warm.take(order(feed=[b"a"]), {}, 1.0) is None
    rig.warm.step(2.0)
    assert len(rig.started) == 1
    rig.warm.keep(order(), 3.0)
    assert len(rig.started) == 2


def test_where_the_daemon_has_no_connection_to_spare_none_waits_any_more():
    """It would take the place of a session that carries something."""
    rig = Rig()
    rig.warm.keep(order(), 0.0)
    rig.started[0].outcome = FULL
    other = Warm(None, rig.launch, rig.slots, Remote("host", "other"), Rsync())
    other.keep(order("other"), 0.0)
    for each in (rig.warm, other):
        each.step(0.1)
        each.keep(order(), 10.0)
    assert len(rig.started) == 2
    assert rig.started[1].dismissed


def test_what_failed_at_some_age_is_replaced_earlier_from_then_on():
    """The daemon's own timeout; not so early that there is a new one all the time."""
    rig = Rig(idle=1000)
    rig.warm.keep(order(), 0.0)
    rig.warm.take(order(feed=[b"a"]), {}, 60.0)
    rig.warm.went(False, 60.0)
    rig.warm.keep(order(), 60.0)
    assert rig.warm.alarm() == 60.0 + 42.0
    rig.warm.step(102.0)
    assert [each.dismissed for each in rig.started] == [False, True, False]
    rig.warm.take(order(feed=[b"b"]), {}, 102.1)
    rig.warm.went(False, 102.2)
    rig.warm.keep(order(), 103.0)
    assert rig.warm.alarm() == 105.0


def test_with_a_timeout_of_the_user_it_is_replaced_before_that():
    """The daemon is told of it and ends what is silent for so long."""
    rig = Rig(idle=1000, timeout=100)
    rig.warm.keep(order(), 0.0)
    assert rig.warm.alarm() == pytest.approx(70.0)


# ---- in a lane -------------------------------------------------------------------------------------------------------


class LaneRig:
    """A lane whose sessions are scripted; those that carry something end well at once, unless told otherwise."""

    def __init__(self, watch):
        self.now, self.sessions, self.outcomes = 1000.0, [], []
        self.lane = Lane(None, Target(watch, Remote("host", "m"), Rsync(), True), Filter(), Slots(10), self.launch)

    def launch(self, _loop, order, _known, _now):
        session = Waiting(order, len(self.sessions))
        session.outcome = None if order.waits else self.next_outcome()
        self.sessions.append(session)
        return session

    def next_outcome(self):
        return self.outcomes.pop(0) if self.outcomes else FINE

    def mark(self, path):
        self.lane.mark([path], Dirt(ENTRY, 1.0))
        self.lane.step(self.now)

    def waiting(self):
        return [each for each in self.sessions if each.was_waiting and each.outcome is None and not each.names]


@pytest.fixture
def lane(source):
    for name in (b"a", b"b"):
        write(source, name)
    return LaneRig(source)


def test_after_a_push_one_waits_and_carries_the_next(lane):
    """And from then on there is always one ready."""
    lane.mark(b"a")
    assert len(lane.waiting()) == 1
    first = lane.waiting()[0]
    lane.mark(b"b")
    assert first.names == [b"b"]
    assert len(lane.waiting()) == 1
    first.outcome = FINE
    lane.lane.step(lane.now)
    assert lane.lane.in_step()


def test_a_push_whose_waiting_session_was_dead_goes_again_at_once_and_nothing_is_said(lane, caplog):
    """Only the connection is lost."""
    lane.mark(b"a")
    used = lane.waiting()[0]
    lane.mark(b"b")
    used.outcome = CUT
    lane.lane.step(lane.now)
    lane.lane.step(lane.now)
    assert lane.lane.in_step()
    assert lane.sessions[-2 if lane.sessions[-1].was_waiting else -1].names == [b"b"]
    assert "away" not in caplog.text
    assert list(lane.lane.owed()) == []


def test_none_waits_for_a_remote_that_is_away_nor_in_a_pause(lane):
    """What it stands in may not be the watch folder any more."""
    lane.mark(b"a")
    lane.lane.paused = True
    lane.lane.step(lane.now)
    assert lane.waiting() == []
    lane.lane.paused = False
    lane.outcomes = [CUT]
    lane.mark(b"b")
    assert not lane.lane.in_step()
    assert lane.waiting() == []


# ---- the real thing --------------------------------------------------------------------------------------------------


def rsyncs(agent):
    """Return the ids of the sessions that the agent has."""
    return [pid for pid in agent.processes() if pid != agent.pid]


def test_changes_go_through_waiting_sessions_and_a_restarted_daemon_loses_none(source, daemon, agent):
    """The daemon is stopped and started between two changes: what waited is dead without knowing."""
    running = agent(source, daemon)
    started(running, source, daemon.mirrors)
    for number in range(3):
        wait_for(lambda: len(rsyncs(running)) == len(daemon.mirrors), 20, "a waiting session for each remote")
        daemon.kill()
        daemon.start()
        write(source, b"file %d" % number)
        wait_equal(source, daemon.mirrors)
        # one that still had to end would break when the daemon is killed, and rightly be said to have failed
        pushed = f"pushed 1 (file {number})"
        wait_for(lambda pushed=pushed: running.log().count(pushed) >= len(daemon.mirrors), 20, "the sessions to end")
    assert "away" not in running.log()


def test_a_waiting_session_that_the_daemon_has_timed_out_loses_nothing(tmp_path, source, agent):
    """The daemon's timeout is shorter than the time that it would wait."""
    folder = str(tmp_path / "daemon")
    with Daemon(folder, {"m": os.fsencode(str(tmp_path / "m"))}, extra_global="timeout = 3") as daemon:
        running = agent(source, daemon)
        started(running, source, daemon.mirrors)
        wait_for(lambda: "io timeout" in daemon.log(), 20, "the daemon's timeout")
        write(source, b"second")
        wait_equal(source, daemon.mirrors)
        assert "away" not in running.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_waits_ends_with_the_agent_however_that_ends(source, daemon, agent, number):
    """Nobody else would ever end it."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    wait_for(lambda: rsyncs(running), 20, "a waiting session")
    running.signal(number)
    running.process.wait(20)
    wait_for(lambda: not running.processes(), 20, "no process left")


def test_a_waiting_session_in_a_watch_folder_that_was_replaced_deletes_nothing(source, daemon, agent):
    """It would find all that it is told to send missing."""
    for name in (b"a", b"b", b"c"):
        write(source, name)
    running = started(agent(source, daemon, "-r"), source, daemon.mirrors)
    wait_for(lambda: rsyncs(running), 20, "a waiting session")
    before = [sorted(os.listdir(mirror)) for mirror in daemon.mirrors]
    os.rename(source, source + b" away")
    os.mkdir(source)
    write(source, b"d")
    wait_for(lambda: "another folder" in running.log(), 20, "the guard's word")
    wait_for(lambda: not rsyncs(running), 20, "no session")
    assert [sorted(os.listdir(mirror)) for mirror in daemon.mirrors] == before


def test_when_nothing_has_happened_for_the_idle_time_there_is_no_session(source, daemon, agent):
    """Idle means idle."""
    running = started(agent(source, daemon, warm=8), source, daemon.mirrors)
    wait_for(lambda: rsyncs(running), 20, "a waiting session")
    wait_for(lambda: not rsyncs(running), 20, "no session")
