"""Periodic work becomes due by its period, whatever somebody does to the clock."""

import datetime
import time
import types

import pytest
import schedule

from sersync_py.timetable import Timetable

PERIODS = {"heartbeat": 10, "replay": 3600, "crontab": 36000}


class Clock:
    """Both clocks; schedule reads the wall clock through the datetime module."""

    def __init__(self):
        self.now, self.wall = 5000.0, 1600000000.0

    def go(self, seconds):
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def clock(monkeypatch):
    ours = Clock()

    class Frozen(datetime.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(ours.wall, tz)

    module = types.SimpleNamespace(**vars(datetime))
    module.datetime = Frozen
    monkeypatch.setattr(schedule, "datetime", module)
    return ours


def due(timetable, clock):
    return timetable.due(clock.now, clock.wall)


def made(clock, **periods):
    return Timetable(periods or PERIODS, clock.now, clock.wall)


def run(timetable, clock, seconds):
    """Do what the loop does: wait as long as it may, ask what is due; return how often each was due."""
    counted, until = {}, clock.now + seconds
    while clock.now < until:
        clock.go(max(0.01, min(timetable.idle_seconds(), until - clock.now)))
        for name in due(timetable, clock):
            counted[name] = counted.get(name, 0) + 1
    return counted


def test_nothing_is_due_at_the_start(clock):
    """The first time is a period away."""
    timetable = made(clock)
    assert due(timetable, clock) == ()
    assert 9 <= timetable.idle_seconds() <= 10


def test_each_work_is_due_once_a_period(clock):
    """Ten hours and a bit: 3600 heartbeats, ten replays, one crontab."""
    counted = run(made(clock), clock, 36010)
    assert counted["replay"] == 10
    assert counted["crontab"] == 1
    assert 3500 <= counted["heartbeat"] <= 3601


def test_what_is_due_is_named_once_and_then_no_more(clock):
    """Work that could not be done for three periods is done once, not three times."""
    timetable = made(clock, replay=10)
    clock.go(25)
    assert due(timetable, clock) == ("replay",)
    assert due(timetable, clock) == ()


def test_a_clock_set_back_an_hour_does_not_stop_the_work(clock):
    """Going by the wall clock alone, nothing would happen for an hour."""
    timetable = made(clock)
    run(timetable, clock, 100)
    clock.wall -= 3600
    assert run(timetable, clock, 60).get("heartbeat", 0) >= 4


def test_a_clock_set_back_between_two_calls_does_not_put_the_loop_to_sleep(clock):
    """The next alarm is never further away than the shortest period."""
    timetable = made(clock)
    due(timetable, clock)
    clock.wall -= 3600
    assert timetable.idle_seconds() <= 10


def test_a_clock_set_forward_a_day_does_not_make_everything_due(clock):
    """A whole-tree push is not started because somebody set the clock."""
    timetable = made(clock)
    run(timetable, clock, 100)
    clock.wall += 86400
    counted = run(timetable, clock, 60)
    assert set(counted) == {"heartbeat"}
    assert 4 <= counted["heartbeat"] <= 7


@pytest.mark.parametrize("seconds", [86400, -3600])
def test_a_clock_that_is_set_between_our_look_and_that_of_schedule_changes_nothing(clock, seconds):
    """Neither is anything due that is not, nor does it stop later."""
    timetable = made(clock)
    run(timetable, clock, 1000)
    for _ in range(2):
        clock.go(1)
        before = clock.wall
        clock.wall += seconds
        names = timetable.due(clock.now, before)
        assert set(names) <= {"heartbeat"}
        assert timetable.seconds_until("heartbeat") is not None
    counted = run(timetable, clock, 36000)
    assert counted["heartbeat"] in (3600, 3599, 3598)
    assert (counted["replay"], counted["crontab"]) == (10, 1)


def test_a_clock_that_is_set_right_by_little_steps_changes_nothing(clock):
    """A second now and then is what time synchronization does."""
    timetable, counted = made(clock), 0
    for _ in range(72):
        clock.wall += 1
        counted += run(timetable, clock, 100).get("replay", 0)
    assert counted == 2


@pytest.mark.parametrize(("zone", "moment"), [
    ("CET-1CEST,M3.5.0,M10.5.0/3", datetime.datetime(2026, 3, 29, 0, 50, tzinfo=datetime.timezone.utc)),
    ("CET-1CEST,M3.5.0,M10.5.0/3", datetime.datetime(2026, 10, 25, 0, 50, tzinfo=datetime.timezone.utc)),
], ids=["summer time begins", "summer time ends"])
def test_summer_time_neither_stops_the_work_nor_makes_everything_due(clock, monkeypatch, zone, moment):
    """An hour is left out or comes twice on the clock on the wall, ten minutes from the start."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        clock.wall = moment.timestamp()
        counted = run(made(clock, heartbeat=10, replay=3000), clock, 2400)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert 235 <= counted["heartbeat"] <= 241
    assert "replay" not in counted


def test_a_machine_that_is_suspended_again_and_again_does_its_work_all_the_same(clock):
    """Sixteen hours every day, and a period of ten: what counts is how long it was awake."""
    timetable, counted = made(clock), 0
    for _ in range(10):
        counted += run(timetable, clock, 8 * 3600).get("crontab", 0)
        clock.wall += 16 * 3600
    assert counted in (7, 8)
