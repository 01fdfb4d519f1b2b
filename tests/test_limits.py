"""What the kernel grants has an end: watches, inotify instances, open files; it is said, and nothing is lost."""

import contextlib
import os
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
from rig import Agent, wait_equal, wait_for
from test_mirror import EXACT, write

from sersync_py.scan import MARGIN_NS

MARGIN = MARGIN_NS / 1e9 + 0.2
QUICK = """
from sersync_py import agent, shortage, starter
shortage.LOOK_SECONDS = {look}
agent.HEARTBEAT_SECONDS = 1
starter._OVER_SECONDS = 1.5
"""
NAMESPACE = "/proc/sys/user/max_inotify_"
CONFINE = """
set -e
mount --bind /proc/sys/fs/inotify /proc/sys/fs/inotify
mount -o remount,bind,ro /proc/sys/fs/inotify
for limit in {limits}; do
    echo ${{limit#*=}} > /proc/sys/user/max_inotify_${{limit%=*}}
done
{protect}
exec "$@"
"""
PROTECT = """
mount --bind /proc/sys/user /proc/sys/user
mount -o remount,bind,ro /proc/sys/user
"""


class Confined(Agent):
    """An agent in a user namespace of its own, as in a container: the limits there are low, the machine's untouched.

    `may_raise`: it may raise those of the namespace.
    """

    limits = ""
    may_raise = False

    def command(self, *arguments):
        """Return the command line, which the agent takes the place of."""
        script = CONFINE.format(limits=self.limits, protect="" if self.may_raise else PROTECT)
        return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh",
                *super().command(*arguments)]

    def set_limit(self, name, value):
        """Set a limit of the namespace, as its administrator would from outside."""
        script = f"echo {value} > {NAMESPACE}{name}"
        subprocess.run(["nsenter", "--user", "--target", str(self.pid), "sh", "-c", script], check=True)

    def watched(self):
        """Return the inode numbers of the folders that are watched."""
        folder, text = f"/proc/{self.pid}/fdinfo", ""
        for name in os.listdir(folder):
            with contextlib.suppress(FileNotFoundError), open(os.path.join(folder, name)) as file:
                text += file.read()
        return {int(number, 16) for number in re.findall(r"^inotify wd:.* ino:([0-9a-f]+)", text, re.MULTILINE)}

    def unwatched(self):
        """Return the folders that are not watched, each before what is below it."""
        watched = self.watched()
        return [path for path in folders(self.watch) if os.stat(path).st_ino not in watched]


def folders(top):
    return [path for path, _, _ in os.walk(top)]


def may_confine():
    script = CONFINE.format(limits="", protect=PROTECT)
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", "true"]
    try:
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


@pytest.fixture(scope="module")
def _namespaces():
    if not may_confine():
        pytest.skip("no user namespace can be made here")


@pytest.fixture
def confined(_namespaces, agent, source, daemon):
    """A factory of agents with low limits, not started yet. `look`: seconds between two looks at unwatched folders."""

    def make(*arguments, limits="", may_raise=False, look=0.5, **options):
        options.setdefault("params", EXACT)
        running = agent(source, daemon, *arguments, kind=Confined, **options)
        running.prelude = QUICK.format(look=look)
        running.limits, running.may_raise = limits, may_raise
        return running

    return make


@pytest.fixture
def tree(source):
    """A tree of 13 folders: the watch folder, nine in it, and three one in another."""
    for name in (b"a", b"b", b"c"):
        for digit in (b"1", b"2", b"3"):
            fill(source, name + digit)
        fill(source, b"/".join([b"deep"] * (b"abc".index(name) + 1)))
    assert len(folders(source)) == 13
    return source


def fill(source, name):
    for number in range(3):
        write(source, b"%s/%d" % (name, number), b"%s %d" % (name, number))


def short(confined, tree, daemon, *arguments, watches=5, **options):
    """Return a running agent that is in step, and the folders for which it has no watch."""
    running = confined("-r", *arguments, limits=f"watches={watches}", **options)
    running.start(watching=watches)
    wait_equal(tree, daemon.mirrors)
    wait_for(lambda: "have no watch" in running.log())
    return running, [path for path in running.unwatched() if b"deep" not in path]


def advised(running):
    """Return the name and the value of the limit that the log says to set."""
    found = re.findall(r"run `sysctl -w ([a-z_.]+)=(\d+)` as root", running.log())
    assert len(found) == 1, running.log()
    return found[0]


# ---- watches ---------------------------------------------------------------------------------------------------------


