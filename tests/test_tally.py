"""The counters behind the status: what a lane and a watch folder have done so far."""

import time

import pytest
from test_lane import FINE, GONE_AWAY, Rig
from test_mirror import write

from sersync_py.changes import ROOT, TREE
from sersync_py.filters import Filter
from sersync_py.loop import Loop
from sersync_py.outcomes import DONE, PARTIAL, Outcome
from sersync_py.overview import Facts, Overview
from sersync_py.settings import Inotify
from sersync_py.source import Source
from sersync_py.tally import LaneTally

STATISTICS = b"""
Number of files: 1,234 (reg: 1,000, dir: 234)
Number of regular files transferred: 17
Total file size: 3 bytes
Total bytes sent: 4711
"""


@pytest.fixture
def rig(source):
    write(source, b"a")
    write(source, b"b")
    return Rig(source)


def test_a_session_that_reached_the_remote_is_counted():
    """Files by rsync's own statistics, whichever of its versions writes them."""
    tally = LaneTally()
    tally.note(Outcome(DONE, 0, output=STATISTICS, sent=4711), 5.0)
    tally.note(Outcome(DONE, 0, output=b"Number of files transferred: 2\r\n", sent=1), 6.0)
    tally.note(Outcome(DONE, 0, output=b""), 7.0)
    assert (tally.sessions, tally.failed_sessions, tally.bytes, tally.files, tally.pushed) == (3, 0, 4712, 19, 7.0)
    assert tally.error == ""


def test_the_last_error_is_kept():
    """Of a session that did not get there, and of one that left some paths behind."""
    tally = LaneTally()
    tally.note(Outcome(PARTIAL, 23, "permission denied"), 5.0)
    assert (tally.failed_sessions, tally.pushed, tally.error_at) == (0, 5.0, 5.0)
    assert "permission denied" in tally.error
    tally.note(GONE_AWAY, 6.0)
    assert (tally.failed_sessions, tally.pushed, tally.error_at) == (1, 5.0, 6.0)
    assert "connection refused" in tally.error


def test_a_lane_says_what_is_under_way(rig):
    """Unsent paths wherever they are, sessions in flight, and since when a remote is away."""
    assert (rig.lane.unsent_count(), rig.lane.running(), rig.lane.away()) == (0, 0, None)
    rig.mark(b"a")
    rig.mark(b"b")
    assert (rig.lane.unsent_count(), rig.lane.running()) == (2, 1)
    rig.end(GONE_AWAY)
    since, next_try = rig.lane.away()
    assert (rig.lane.unsent_count(), since) == (2, rig.now)
    assert next_try > since
    rig.outcome = FINE
    rig.go(10)
    assert (rig.lane.unsent_count(), rig.lane.running(), rig.lane.away()) == (0, 0, None)
    assert rig.lane.tally.failed_sessions == 1


def test_a_path_that_failed_alone_is_counted_once(rig):
    """It stays held while it is tried again."""
    rig.mark(b"a")
    rig.end(Outcome(PARTIAL, 23, "no", frozenset([b"a"])))
    assert rig.lane.unsent_count() == 1
    rig.now = rig.lane.alarm()
    rig.lane.step(rig.now)
    assert rig.lane.running() == 1
    assert rig.lane.unsent_count() == 1


def test_whole_trees_leave_their_moment(rig):
    """A push of all; a single path is none."""
    rig.outcome = FINE
    rig.mark(b"a")
    assert rig.lane.tally.whole_tree_pushed == 0
    rig.mark(ROOT, scope=TREE)
    rig.go(2)
    assert abs(rig.lane.tally.whole_tree_pushed - time.time()) < 60


def remote_status(rig, watched):
    watched.lanes[:] = [rig.lane]
    facts = Facts(b"config", [watched], (), None, (), {})
    return Overview(time.time()).look(facts, rig.now, time.time()).status.watches[0].remotes[0]


@pytest.fixture
def watched(source):
    loop = Loop()
    found = Source(loop, source, Inotify(), Filter(), raises_limits=False)
    found.start()
    yield found
    found.stop()
    loop.close()


def test_a_change_is_as_old_as_it_is_although_its_mark_is_older(rig, watched):
    """Marks are dated back to the reading before, up to ten seconds on an idle host; the lag is not."""
    watched.tally.begun -= 3600
    rig.mark(b"a", since=time.time() - 9)
    assert remote_status(rig, watched).oldest_unsent_seconds < 5
    rig.mark(b"b", since=time.time())
    rig.lane.in_step_until = 0.0
    assert 9 <= remote_status(rig, watched).oldest_unsent_seconds < 20


def test_what_changed_while_nobody_looked_is_as_old_as_its_mark(rig, watched):
    """And what nobody knows the age of counts from the start."""
    rig.mark(b"a", since=time.time() - 86400)
    assert 86400 <= remote_status(rig, watched).oldest_unsent_seconds < 86500
    rig.end()
    watched.tally.begun -= 3600
    rig.mark(b"a", since=0.0)
    rig.go(1)
    assert 3600 <= remote_status(rig, watched).oldest_unsent_seconds < 3700


def test_events_are_counted(source, watched):
    """All that the kernel reports, wanted or not."""
    write(source, b"folder/x")
    watched.read()
    first = watched.tally.events
    write(source, b"folder/.hidden")
    watched.read()
    assert 0 < first < watched.tally.events
    assert watched.folders() == (2, 0)
    assert watched.trouble() == ""
