"""A remote behind a network that swallows everything without a word: a host of its own, which the test makes."""

import os
import shutil

import pytest
from rig import LOOPBACK, Daemon, Host, wait_equal, wait_for
from test_mirror import EXACT, started, write
from test_remotes import change_many, sparse

pytestmark = pytest.mark.skipif(not Host.possible(), reason="needs root, ip and nft")


@pytest.fixture
def far(tmp_path):
    """A daemon with the module `far` on a host that can go dark."""
    modules = {"far": os.fsencode(str(tmp_path / "far"))}
    with Host() as host, Daemon(str(tmp_path / "far daemon"), modules, host=host) as daemon:
        daemon.host = host
        yield daemon


def test_changes_during_a_black_hole_arrive_within_seconds_of_its_end(far, source, agent):
    """The session that was waiting, and all attempts meanwhile, got no answer at all; nothing of that is left after."""
    for number in range(200):
        write(source, b"old/%d" % number)
    running = started(agent(source, far, params=EXACT), source, far.mirrors)
    far.host.go_dark()
    change_many(source)
    wait_for(lambda: "away" in running.log(), 20, "a word of it")
    shutil.rmtree(os.path.join(source, b"new/3"))
    far.host.come_back()
    wait_equal(source, far.mirrors, 20)
    reasons = [line.partition(": away: ")[2] for line in running.log().splitlines() if ": away: " in line]
    assert reasons
    assert len(reasons) == len(set(reasons)), "each is said once"


def test_a_black_hole_in_mid_session_is_noticed_and_the_rest_goes_when_it_is_over(far, source, agent):
    """Otherwise TCP would repeat itself ever more seldom for a quarter of an hour."""
    running = started(agent(source, far, params=EXACT + " --no-z --bwlimit=2000"), source, far.mirrors)
    sparse(source, b"big", 30)
    wait_for(lambda: len(os.listdir(far.mirrors[0])) > 1, 20, "the session")
    far.host.go_dark()
    wait_for(lambda: "no answer any more" in running.log(), 20, "a word of it")
    os.unlink(os.path.join(source, b"big"))
    write(source, b"small")
    far.host.come_back()
    wait_for(lambda: os.path.exists(os.path.join(far.mirrors[0], b"small")), 20, "what was written meanwhile")
    assert not os.path.exists(os.path.join(far.mirrors[0], b"big"))


def test_a_black_hole_delays_no_other_remote(far, source, daemon, agent):
    """Each lane has its own sessions."""
    remotes = [(LOOPBACK, "m1"), (LOOPBACK, "m2"), (far.address, "far")]
    far.host.go_dark()
    daemon.stop()
    daemon.port = far.port
    daemon.start()
    running = agent(source, remotes, port=far.port)
    started(running, source, daemon.mirrors)
    for number in range(20):
        write(source, b"file %d" % number)
        wait_equal(source, daemon.mirrors)
    wait_for(lambda: running.log().count("away") == 1, 20, "a word of it")
    far.host.come_back()
    wait_equal(source, far.mirrors)