def test_what_happens_in_folders_without_a_watch_arrives_and_the_shortage_is_said_once(confined, tree, daemon):
    """Writes, deletions, new folders, renames, moves in and out; the words name the limit and a value that suffices."""
    running, unwatched = short(confined, tree, daemon)
    assert "8 folders have no watch, for user.max_inotify_watches is 5, used up" in running.log()
    one, two, three = unwatched[:3]
    write(one, b"0", b"written again")
    os.remove(os.path.join(one, b"1"))
    os.rename(os.path.join(one, b"2"), os.path.join(two, b"2 of another"))
    write(one, b"new/folder/file")
    wait_equal(tree, daemon.mirrors)
    write(one, b"new/folder/second")
    os.rename(os.path.join(one, b"new"), os.path.join(two, b"renamed"))
    wait_equal(tree, daemon.mirrors)
    shutil.rmtree(os.path.join(two, b"renamed"))
    os.rename(three, os.path.join(tree, b"moved up"))
    write(tree, b"moved up/0", b"as long")
    wait_equal(tree, daemon.mirrors)
    os.rename(os.path.join(tree, b"moved up"), os.path.join(one, b"moved down"))
    wait_equal(tree, daemon.mirrors)
    write(one, b"moved down/0", b"again ")
    shutil.rmtree(two)
    wait_equal(tree, daemon.mirrors)
    assert running.log().count("have no watch") == 1
    running.stop()


def test_folders_are_watched_as_soon_as_the_limit_is_what_was_advised_and_that_is_said(confined, tree, daemon):
    """What happened before without a watch is not lost; afterwards events tell of it, no look is needed."""
    running, unwatched = short(confined, tree, daemon)
    name, value = advised(running)
    assert name == "user.max_inotify_watches"
    running.set_limit("watches", value)
    write(unwatched[-1], b"just before")
    wait_for(lambda: running.watches() == 13)
    wait_for(lambda: "all 13 folders are watched by now" in running.log())
    for folder in unwatched:
        write(folder, b"later")
    os.rename(unwatched[-1], unwatched[-1] + b" renamed")
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_no_folder_that_moved_or_went_while_it_had_no_watch_is_counted_or_forgotten(confined, tree, daemon):
    """A limit of just the folders that are left is enough for all of them."""
    running, unwatched = short(confined, tree, daemon)
    os.rename(unwatched[0], tree + b" elsewhere")
    shutil.rmtree(unwatched[1])
    os.rename(unwatched[2], os.path.join(tree, b"renamed"))
    os.remove(os.path.join(unwatched[3], b"0"))
    os.rename(unwatched[3], os.path.join(tree, b"renamed/below"))
    wait_equal(tree, daemon.mirrors)
    left = len(folders(tree))
    assert left == 11
    running.set_limit("watches", left)
    wait_for(lambda: "all 11 folders are watched by now" in running.log())
    assert running.unwatched() == []
    for folder in folders(tree):
        write(folder, b"later")
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_who_may_raise_the_limit_does_so_once_and_says_both_values(confined, tree, daemon):
    """Root of a container: its own limit is the one in the way; the machine's stays as it is."""
    with open("/proc/sys/fs/inotify/max_user_watches") as file:
        before = file.read()
    running = confined("-r", limits="watches=5", may_raise=True).start(watching=13)
    assert "user.max_inotify_watches raised from 5 to 26" in running.log()
    for folder in folders(tree):
        write(folder, b"later")
    for number in range(10):
        write(tree, b"more/%d/file" % number)
    wait_equal(tree, daemon.mirrors)
    assert running.watches() == 24
    assert running.log().count("raised from 5") == 1
    assert "have no watch" not in running.log()
    with open("/proc/sys/fs/inotify/max_user_watches") as file:
        assert file.read() == before
    running.stop()


