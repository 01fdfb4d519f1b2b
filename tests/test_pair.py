"""Two agents that mirror two folders into each other: no change plays ping-pong."""

import json
import os
import signal
import time

import pytest
from rig import LOOPBACK, Daemon, differences, wait_equal, wait_for
from test_mirror import fill, write

SILENCE = 3.0
"""Seconds. A path that never rests is pushed once a second, and a retry waits for two."""


class Pair:
    """Two folders, a daemon that offers both as modules, and an agent for each direction."""

    def __init__(self, tmp_path, agent, sessions_of, **options):
        self.folders = [os.fsencode(str(tmp_path / name)) for name in ("a", "b")]
        self.daemon = Daemon(str(tmp_path / "daemon"), dict(zip(("a", "b"), self.folders))).start()
        self._sessions_of = sessions_of
        fill(os.path.join(self.folders[0], b"old"))
        self.agents = [
            agent(self.folders[here], [(LOOPBACK, "ba"[here])], port=self.daemon.port, params="-artuz", **options)
            for here in (0, 1)
        ]
        for each in self.agents:
            each.start()
        wait_equal(*self.folders)
        self.rest()

    def sessions(self):
        """Return how many sessions each agent has had."""
        return [self._sessions_of(each) for each in self.agents]

    def rest(self):
        """Wait until the folders are equal and there has been no session for a while; return how many there were."""
        last = [time.monotonic(), self.sessions()]

        def resting():
            now = self.sessions()
            if now != last[1]:
                last[:] = [time.monotonic(), now]
            return time.monotonic() - last[0] >= SILENCE and not differences(*self.folders)

        wait_for(resting, 30, "both sides to be equal and at rest")
        return last[1]


@pytest.fixture
def pair(tmp_path, agent, ask):
    def sessions(running):
        (watch,) = json.loads(ask(running, "--json")[1])["watches"]
        (remote,) = watch["remotes"]
        return remote["sessions"]

    made = []

    def make(**options):
        made.append(Pair(tmp_path, agent, sessions, **options))
        return made[-1]

    yield make
    for each in made:
        each.daemon.kill()


def create(folder):
    write(folder, b"old/new")


def rewrite(folder):
    write(folder, b"old/1.txt", b"written again, and longer")


def delete(folder):
    os.remove(os.path.join(folder, b"old/2.txt"))


def rename(folder):
    os.rename(os.path.join(folder, b"old/3.txt"), os.path.join(folder, b"old/renamed"))


def chmod(folder):
    os.chmod(os.path.join(folder, b"old/4.txt"), 0o600)


def mkdir(folder):
    os.mkdir(os.path.join(folder, b"old/empty"))


def rename_folder(folder):
    os.rename(os.path.join(folder, b"old/deeper"), os.path.join(folder, b"old/moved"))


CHANGES = [create, rewrite, delete, rename, mkdir]


@pytest.mark.parametrize("warm", [0, 30])
def test_after_one_change_there_are_at_most_two_sessions_each_way_and_then_silence(pair, warm):
    """Whatever the change is and on whichever side; the other side looks when it has arrived."""
    both = pair(warm=warm)
    for number, change in enumerate(CHANGES):
        here, there = both.agents[number % 2], both.agents[1 - number % 2]
        before = both.sessions()
        there.signal(signal.SIGSTOP)
        change(both.folders[number % 2])
        wait_equal(*both.folders)
        # the session that has brought it is over
        wait_for(lambda here=here: here.processes() == [here.pid] or warm)
        there.signal(signal.SIGCONT)
        counted = [now - then for now, then in zip(both.rest(), before)]
        assert max(counted) <= 2, f"{change.__name__}: {counted}"
        assert counted[number % 2] >= 1, change.__name__


@pytest.mark.parametrize("warm", [0, 30])
def test_where_both_sides_push_at_a_time_there_are_no_more_than_two_sessions_a_change(pair, warm):
    """If they cross, one change may have a third, but not more, and together they have no more than two each."""
    both = pair(warm=warm)
    begun = before = both.sessions()
    for number, change in enumerate(CHANGES):
        change(both.folders[number % 2])
        after = both.rest()
        counted = [now - then for now, then in zip(after, before)]
        assert max(counted) <= 3, f"{change.__name__}: {counted}"
        before = after
    assert max(now - then for now, then in zip(before, begun)) <= 2 * len(CHANGES)


def test_where_attributes_are_sent_too_the_times_of_folders_end_in_silence(pair):
    """They go to and fro in some sessions more; then both sides have the same."""
    both = pair(attrib=True)
    for change, folder in zip([create, rename, chmod], [0, 1, 0]):
        change(both.folders[folder])
    both.rest()
    modes = [os.stat(os.path.join(folder, b"old/4.txt")).st_mode & 0o777 for folder in both.folders]
    assert modes == [0o600, 0o600]


def test_a_folder_renamed_with_all_in_it_ends_in_silence_and_nothing_is_written_twice(pair):
    """Its files arrive one after the other, so they are sent back in some sessions more; the other side has them."""
    both = pair()
    stood = os.stat(os.path.join(both.folders[0], b"old/deeper/still/4.txt"))
    rename_folder(both.folders[0])
    both.rest()
    stands = os.stat(os.path.join(both.folders[0], b"old/moved/still/4.txt"))
    assert (stands.st_ino, stands.st_mtime_ns) == (stood.st_ino, stood.st_mtime_ns)
