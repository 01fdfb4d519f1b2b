"""A path written over and over is pushed at once, then ever more seldom; so are a lane's sessions under load."""

import pytest

from sersync_py.pacing import FIRST_PAUSE, Pacing, Throttle, Turns, first_pause


def pushes(writes, session=0.005):
    """Return when a path written at these moments is pushed, if each push takes so long."""
    pacing, starts, free, dirty = Pacing(), [], 0.0, None
    for write in [*writes, 1e9]:
        while dirty is not None:
            start = max(pacing.due(b"hot", max(dirty, free)), free)
            if start > write:
                break
            pacing.started([b"hot"], start)
            pacing.ended([b"hot"], start + session)
            starts.append(start)
            free, dirty = start + session, None
        if dirty is None:
            dirty = write
    return starts


def test_the_first_push_goes_at_once():
    """Nothing is held back that was not pushed lately."""
    assert pushes([7.0]) == [7.0]


def test_a_path_that_never_rests_is_pushed_at_most_15_times_in_10_seconds():
    """However often it is written: twenty thousand times here."""
    starts = pushes([number * 0.0005 for number in range(20000)])
    assert starts[0] == 0.0
    assert 8 <= len(starts) <= 15


def test_the_last_version_goes_within_a_second_of_its_writing():
    """Whenever the writing ends, the push that follows is no more than a second away."""
    for last in (0.01, 0.1, 0.5, 1.7, 4.2, 9.9):
        writes = [number * 0.001 for number in range(int(last * 1000) + 1)]
        assert writes[-1] <= pushes(writes)[-1] <= writes[-1] + 1.0, last


def test_a_path_written_now_and_then_is_never_held_back():
    """A file saved every three seconds is pushed each time at once."""
    writes = [number * 3.0 for number in range(10)]
    assert pushes(writes) == writes


def test_a_rest_makes_the_path_fast_again():
    """After some quiet seconds the first write goes at once, whatever was before."""
    burst = [number * 0.001 for number in range(5000)]
    assert pushes([*burst, 20.0])[-1] == 20.0


def test_paths_do_not_slow_each_other_down():
    """A hot file is no reason to wait for a calm one."""
    pacing = Pacing()
    for number in range(20):
        pacing.started([b"hot"], number * 0.1)
    assert pacing.due(b"calm", 2.0) == 2.0
    assert pacing.due(b"hot", 2.0) > 2.5


def test_two_hosts_that_mirror_each_other_do_not_go_on_exchanging_what_each_has():
    """Each sends what it has; if both do so at a time they have changed places, and both have something to send."""
    pairs = [(b"/a\0%d::b" % number, b"/b\0%d::a" % number) for number in range(200)]
    lasting = 0
    for names in pairs:
        has, hosts = ["mine", "yours"], [Pacing(first_pause(name)) for name in names]
        starts, rounds = [0.0, 0.003], 0
        while has[0] != has[1] and rounds < 20:
            rounds += 1
            for host, start in zip(hosts, starts):
                host.started([b"path"], start)
            starts = [host.due(b"path", start) for host, start in zip(hosts, starts)]
            if abs(starts[0] - starts[1]) < 0.01:
                has.reverse()
            else:
                has[starts.index(max(starts))] = has[starts.index(min(starts))]
        lasting = max(lasting, rounds)
    assert lasting <= 4
    assert all(FIRST_PAUSE <= first_pause(name) < 2 * FIRST_PAUSE for pair in pairs for name in pair)


def test_what_rests_is_forgotten():
    """A million paths pushed once do not stay in memory."""
    pacing = Pacing()
    pacing.started([b"%d" % number for number in range(1000)], 0.0)
    pacing.started([b"later"], 100.0)
    assert list(pacing._recent) == [b"later"]


def test_a_file_as_old_as_its_last_push_may_have_been_pushed_with_other_content():
    """Two writes within a tick of the kernel look alike; a path never pushed is not in doubt."""
    pacing = Pacing()
    pacing.started([b"path"], 50.0)
    assert pacing.ambiguous(b"path", 1000.0), "its push is not over"
    pacing.ended([b"path"], 1000.0)
    assert pacing.ambiguous(b"path", 999.0)
    assert pacing.ambiguous(b"path", 1000.01)
    assert not pacing.ambiguous(b"path", 1000.1)
    assert not pacing.ambiguous(b"other", 999.0)


def test_a_lane_starts_some_sessions_at_once_and_then_25_a_second_at_most():
    """A burst is fast; lasting load makes batches grow."""
    throttle, now, starts = Throttle(), 100.0, []
    while now < 110.0:
        now = throttle.due(now)
        throttle.started(now)
        starts.append(now)
    assert starts[:Throttle.BURST] == [100.0] * Throttle.BURST
    assert len(starts) <= Throttle.BURST + 1 + 10 / Throttle.PAUSE + 1


def test_a_lane_that_has_rested_may_burst_again():
    """What was saved up is not more than one burst."""
    throttle = Throttle()
    for _ in range(100):
        throttle.started(throttle.due(0.0))
    assert throttle.due(0.0) > 3.0
    rested = throttle.due(0.0) + 10.0
    starts = []
    for _ in range(2 * Throttle.BURST):
        starts.append(throttle.due(rested))
        throttle.started(starts[-1])
    assert starts[:Throttle.BURST] == [rested] * Throttle.BURST
    assert starts[-1] > rested


def test_many_lanes_start_one_after_the_other_in_the_order_in_which_they_ask():
    """Some at once, then as many as the processors can take; a rest makes up for no more than that."""
    assert Turns(processors=4).pause == Turns.SECONDS / 4
    turns = Turns(processors=4)
    for now in (100.0, 200.0):
        taken = [turns.take(now) for _ in range(50)]
        assert taken == sorted(taken)
        assert sum(turn <= now for turn in taken) == Turns.AT_ONCE
        assert taken[-1] == pytest.approx(now + (49.5 - Turns.AT_ONCE) * turns.pause)
        assert turns.keep_busy(taken[-1])
        assert not turns.keep_busy(taken[-1] + Turns.BUSY_SECONDS)
        for moment in range(8):
            assert turns.take(now + 10 + moment) <= now + 10 + moment
            assert not turns.keep_busy(now + 10 + moment)
