"""Somebody sets the clock, or the machine sleeps: nothing is lost, nothing is done 24 times, nothing stands still.

The machine's clock is left alone: the agent's is off by what a file says. So before the clock is "set" the agent's time
and that of the files disagree, as they never do; from then on they agree, as they would, and that is what is tested.
"""

import os
import shutil
import time
from types import SimpleNamespace

import pytest
from rig import wait_equal, wait_for
from test_mirror import EXACT, fill, started, write

from sersync_py import source as source_module
from sersync_py.changes import ENTRY, Dirt
from sersync_py.filters import Filter
from sersync_py.loop import Loop
from sersync_py.scan import MARGIN_NS
from sersync_py.settings import Inotify
from sersync_py.source import Source
from sersync_py.watcher import Seen

HOUR, DAY = 3600, 86400
MARGIN = MARGIN_NS / 1e9
WHOLE_TREE = "comparing the whole tree"
CLOCK = """
import datetime, time, types, schedule
real_time = time.time
def time_of_file():
    with open({!r}) as file:
        return real_time() + float(file.read())
time.time = time_of_file
class Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(time.time(), tz)
schedule.datetime = types.SimpleNamespace(**vars(datetime))
schedule.datetime.datetime = Datetime
import sersync_py.agent
sersync_py.agent.HEARTBEAT_SECONDS = 0.2
"""


class Clock:
    """The clock of an agent: fast or slow by some seconds, until it is set right."""

    def __init__(self, path, seconds):
        self._path = path
        self.be(seconds)

    def be(self, seconds):
        with open(self._path + ".new", "w") as file:
            file.write(str(seconds))
        os.rename(self._path + ".new", self._path)

    def prelude(self):
        return CLOCK.format(self._path)


@pytest.fixture
def begin(source, daemon, agent, tmp_path):
    """A function that starts an agent in step with one mirror, whose clock is fast by so many seconds."""

    def do(seconds, **options):
        clock = Clock(str(tmp_path / "clock"), seconds)
        running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, **options)
        running.prelude = clock.prelude()
        for folder in (b"old", b"other"):
            fill(os.path.join(source, folder))
        started(running, source, [daemon.mirrors[0]])
        running.arguments = ()
        heartbeat(running)
        return running, clock

    return do


def mark_of(running):
    names = [name for name in os.listdir(running.state_dir) if name.endswith(".mark")]
    return [os.stat(os.path.join(running.state_dir, name)).st_mtime_ns for name in names]


def heartbeat(running):
    """Wait until the mark has been saved twice: the second time it was begun after this call."""
    for _ in range(2):
        before = mark_of(running) if os.path.isdir(running.state_dir) else []
        wait_for(lambda before=before: mark_of(running) not in ([], before), 20, "a mark to be saved")


def change(folder):
    write(folder, b"0.txt", b"changed")
    os.remove(os.path.join(folder, b"1.txt"))
    shutil.rmtree(os.path.join(folder, b"deeper"))


def kill(running):
    running.kill()
    running.end()


@pytest.mark.parametrize("passed", [False, True], ids=["", "and has passed the mark again"])
def test_changes_made_while_the_agent_was_down_and_the_clock_was_set_back_are_found(begin, source, daemon, passed):
    """They bear stamps from before the mark."""
    fast = 2.5 + MARGIN if passed else HOUR
    running, clock = begin(fast)
    running.stop()
    clock.be(0)
    change(os.path.join(source, b"old"))
    if passed:
        time.sleep(fast + 0.2)
    running.start()
    wait_equal(source, daemon.mirrors[0])
    assert running.log().count(WHOLE_TREE) == 1


@pytest.mark.parametrize("seconds", [HOUR, -DAY], ids=["back an hour", "forward a day"])
def test_a_clock_that_is_set_while_the_agent_runs_costs_no_change_and_no_whole_tree(begin, source, daemon, seconds):
    """The mark is right from the next heartbeat on, so that a scan finds what a kill has cost; the crontab, due in an
    hour, is not due for the sake of the clock, and the heartbeat does not wait until the clock is where it was."""
    running, clock = begin(seconds, crontab=60, fail_minutes=60)
    change(os.path.join(source, b"old"))
    clock.be(0)
    wait_equal(source, daemon.mirrors[0])
    heartbeat(running)
    time.sleep(MARGIN)
    kill(running)
    change(os.path.join(source, b"other"))
    running.start()
    wait_equal(source, daemon.mirrors[0])
    assert ("was set back" in running.log()) == (seconds > 0)
    assert "crontab" not in running.log()
    assert "compar" not in running.log()