def test_marks_go_on_with_the_looks_so_that_a_restart_need_not_look_far_back(confined, tree, daemon):
    """They are as young as the last look that is over."""
    running, unwatched = short(confined, tree, daemon)
    moment = time.time()
    wait_for(lambda: sum(mark > moment for mark in running.marks()) == 2)
    running.kill()
    running.end()
    write(unwatched[0], b"while down")
    running.arguments = ()
    running.start(watching=5)
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_no_mark_is_younger_than_what_no_look_has_found_yet(confined, tree, daemon):
    """Killed between a change without an event and the next look, the agent finds it at its next start."""
    running, unwatched = short(confined, tree, daemon, look=3600)
    write(unwatched[0], b"nobody saw it")
    os.remove(os.path.join(unwatched[-1], b"0"))
    time.sleep(2.5)  # two heartbeats
    assert len(running.marks()) == 2
    assert running.marks()[-1] < os.stat(os.path.join(unwatched[0], b"nobody saw it")).st_ctime
    running.stop()
    running.arguments = ()
    running.start(watching=5)
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_a_reload_loses_no_watch_and_no_change_when_there_is_not_room_for_both(confined, tree, daemon):
    """The new watches are wanted before the old ones are given back."""
    running = confined("-r", limits="watches=13", look=3600).start(watching=13)
    wait_equal(tree, daemon.mirrors)
    running.signal(signal.SIGHUP)
    write(tree, b"a1/meanwhile")
    wait_for(lambda: "config reloaded" in running.log())
    wait_for(lambda: running.watches() == 13)
    assert "have no watch" not in running.log()
    for folder in folders(tree):
        write(folder, b"later")
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_a_reload_takes_along_what_no_look_has_found_yet(confined, tree, daemon):
    """Changes in folders without a watch, and the next look an hour away."""
    running, unwatched = short(confined, tree, daemon, look=3600)
    write(unwatched[0], b"nobody saw it")
    os.remove(os.path.join(unwatched[-1], b"0"))
    time.sleep(MARGIN)
    running.signal(signal.SIGHUP)
    wait_equal(tree, daemon.mirrors)
    running.stop()


def test_what_happened_without_a_watch_while_the_watch_folder_was_away_arrives(confined, tree, daemon):
    """Renamed and back, with changes in between and just before."""
    running, unwatched = short(confined, tree, daemon, look=3600)
    write(unwatched[0], b"nobody saw it")
    time.sleep(MARGIN)
    write(tree, b"seen")
    wait_for(lambda: os.path.exists(os.path.join(daemon.mirrors[0], b"seen")))
    os.rename(tree, tree + b" renamed")
    wait_for(lambda: "nothing is pushed or deleted until it is back" in running.log())
    os.remove(unwatched[-1].replace(tree, tree + b" renamed") + b"/0")
    os.rename(tree + b" renamed", tree)
    wait_equal(tree, daemon.mirrors)
    running.stop()


def churn(tree, chance):
    """Do something somewhere in the tree."""
    places = folders(tree)
    place, other = chance.choice(places), chance.choice(places)
    name = b"%d" % chance.randrange(4)
    action = chance.randrange(6)
    path = os.path.join(place, name)
    try:
        if action < 2:
            write(place, name + b".txt", b"%d" % chance.randrange(10**9))
        elif action == 2:
            os.mkdir(path)
            write(path, b"in it")
        elif action == 3:
            os.remove(path + b".txt")
        elif action == 4 and place != tree and chance.random() < 0.4:
            shutil.rmtree(place)
        elif place != tree:
            os.rename(place, os.path.join(other, name))
    except OSError:
        return  # not there, or in its own way


def test_random_changes_with_too_few_watches_all_arrive(confined, tree, daemon):
    """Folders go back and forth between being watched and not, faster than the looks come."""
    chance = random.Random(1)
    running, _ = short(confined, tree, daemon, watches=7, look=0.3)
    for _ in range(3):
        for _ in range(60):
            churn(tree, chance)
            time.sleep(chance.choice([0, 0, 0.01, 0.03]))
        write(tree, b"round")
        wait_equal(tree, daemon.mirrors)
    running.set_limit("watches", 1000)
    wait_for(lambda: running.unwatched() == [])
    churn(tree, chance)
    wait_equal(tree, daemon.mirrors)
    running.stop()


# ---- inotify instances -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("detaches", [False, True], ids=["in the foreground", "as a daemon"])
def test_without_an_inotify_instance_nothing_is_started_and_it_is_said_what_to_set(confined, tree, daemon, detaches):
    """On the terminal, also with -d: it is found out before anything detaches."""
    running = confined("-r", *(["-d"] if detaches else []), limits="instances=0")
    running.start(watching=0)
    assert running.wait() == 1
    wanted = "sersync-py: all 0 inotify instances of this user are in use: run `sysctl -w {}=128` as root\n"
    assert running.output() == wanted.format("user.max_inotify_instances")
    assert running.processes() == []
    assert not os.path.exists(running.state_dir)
    assert not os.path.exists(running.log_file)
    assert os.listdir(daemon.mirrors[0]) == []


