"""What happened while the agent was down, killed or overrun is found by a look at the disk; no whole tree is pushed."""

import contextlib
import json
import os
import random
import shutil
import signal
import threading
import time

import pytest
from rig import Agent, Daemon, differences, wait_equal, wait_for

from sersync_py.limits import read_limit
from sersync_py.scan import MARGIN_NS

MARGIN = MARGIN_NS / 1e9 + 0.2
WHOLE_TREE = ("pushed the whole tree", "comparing the whole tree", "whole tree compared", "whole tree is compared")
EXTRA = b"untouched/only at the mirror"


def write(folder, name, content=b"content"):
    path = os.path.join(folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    return path


def fill(folder):
    for number in range(5):
        write(folder, b"%d" % number, b"file %d" % number)
        write(folder, b"deeper/still/%d" % number, b"deep %d" % number)


class Place:
    """A source that has rested, two mirrors, and an agent that has mirrored it and knows since when."""

    def __init__(self, folder):
        self.source, self.outside = os.fsencode(folder + "/source"), os.fsencode(folder + "/outside")
        os.mkdir(self.outside)
        fill(os.path.join(self.source, b"untouched"))
        for home in HOMES:
            for name in (b"old", b"other", b"parent/child", b"leaves"):
                fill(os.path.join(self.source, home, name))
            write(self.source, home + b"/file")
            os.symlink(b"file", os.path.join(self.source, home, b"link"))
            fill(os.path.join(self.outside, home))
        time.sleep(MARGIN)
        self.daemon = Daemon(folder + "/daemon", {n: os.fsencode(folder + "/" + n) for n in ("m1", "m2")}).start()
        self.agent = Agent(folder + "/agent", self.source, self.daemon, params="-artz", attrib=True, hiddenFiles=True)
        self.agent.start("-r")
        wait_equal(self.source, self.daemon.mirrors)
        wait_for(lambda: len(self.marks()) == 2, 20, "the marks")
        self.agent.stop()
        self.told = len(self.agent.log())
        for mirror in self.daemon.mirrors:
            write(mirror, EXTRA)

    def marks(self):
        try:
            names = os.listdir(self.agent.state_dir)
        except FileNotFoundError:
            return []
        return [os.path.join(self.agent.state_dir, name) for name in names if name.endswith(".mark")]

    def start(self):
        """Start without -r; come back when it has looked through the tree."""
        before = self.agent.log().count("looked through")
        self.agent.start(watching=0)
        wait_for(lambda: self.agent.log().count("looked through") > before, 20, "the scan")

    def said(self, words):
        """Return the lines of the log since the first mirroring that hold one of the words."""
        return [line for line in self.agent.log()[self.told:].splitlines() if any(word in line for word in words)]

    def check(self, seconds=30):
        """See that all is equal, that nobody's extra file was deleted, and that no whole tree was pushed."""
        wait_equal(self.source, self.daemon.mirrors, seconds, ignore=lambda path: path == EXTRA)
        assert not self.said(WHOLE_TREE)
        for mirror in self.daemon.mirrors:
            assert os.path.exists(os.path.join(mirror, EXTRA)), "a file that nobody deleted was deleted at the mirror"

    def close(self):
        self.agent.end()
        self.daemon.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One place for all tests that leave it as good as they found it."""
    made = Place(str(tmp_path_factory.mktemp("restart")))
    yield made
    made.close()


@pytest.fixture
def rested(shared):
    """The place with no agent running; tests take turns in it, so each leaves it equal."""
    if shared.agent.running():
        shared.agent.stop()
    return shared


def write_new(home, _stock):
    write(home, b"old/new")


def append(home, _stock):
    with open(os.path.join(home, b"old/0"), "ab") as file:
        file.write(b"more")


def rewrite_with_the_old_time(home, _stock):
    path = os.path.join(home, b"other/0")
    status = os.stat(path)
    write(home, b"other/0", b"quite another length")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def delete_file(home, _stock):
    os.remove(os.path.join(home, b"old/1"))


def delete_folder(home, _stock):
    shutil.rmtree(os.path.join(home, b"old/deeper"))


def rename_file(home, _stock):
    os.rename(os.path.join(home, b"other/1"), os.path.join(home, b"other/renamed"))


def rename_file_over_another(home, _stock):
    os.rename(os.path.join(home, b"other/2"), os.path.join(home, b"other/3"))


def rename_folder_with_old_content(home, _stock):
    os.rename(os.path.join(home, b"parent/child"), os.path.join(home, b"parent/grown"))


def move_folder_to_another_parent(home, _stock):
    os.rename(os.path.join(home, b"other/deeper"), os.path.join(home, b"parent/came"))


def swap_folders(home, _stock):
    names = [os.path.join(home, name) for name in (b"old", b"swap", b"other")]
    os.rename(names[0], names[1])
    os.rename(names[2], names[0])
    os.rename(names[1], names[2])


def move_folder_in(home, stock):
    os.rename(stock, os.path.join(home, b"old/in"))


def move_folder_in_and_rename_its_parent(home, stock):
    os.rename(stock, os.path.join(home, b"parent/in"))
    os.rename(os.path.join(home, b"parent"), os.path.join(home, b"parents"))


def move_file_in(home, stock):
    os.rename(os.path.join(stock, b"0"), os.path.join(home, b"old/came"))


def move_folder_out(home, stock):
    os.rename(os.path.join(home, b"leaves"), os.path.join(stock, b"left"))


def replace_file_by_folder(home, stock):
    os.remove(os.path.join(home, b"file"))
    os.rename(stock, os.path.join(home, b"file"))


def replace_folder_by_file(home, stock):
    shutil.rmtree(os.path.join(home, b"leaves"))
    os.rename(os.path.join(stock, b"0"), os.path.join(home, b"leaves"))


def replace_folder_by_another_of_the_same_name(home, stock):
    shutil.rmtree(os.path.join(home, b"old"))
    os.remove(os.path.join(stock, b"1"))
    os.rename(stock, os.path.join(home, b"old"))


def repoint_symlink(home, _stock):
    os.remove(os.path.join(home, b"link"))
    os.symlink(b"nowhere", os.path.join(home, b"link"))


def chmod_file(home, _stock):
    os.chmod(os.path.join(home, b"old/2"), 0o600)


def chmod_folder(home, _stock):
    os.chmod(os.path.join(home, b"other"), 0o700)


CHANGES = [
    write_new, append, rewrite_with_the_old_time, delete_file, delete_folder, rename_file, rename_file_over_another,
    rename_folder_with_old_content, move_folder_to_another_parent, swap_folders, move_folder_in,
    move_folder_in_and_rename_its_parent, move_file_in, move_folder_out, replace_file_by_folder, replace_folder_by_file,
    replace_folder_by_another_of_the_same_name, repoint_symlink, chmod_file, chmod_folder,
]
HOMES = [change.__name__.encode() for change in CHANGES] + [
    b"hung", b"overrun", b"back after a file", b"back after nothing",
]
"""A folder for each test, in the source and outside of it, so that none depends on another."""


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.replace("_", " "))
def test_a_change_made_while_the_agent_was_down_arrives_without_a_whole_tree_push(rested, change):
    """Stop, change, start: the mirrors follow, and a file that only they have stays where nothing changed."""
    home = change.__name__.encode()
    change(os.path.join(rested.source, home), os.path.join(rested.outside, home))
    assert any(differences(rested.source, mirror, ignore=lambda path: path == EXTRA)
               for mirror in rested.daemon.mirrors), "the change must be one"
    rested.start()
    rested.check()


@pytest.mark.parametrize("between", ["a file", "nothing"])
def test_a_folder_that_is_back_before_its_loss_was_pushed_brings_nothing_of_the_first_one_with_it(rested, between):
    """The scan saw a file there, or nothing; the mirror still has the first folder when the second one comes."""
    home = os.path.join(rested.source, b"back after " + between.encode())
    shutil.rmtree(os.path.join(home, b"old"))
    if between == "a file":
        write(home, b"old")
    rested.daemon.stop()
    try:
        rested.start()
        if between == "a file":
            os.remove(os.path.join(home, b"old"))
        write(home, b"old/second")
        time.sleep(0.3)
    finally:
        rested.daemon.start()
    rested.check()


def test_a_restart_after_which_nothing_has_changed_speaks_to_no_remote(rested):
    """The scan since the mark is made of local stat calls; there is nothing to ask the mirrors."""
    rested.start()
    rested.check()
    time.sleep(MARGIN)
    rested.agent.stop()

    def spoken_to():
        return rested.daemon.sessions(), rested.daemon.connections()

    # the daemon's processes may still have a line to write
    before = wait_for(lambda: [first for first in [spoken_to()] if not time.sleep(0.2) and spoken_to() == first])[0]
    rested.start()
    time.sleep(0.5)
    assert spoken_to() == before


class Load:
    """Some hands that never rest: they write, rename, delete, and move folders with old content."""

    def __init__(self, source, outside, hands=3):
        self._source, self._outside = source, outside
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(random.Random(seed),)) for seed in range(hands)]

    def _path(self, rng, deepest=3):
        return os.path.join(self._source, *(rng.choice((b"a", b"b", b"it's", b"new\nline"))
                                            for _ in range(rng.randint(1, deepest))))

    def _work(self, rng):
        while not self._over.is_set():
            with contextlib.suppress(OSError):
                self._operate(rng)
            time.sleep(rng.random() * 0.01)

    def _operate(self, rng):
        kind, path = rng.random(), self._path(rng)
        if kind < 0.4:
            write(os.path.dirname(path), os.path.basename(path), b"%d" % rng.randrange(10**9))
        elif kind < 0.5:
            fill(path)
        elif kind < 0.75:
            os.rename(path, self._path(rng))
        elif kind < 0.85:
            os.remove(path)
        elif kind < 0.9:
            shutil.rmtree(path)
        elif kind < 0.95:
            os.rename(path, os.path.join(self._outside, b"aside%d" % rng.randrange(5)))
        else:
            os.rename(os.path.join(self._outside, b"aside%d" % rng.randrange(5)), path)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for thread in self._threads:
            thread.join()


def test_fifteen_kills_in_a_row_under_load_lose_nothing(rested):
    """Each life begins from the mark of the one before; nobody rests meanwhile."""
    rng = random.Random(15)
    rested.agent.start(watching=0)
    with Load(rested.source, rested.outside):
        for _ in range(15):
            time.sleep(rng.random() * 0.8)
            rested.agent.kill()
            time.sleep(rng.random() * 0.4)
            rested.agent.start(watching=0)
    rested.check(60)


def test_no_session_outlives_a_killed_agent_even_if_its_remote_hangs(rested):
    """A session that was left behind could write old content over new, or stay for ever."""
    rested.start()
    rested.check()
    rested.daemon.freeze()
    try:
        write(rested.source, b"hung/file", b"first version")
        wait_for(lambda: len(rested.agent.processes()) >= 3, 20, "sessions that hang")
        time.sleep(0.3)
        rested.agent.kill()
        wait_for(lambda: not rested.agent.processes(), 20, "the sessions to end")
        write(rested.source, b"hung/file", b"second version")
    finally:
        rested.daemon.thaw()
    rested.start()
    rested.check()


def overflow(agent, folder):
    """Let the kernel's queue run over while the agent is stopped."""
    limit = read_limit("max_queued_events")
    if not 0 < limit < 2000000:
        pytest.skip(f"the kernel queues {limit} events")
    agent.signal(signal.SIGSTOP)
    names = [os.path.join(folder, name) for name in (b"storm.1", b"storm.2")]
    write(folder, b"storm.1")
    for _ in range(limit // 4 + 1000):
        os.rename(*names)
        os.rename(*names[::-1])


def test_what_happens_while_the_queue_runs_over_is_found_by_a_scan_and_said_once(rested):
    """Changes that no event tells of arrive, and so does what happens later in folders that are new or were moved."""
    rested.start()
    rested.check()
    time.sleep(MARGIN)
    home = os.path.join(rested.source, b"overrun")
    overflow(rested.agent, home)
    try:
        write(home, b"unseen/folder/file")
        shutil.rmtree(os.path.join(home, b"old/deeper"))
        os.rename(os.path.join(home, b"parent"), os.path.join(home, b"unseen/parent"))
        os.rename(os.path.join(rested.outside, b"overrun"), os.path.join(home, b"unseen/in"))
    finally:
        rested.agent.signal(signal.SIGCONT)
    wait_for(lambda: rested.said(["dropped events"]), 20, "the overflow to be noticed")
    rested.check()
    write(home, b"unseen/folder/later")
    write(home, b"unseen/in/deeper/still/later")
    write(home, b"unseen/parent/later")
    rested.check()
    assert len(rested.said(["dropped events"])) == 1


def damage(path):
    with open(path, "w") as file:
        file.write("{}")


def put_ahead(path):
    with open(path) as file:
        fields = json.load(file)
    fields["since_ns"] += 3600 * 10**9
    with open(path, "w") as file:
        json.dump(fields, file)


@pytest.mark.parametrize("spoil", [damage, put_ahead], ids=["damaged", "from the future"])
def test_a_mark_that_cannot_be_trusted_makes_the_whole_tree_be_compared(tmp_path, spoil):
    """What no scan would find, such as a file that was lost at the mirror, is put right."""
    place = Place(str(tmp_path))
    try:
        for mirror in place.daemon.mirrors:
            os.remove(os.path.join(mirror, b"untouched/0"))
        for mark in place.marks():
            spoil(mark)
        place.agent.start()
        wait_equal(place.source, place.daemon.mirrors)
        assert len(place.said(["comparing the whole tree"])) == 2
    finally:
        place.close()


@pytest.mark.parametrize("torn", [[".mark"], [".mark", ".root"]], ids=["the mark", "all that is known"])
def test_a_damaged_mark_and_another_folder_in_the_place_of_the_mirrored_one_delete_nothing(tmp_path, torn):
    """As after a power cut, from which the disk has not come back."""
    place = Place(str(tmp_path))
    try:
        kept = [sorted(os.listdir(mirror)) for mirror in place.daemon.mirrors]
        for mark in place.marks():
            for ending in torn:
                damage(mark[:-len(".mark")] + ending)
        os.rename(place.source, place.source + b".away")
        write(place.source, b"not mounted")
        place.agent.start()
        for mirror in place.daemon.mirrors:
            wait_for(lambda mirror=mirror: os.path.exists(os.path.join(mirror, b"not mounted")))
        place.agent.stop()
        for mirror, before in zip(place.daemon.mirrors, kept):
            assert sorted({*os.listdir(mirror)} - {b"not mounted"}) == before
    finally:
        place.close()


@pytest.mark.parametrize("extra", [False, True], ids=["as empty", "with something"])
def test_a_first_push_of_an_empty_folder_makes_equal_only_a_mirror_that_is_as_empty(source, daemon, agent, extra):
    """What goes later while the agent is down is deleted at the mirror; what the mirror had before stays."""
    mirror = daemon.mirrors[0]
    if extra:
        write(mirror, b"of somebody else")
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port).start()
    wait_for(lambda: "whole tree compared" in running.log())
    write(source, b"stays")
    write(source, b"goes")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"goes")))
    running.stop()
    os.remove(os.path.join(source, b"goes"))
    write(source, b"new")
    again = agent(source, [daemon.remotes[0]], port=daemon.port)
    again.state_dir = running.state_dir
    again.config_file = running.config_file
    again.start()
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"new")))
    if extra:
        assert sorted(os.listdir(mirror)) == [b"goes", b"new", b"of somebody else", b"stays"]
    else:
        wait_for(lambda: sorted(os.listdir(mirror)) == [b"new", b"stays"])


def test_marks_are_saved_as_soon_as_all_has_arrived(agent, source, daemon):
    """A crash before the first heartbeat must not cost the whole tree."""
    write(source, b"file")
    running = agent(source, daemon, "-r")
    running.prelude = "from sersync_py import agent\nagent.HEARTBEAT_SECONDS = 1000\n"
    running.start()
    wait_for(lambda: len(running.marks()) == 2)