def test_what_waits_for_a_remote_while_the_clock_is_set_back_is_not_forgotten_by_a_kill(begin, source, daemon):
    """It waits, the clock is set back, more changes in the same folder, the agent dies."""
    running, clock = begin(HOUR)
    daemon.stop()
    os.remove(os.path.join(source, b"old/2.txt"))
    wait_for(lambda: "away" in running.log())
    clock.be(0)
    write(source, b"old/new")
    heartbeat(running)
    kill(running)
    running.start()
    daemon.start()
    wait_equal(source, daemon.mirrors[0])


# ---- the watch folder's own reckoning --------------------------------------------------------------------------------


class Remote:
    """Stands in for a lane: keeps what is marked."""

    def __init__(self):
        self.was_equal, self.estranged, self.paused = True, False, False
        self.dirty = {}

    def mark(self, paths, dirt):
        self.dirty.update((path, dirt) for path in paths)

    def unsent(self):
        return iter(self.dirty.items())

    def in_step(self):
        return not self.dirty


@pytest.fixture
def watched(source, monkeypatch):
    """A source with one lane, and its clocks, which stand still unless they are set."""
    clocks = SimpleNamespace(wall=5000.0, now=100.0)
    stand_in = SimpleNamespace(**vars(time))
    stand_in.time, stand_in.monotonic = lambda: clocks.wall, lambda: clocks.now
    monkeypatch.setattr(source_module, "time", stand_in)
    loop = Loop()
    made = Source(loop, source, Inotify(), Filter())
    made.lanes.append(Remote())
    made.start()
    yield made, made.lanes[0], clocks
    made.stop()
    loop.close()


def go(clocks, seconds, set_back=0.0):
    clocks.now += seconds
    clocks.wall += seconds - set_back


def test_all_has_arrived_up_to_the_last_look_by_the_clock_as_it_is_now(watched):
    made, lane, clocks = watched
    go(clocks, 10)
    made.read()
    assert made.arrived(lane) == 5010
    go(clocks, 10, set_back=HOUR)
    made.read()
    assert made.arrived(lane) == 5020 - HOUR
    go(clocks, 10, set_back=-DAY)
    made.read()
    assert made.arrived(lane) == 5030 - HOUR + DAY


def test_what_changes_after_the_clock_was_set_back_is_dirty_since_the_last_look_by_the_new_time(watched):
    made, lane, clocks = watched
    made.read()
    go(clocks, 10, set_back=HOUR)
    write(made.watch, b"new")
    made.read()
    assert lane.dirty[b"new"].since == 5000 - HOUR


def test_what_was_lost_in_an_overflow_is_looked_for_by_the_new_time(watched, monkeypatch):
    """The overflow is the first thing that is seen after the clock was set back."""
    made, lane, clocks = watched
    made.read()
    go(clocks, 10, set_back=HOUR)
    monkeypatch.setattr(made._watcher, "read", lambda _now: Seen({}, True, False))
    made.read()
    assert made.unseen_since(lane) <= 5000 - HOUR


def test_a_mark_stays_before_the_moment_of_setting_back_while_something_older_waits(watched):
    """A later change in the same folder may have put a smaller stamp in the place of the one that tells of it."""
    made, lane, clocks = watched
    go(clocks, 10)
    lane.mark([b"old"], Dirt(ENTRY, 5005.0))
    go(clocks, 10, set_back=HOUR)
    made.read()
    go(clocks, 2 * HOUR)
    made.read()
    assert made.arrived(lane) <= 5020 - HOUR
    lane.dirty.clear()
    assert made.arrived(lane) == clocks.wall


def test_a_scan_under_way_looks_further_back_when_the_clock_is_set_back(watched):
    made, lane, clocks = watched
    made.scan_since(4990.0, [lane])
    go(clocks, 10, set_back=HOUR)
    made.read()
    assert made.unseen_since(lane) <= 5000 - HOUR