def test_a_reload_without_an_inotify_instance_to_spare_leaves_all_as_it_was(confined, tree, daemon):
    """Its second instance is wanted before the first is given back; it says what to set, and the next reload works."""
    running = confined("-r", limits="instances=1").start()
    wait_equal(tree, daemon.mirrors)
    running.signal(signal.SIGHUP)
    wait_for(lambda: "all 1 inotify instances of this user are in use: run `sysctl -w user.max" in running.log())
    write(tree, b"still mirrored")
    wait_equal(tree, daemon.mirrors)
    running.set_limit("instances", 2)
    running.signal(signal.SIGHUP)
    wait_for(lambda: running.log().count("folders watched") == 2)
    write(tree, b"mirrored again")
    wait_equal(tree, daemon.mirrors)
    running.stop()


# ---- open files ------------------------------------------------------------------------------------------------------


def test_too_few_open_files_are_refused_at_the_start_with_the_number_to_set(confined, tree, daemon):
    """Nothing is started; with the number that is said it starts."""
    running = confined("-r")
    plain = running.command
    running.command = lambda *more: ["sh", "-c", 'ulimit -n 25; exec "$@"', "sh", *plain(*more)]
    running.start(watching=0)
    assert running.wait() == 1
    found = re.fullmatch(r"sersync-py: no more than 25 files may be open, and at least \d+ are needed: run `ulimit -n"
                         r" (\d+)` first\n", running.output())
    assert found, running.output()
    assert not os.path.exists(running.state_dir)
    running.command = lambda *more: ["sh", "-c", f'ulimit -n {found.group(1)}; exec "$@"', "sh", *plain(*more)]
    running.start()
    wait_equal(tree, daemon.mirrors)
    running.stop()
    assert "open files" not in running.log()
    assert "may be open" not in running.log()


def test_a_limit_of_open_files_that_may_be_raised_is_raised_and_both_values_are_said(confined, tree, daemon):
    """Up to the hard limit anybody may, which is not so low by default."""
    running = confined("-r")
    plain = running.command
    running.command = lambda *more: ["sh", "-c", 'ulimit -S -n 60; exec "$@"', "sh", *plain(*more)]
    running.start()
    assert "the limit of open files raised from 60 to 197" in running.log()
    running.stop()


def open_files(running):
    return sorted(map(int, os.listdir(f"/proc/{running.pid}/fd")))


@pytest.mark.parametrize("room", [1, 5], ids=lambda room: f"room for {room}")
def test_when_open_files_run_out_later_sessions_wait_and_nothing_is_lost(confined, tree, daemon, room):
    """Said once for all remotes; what a start that fails has opened is closed; when there is room all goes on."""
    running = confined("-r", warm=0).start()
    wait_equal(tree, daemon.mirrors)
    wait_for(lambda: running.processes() == [running.pid])
    # but for those that are open for the moment in which a mark is saved
    before = min((open_files(running) for _ in range(100)), key=len)
    subprocess.run(["prlimit", f"--nofile={before[-1] + 1 + room}:", "--pid", str(running.pid)], check=True)
    for folder in folders(tree):
        write(folder, b"later")
    shutil.rmtree(os.path.join(tree, b"a1"))
    wait_for(lambda: "no session can be started" in running.log())
    limit = before[-1] + 1 + room
    assert f"no session can be started: Too many open files, the limit is {limit} (ulimit -n)" in running.log()
    write(tree, b"and later still")
    time.sleep(2)  # some tries
    assert running.watches() == 12
    subprocess.run(["prlimit", "--nofile=197:", "--pid", str(running.pid)], check=True)
    wait_equal(tree, daemon.mirrors)
    wait_for(lambda: "sessions can be started again" in running.log())
    assert running.log().count("no session can be started") == 1
    assert not re.search("away|back after|looked through", running.log())
    wait_for(lambda: open_files(running) == before)
    running.stop()


def test_lanes_that_cannot_have_open_files_all_at_a_time_take_turns(confined, tree, daemon):
    """Room for one session only; each start that fails is made up for at once, so it is said once at most."""
    running = confined("-r", warm=0)
    running.prelude += "starter._OVER_SECONDS = 60\n"
    running.start()
    wait_equal(tree, daemon.mirrors)
    wait_for(lambda: running.processes() == [running.pid])
    subprocess.run(["prlimit", f"--nofile={open_files(running)[-1] + 18}:", "--pid", str(running.pid)], check=True)
    for number in range(5):
        for folder in folders(tree):
            write(folder, b"later %d" % number)
        time.sleep(0.3)
    wait_equal(tree, daemon.mirrors)
    assert running.log().count("no session can be started") <= 1
    running.stop()
