"""What failed alone: when it is tried again, and how much at a time."""

import pytest

from sersync_py.changes import ENTRY, Dirt
from sersync_py.held import FIRST_RETRY, LONGEST_RETRY, REST, Held
from sersync_py.loop import NEVER

DIRT = Dirt(ENTRY, 1.0)


def fail(*paths):
    return dict.fromkeys(paths, DIRT)


def never(_path):
    return False


class Remote:
    """One that refuses some paths; `run` lets time pass and returns (moment, paths) of each attempt."""

    def __init__(self, refused):
        self.held, self.refused, self.now = Held(), set(refused), 0.0
        self.held.add(fail(*sorted(self.refused)), self.now)

    def run(self, until):
        attempts = []
        while self.held.due() <= until:
            self.now = max(self.now, self.held.due())
            paths = [path for path, _ in self.held.release(self.now, never)]
            attempts.append((self.now, paths))
            self.now += 0.05
            failed = fail(*(path for path in paths if path in self.refused))
            self.held.let_go(dict.fromkeys(paths, ENTRY), failed)
            self.held.add(failed, self.now)
        self.now = until
        return attempts


def test_what_fails_is_tried_again_after_pauses_that_double_up_to_a_bound():
    held = Held()
    assert held.due() == NEVER
    pauses = []
    for _ in range(4):
        held.add(fail(b"a"), 100.0)
        pauses.append(held.due() - 100.0)
    assert pauses == [FIRST_RETRY, 2 * FIRST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
    held.add(fail(b"big"), 200.0, pause=30.0)
    held.let_go({b"a": ENTRY})
    assert held.due() == 230.0


def test_thousands_that_fail_for_good_cost_two_sessions_a_second_and_each_has_its_turn():
    """At first all are tried at full speed, for each must have failed twice to be owed."""
    names = [b"%d" % number for number in range(1000)]
    remote = Remote(names)
    remote.run(20.0)
    assert len(list(remote.held.failed_twice())) == 1000
    later = remote.run(50.0)
    assert len(later) <= 30 / REST + 1
    assert {path for _, paths in later for path in paths} == set(names)


def test_once_one_of_those_goes_through_the_others_are_tried_at_full_speed():
    """The permission was given back, say."""
    remote = Remote([b"%d" % number for number in range(1000)])
    remote.run(20.0)
    remote.refused = set()
    remote.run(26.0)
    assert not remote.held


def test_what_has_just_failed_does_not_wait_behind_thousands_that_fail_for_good():
    remote = Remote([b"%d" % number for number in range(1000)])
    remote.run(20.0)
    remote.held.add(fail(b"new"), 20.0)
    attempts = remote.run(21.0)
    assert [paths for _, paths in attempts if b"new" in paths] == [[b"new"]]


def test_when_all_is_to_be_tried_now_that_is_done_at_full_speed_and_once():
    """The fail log is replayed, say; nobody is told anew that they failed twice."""
    remote = Remote([b"%d" % number for number in range(1000)])
    remote.run(20.0)
    remote.held.retry_now()
    assert len({path for _, paths in remote.run(23.0) for path in paths}) == 1000
    assert remote.held.add(fail(b"1"), 23.0) == []
    assert len(remote.run(33.0)) <= 10 / REST + 1


@pytest.mark.parametrize("tries", [1, 5])
def test_what_is_on_its_way_is_not_made_dirty_again_before_that_has_ended(tries):
    """Nor is it looked at again and again."""
    held = Held()
    for _ in range(tries):
        held.add(fail(b"big"), 0.0)
    assert held.release(5.0, lambda path: path == b"big") == []
    assert held.due() >= 5.0 + FIRST_RETRY
    assert held.release(10.0, never) == [(b"big", DIRT)]


def test_what_failed_on_account_of_others_is_soon_tried_without_them():
    """Though it is known from the first failure on that these cannot be told apart by their times."""
    held, now = Held(), 0.0
    for _ in range(5):
        held.add(fail(b"unreadable"), now)
        held.add_hopeful(fail(b"folder"), now)
        now = held.due()
        released = {path for path, _ in held.release(now, never)}
        if released == {b"folder"}:
            break
        assert released == {b"unreadable", b"folder"}
    else:
        raise AssertionError("always together")
    held.let_go({b"folder": ENTRY})
    assert [path for path, _ in held.items()] == [b"unreadable"]
