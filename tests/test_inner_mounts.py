"""A disk below the watch folder that is not mounted empties no mirror; what is on it is watched and sent once it is."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import pytest
from rig import wait_equal, wait_for
from test_guard import QUICK, call, disk, free, says, unmount
from test_mirror import EXACT, fill, read, started, write

from sersync_py import cli, doctor, inner
from sersync_py.config import load
from sersync_py.filters import Filter
from sersync_py.guard import Root, find
from sersync_py.inner import ANOTHER, EMPTY, NOT_MOUNTED, Inner, InnerMounts
from sersync_py.loop import Loop
from sersync_py.pushes import Batch, sessions
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target

assert disk

HOSTILE = [b"new\nline", b" blank ", b"\xff\xfe", b"st*r", b"a[1]", b"what?", b"back\\slash", b"-dash", b"\rreturn",
           b"tab\there", b"\\040"]
MISSING = "is not mounted; nothing at or below it is sent or deleted until it is back (if it is meant: SIGUSR1)"
USR1_IS_CRONTAB = "sersync_py.agent.Agent._on_whole_tree = sersync_py.agent.Agent._on_crontab\n"
UNCUT = "sersync_py.session.Session.cut = lambda session, why: None\n"
EXACTLY = """
import functools, sersync_py.scan
sersync_py.source._MOMENT = 0.0
sersync_py.source.scan = functools.partial(sersync_py.scan.scan, margin_ns=0)
"""
"""What changed before the agent was stopped is old then, if only by a moment."""
TELLS_APART = hasattr(os.statvfs("/"), "f_fsid")
"""False: Python 3.6, which cannot tell one file system from another."""


@pytest.fixture
def mounted(tmp_path):
    """A function that mounts something on a folder, and makes that; all is taken off with the test."""
    folders = []

    def do(folder, *words):
        os.makedirs(folder, exist_ok=True)
        folders.append(folder)
        try:
            call("mount", *(words or ("-t", "tmpfs", "tmpfs")), os.fsdecode(folder))
        except OSError as error:
            pytest.skip(str(error))
        return folder

    yield do
    for folder in reversed(folders):
        free(folder)


@pytest.fixture
def agent_on(source, daemon, agent):
    """A function that starts an agent that is in step with so many mirrors, the first time with -r."""

    def do(*arguments, mirrors=1, prelude="", **options):
        # a session that waits for the next change would keep the disks busy
        options = {"params": EXACT, "warm": 0, "port": daemon.port, **options}
        running = agent(source, daemon.remotes[:mirrors], "-r", *arguments, **options)
        running.prelude = QUICK + prelude
        started(running, source, daemon.mirrors[:mirrors])
        running.arguments = arguments
        in_step(running)
        return running

    return do


@pytest.fixture
def mirror(daemon):
    return daemon.mirrors[0]


@pytest.fixture
def disk1(source, mounted, disk):
    """A folder in the watch folder with an ext4 on it, filled; with the words that mount it again."""
    folder = mounted(os.path.join(source, b"disk1"), "-o", "loop", disk)
    fill(os.path.join(folder, b"old"))
    return folder


def status(running):
    return cli.main(["--status", "-o", running.config_file, "--state-dir", running.state_dir])


def remembered(running):
    """Return what stands in its state folder about mounts."""
    folder, config = (os.fsencode(path) for path in (running.state_dir, running.config_file))
    return inner.load(inner.mounts_file(folder, config, running.watch))


def in_step(running):
    """Wait until all that is mounted is known to have arrived."""
    beaten(running)
    wait_for(lambda: all(each.since is None for each in remembered(running).values()))


def beaten(running):
    """Wait until it has saved the marks, so that it has noticed all there is to notice."""

    def marks():
        names = [os.path.join(running.state_dir, name) for name in os.listdir(running.state_dir)]
        return {name: os.stat(name).st_mtime_ns for name in names if name.endswith(".mark")}

    for _ in range(2):
        before = marks()
        wait_for(lambda before=before: all(at != before.get(name) for name, at in marks().items()))


def missed(running, name):
    """Return how often such a name was said to be not mounted."""
    return sum(line.count(name) for line in running.log().splitlines() if MISSING in line)


def has_all(mirror, folder=b"disk1"):
    """Say whether nothing that `fill` has made is missing."""
    names = [b"%d.txt" % number for number in range(5)]
    return all(os.path.exists(os.path.join(mirror, folder, b"old", below, name))
               for below in (b"", b"deeper/still") for name in names)


def pushes(running, source, mirror, name=b"a sign"):
    """See that other changes still arrive, and with them all that was marked before."""
    path = write(source, name, os.urandom(8))
    wait_for(lambda: os.path.exists(os.path.join(mirror, name)) and read(mirror, name) == read(path))
    assert "Traceback" not in running.report()


# ---- it is not mounted -----------------------------------------------------------------------------------------------


def test_a_disk_that_is_unmounted_while_the_agent_runs_empties_no_mirror_and_what_changed_on_it_arrives(
    agent_on, source, daemon, disk1, disk, mounted, tmp_path
):
    """Not by a comparison either, of either mirror; and it is watched again when it is back."""
    mirrors = daemon.mirrors
    running = agent_on(mirrors=2, prelude=USR1_IS_CRONTAB)
    unmount(disk1)
    says(running, "disk1 " + MISSING)
    wait_for(lambda: status(running) == 1)
    running.signal(signal.SIGHUP)
    says(running, "config reloaded")
    running.signal(signal.SIGUSR1)
    says(running, "whole tree compared", 2)
    elsewhere = mounted(os.fsencode(str(tmp_path / "elsewhere")), "-o", "loop", disk)
    write(elsewhere, b"old/0.txt", b"written elsewhere")
    os.remove(os.path.join(elsewhere, b"old/1.txt"))
    write(disk1, b"old/2.txt", b"of the folder below")
    write(disk1, b"stray")
    os.utime(source)
    for each in mirrors:
        pushes(running, source, each)
        assert has_all(each)
        assert read(each, b"disk1/old/2.txt") == b"deep 2" or read(each, b"disk1/old/2.txt") == b"file 2"
        assert not os.path.exists(os.path.join(each, b"disk1/stray"))
    unmount(elsewhere)
    mounted(disk1, "-o", "loop", disk)
    says(running, "disk1 is mounted; looking for what changed there")
    if TELLS_APART:
        wait_equal(source, mirrors)
        in_step(running)
    else:
        wait_for(lambda: all(read(each, b"disk1/old/0.txt") == b"written elsewhere" for each in mirrors))
        assert all(os.path.exists(os.path.join(each, b"disk1/old/1.txt")) for each in mirrors)
        os.remove(os.path.join(mirrors[0], b"disk1/old/1.txt"))
        os.remove(os.path.join(mirrors[1], b"disk1/old/1.txt"))
    write(disk1, b"old/live", b"seen at once")
    shutil.rmtree(os.path.join(disk1, b"old/deeper"))
    wait_equal(source, mirrors)


@pytest.mark.parametrize(("arguments", "removed"), [((), False), (("-r",), False), ((), True)],
                         ids=["", "with -r", "its folder removed"])
def test_a_disk_that_is_not_mounted_at_a_start_empties_no_mirror(
    agent_on, source, mirror, disk1, disk, mounted, arguments, removed
):
    """Nor if the mount point was removed, as automounters do; what changed while it was off is made up for."""
    running = agent_on()
    running.stop()
    unmount(disk1)
    if removed:
        os.rmdir(disk1)
    else:
        write(disk1, b"stray")
    running.arguments = arguments
    running.start(watching=1)
    says(running, "disk1 " + MISSING)
    pushes(running, source, mirror)
    beaten(running)
    assert has_all(mirror)
    # it is remembered over one more start
    running.stop()
    running.arguments = ()
    running.start(watching=1)
    says(running, "disk1 " + MISSING, 2)
    pushes(running, source, mirror, b"another sign")
    assert has_all(mirror)
    if not removed:
        os.remove(os.path.join(disk1, b"stray"))
    mounted(disk1, "-o", "loop", disk)
    write(disk1, b"old/0.txt", b"written at once")
    wait_equal(source, mirror)


def test_what_waits_for_a_remote_is_not_looked_for_where_the_disk_was(
    agent_on, source, daemon, mirror, disk1, disk, mounted
):
    """It was changed, in one folder as a whole, while the remote was away; then the disk goes, and comes back."""
    write(disk1, b"direct")
    running = agent_on(prelude="sersync_py.source._MOMENT = 0\n")
    daemon.stop()
    changed = os.stat(write(disk1, b"old/0.txt", b"changed while the remote was away")).st_ctime
    write(disk1, b"direct", b"changed as well")
    os.rename(os.path.join(disk1, b"old/deeper"), os.path.join(disk1, b"deeper"))
    os.remove(os.path.join(disk1, b"old/1.txt"))
    wait_for(lambda: "away" in running.log())
    wait_for(lambda: os.path.exists(running.fail_log) and b"old/0.txt" in read(os.fsencode(running.fail_log)))
    unmount(disk1)
    says(running, "disk1 " + MISSING)
    daemon.start()
    pushes(running, source, mirror)
    wait_for(lambda: not read(os.fsencode(running.fail_log)))
    assert has_all(mirror)
    assert read(mirror, b"disk1/direct") == b"content"
    assert remembered(running)[b"disk1"].since <= changed
    running.kill()
    running.end()
    running.start(watching=1)
    pushes(running, source, mirror, b"another sign")
    assert has_all(mirror)
    mounted(disk1, "-o", "loop", disk)
    wait_for(lambda: read(mirror, b"disk1/old/0.txt") == b"changed while the remote was away")
    if not TELLS_APART:
        in_step(running)
        running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)


def test_a_whole_tree_push_that_is_on_its_way_when_a_disk_is_unmounted_empties_no_mirror(
    agent_on, source, daemon, mirror, disk1
):
    """rsync meets it as an empty folder; the push is cut off before it says so, and goes again without it."""
    running = agent_on()
    running.stop()
    daemon.freeze()
    running.arguments = ("-r",)
    running.start()
    wait_for(lambda: len(running.processes()) > 1)
    unmount(disk1, "--lazy")
    says(running, "disk1 " + MISSING)
    daemon.thaw()
    wait_for(lambda: running.log().count("pushed the whole tree") == 2)
    pushes(running, source, mirror)
    assert has_all(mirror)


def test_a_change_that_is_on_its_way_when_a_disk_is_unmounted_is_no_deletion(
    agent_on, source, daemon, mirror, disk1, disk, mounted
):
    """Its push is cut off, and does not go again before the disk is back."""
    write(disk1, b"direct")
    running = agent_on()
    daemon.freeze()
    write(disk1, b"direct", b"changed")
    wait_for(lambda: len(running.processes()) > 1)
    unmount(disk1, "--lazy")
    says(running, "disk1 " + MISSING)
    daemon.thaw()
    pushes(running, source, mirror)
    # what goes again goes a moment later
    beaten(running)
    assert read(mirror, b"disk1/direct") == b"content"
    mounted(disk1, "-o", "loop", disk)
    wait_equal(source, mirror)


@pytest.mark.parametrize("restarts", [False, True])
def test_what_a_push_took_for_deleted_in_the_moment_of_an_unmount_arrives_when_the_disk_is_back(
    agent_on, source, daemon, mirror, disk1, disk, mounted, restarts
):
    """Old files as well, though the mirror has lost them: the push was not cut off in time."""
    running = agent_on()
    running.stop()
    shutil.rmtree(os.path.join(disk1, b"old", b"deeper", b"still"))
    write(disk1, b"new")
    daemon.freeze()
    running.prelude = QUICK + UNCUT + EXACTLY
    running.start()
    wait_for(lambda: len(running.processes()) > 1)
    unmount(disk1, "--lazy")
    says(running, "disk1 " + MISSING)
    daemon.thaw()
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"disk1/old/0.txt")))
    running.prelude = QUICK + EXACTLY
    if restarts:
        running.stop()
    mounted(disk1, "-o", "loop", disk)
    if restarts:
        running.start()
    wait_equal(source, mirror)


def test_a_comparison_that_is_on_its_way_when_a_disk_is_unmounted_empties_no_mirror(
    agent_on, source, daemon, mirror, disk1
):
    """What it says of the disk is not believed."""
    running = agent_on()
    daemon.freeze()
    running.signal(signal.SIGUSR1)
    wait_for(lambda: len(running.processes()) > 1)
    unmount(disk1, "--lazy")
    says(running, "disk1 " + MISSING)
    daemon.thaw()
    says(running, "whole tree compared")
    pushes(running, source, mirror)
    assert has_all(mirror)


def test_sigusr1_says_that_it_is_meant(agent_on, source, mirror, disk1):
    """Then what is gone goes at the mirror, what is there is sent and watched, and no later start misses anything."""
    running = agent_on()
    unmount(disk1)
    says(running, "disk1 " + MISSING)
    write(disk1, b"instead", b"of the disk")
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)
    write(disk1, b"live")
    wait_equal(source, mirror)
    in_step(running)
    running.stop()
    running.start()
    shutil.rmtree(disk1)
    wait_equal(source, mirror)
    says(running, "disk1 " + MISSING)


@pytest.mark.parametrize("excludes", [(), (r"(.*)\.excluded",)], ids=["", "with a filter"])
def test_mounts_within_mounts_and_strange_names_are_as_safe(agent_on, source, mirror, mounted, excludes):
    """Of several one is missing, with what is mounted in it; what is beside them is deleted as ever."""
    for name in HOSTILE:
        fill(os.path.join(mounted(os.path.join(source, b"disks", name)), b"old"))
    within = mounted(os.path.join(source, b"disks", HOSTILE[0], b"far/within"))
    fill(os.path.join(within, b"old"))
    fill(os.path.join(source, b"disks/no disk"))
    running = agent_on(excludes=excludes)
    running.stop()
    for folder in [within, *(os.path.join(source, b"disks", name) for name in HOSTILE)]:
        unmount(folder)
    shutil.rmtree(os.path.join(source, b"disks/no disk"))
    running.arguments = ("-r",)
    running.start(watching=1)
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"disks/no disk")))
    beaten(running)
    for name in [*HOSTILE, HOSTILE[0] + b"/far/within"]:
        assert has_all(mirror, b"disks/" + name), name
    shutil.rmtree(os.path.join(source, b"disks", HOSTILE[1]))
    pushes(running, source, mirror)
    assert has_all(mirror, b"disks/" + HOSTILE[1])


def test_who_removes_the_folder_that_a_mount_point_is_in_has_deleted_it(agent_on, source, mirror, mounted):
    """Other than a mount point alone, which automounters remove; seen live, and at a start."""
    disks = [mounted(os.path.join(source, name, b"disk")) for name in (b"one", b"two")]
    for folder in disks:
        fill(os.path.join(folder, b"old"))
    running = agent_on()
    for folder in disks:
        unmount(folder)
    wait_for(lambda: "one/disk" in running.log() and "two/disk" in running.log())
    shutil.rmtree(os.path.join(source, b"one"))
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"one")))
    assert has_all(mirror, b"two/disk")
    running.stop()
    shutil.rmtree(os.path.join(source, b"two"))
    running.start()
    wait_equal(source, mirror)
    in_step(running)


def test_a_mount_point_in_an_excluded_folder_is_none_of_our_business(agent_on, source, mirror, mounted):
    """It is neither watched nor missed."""
    running = agent_on(excludes=["cache"])
    excluded = mounted(os.path.join(source, b"cache", b"disk"))
    fill(excluded)
    running.stop()
    running.start(watching=1)
    unmount(excluded)
    pushes(running, source, mirror)
    beaten(running)
    assert MISSING not in running.log()
    assert not os.path.exists(os.path.join(mirror, b"cache"))


# ---- it is mounted ---------------------------------------------------------------------------------------------------


def test_what_is_newly_mounted_is_sent_and_watched_and_deletes_nothing(agent_on, source, mirror, mounted, disk):
    """What it hides stays at the mirror. If it was mounted while the agent was down, that is seen at the start."""
    fill(os.path.join(source, b"new/old"))
    running = agent_on()
    new = mounted(os.path.join(source, b"new"), "-o", "loop", disk)
    write(new, b"before/it was noticed")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"new/before/it was noticed")))
    write(new, b"before/live")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"new/before/live")))
    assert has_all(mirror, b"new")
    in_step(running)
    running.stop()
    later = mounted(os.path.join(source, b"later"))
    write(later, b"file")
    os.utime(os.path.join(later, b"file"), (1, 1))
    running.start()
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"later/file")))
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)


def test_a_disk_that_was_away_for_a_moment_is_watched_again(agent_on, source, mirror, disk1, disk, mounted):
    """The agent sees it only when all is as it was, but for its watches, which are gone."""
    running = agent_on()
    running.signal(signal.SIGSTOP)
    unmount(disk1)
    mounted(disk1, "-o", "loop", disk)
    write(disk1, b"old/0.txt", b"written before it was noticed")
    running.signal(signal.SIGCONT)
    wait_equal(source, mirror)
    write(disk1, b"old/live")
    wait_equal(source, mirror)


def test_another_disk_in_its_place_empties_no_mirror_until_sigusr1_says_so(
    agent_on, source, mirror, disk1, disk, mounted, tmp_path
):
    """An empty one, as after a repair."""
    running = agent_on()
    unmount(disk1)
    says(running, "disk1 " + MISSING)
    fresh = str(tmp_path / "fresh")
    shutil.copy(disk, fresh)
    call("mkfs.ext4", "-q", "-F", fresh)
    mounted(disk1, "-o", "loop", fresh)
    pushes(running, source, mirror)
    running.stop()
    running.arguments = ("-r",)
    running.start(watching=1)
    says(running, "disk1 " + (ANOTHER if TELLS_APART else EMPTY))
    pushes(running, source, mirror, b"another sign")
    assert has_all(mirror)
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)
    write(disk1, b"live")
    wait_equal(source, mirror)


@pytest.mark.skipif(not TELLS_APART, reason="this Python cannot tell file systems apart")
def test_when_the_disk_of_the_watch_folder_is_back_the_one_below_must_be_too(
    agent_on, source, mirror, mounted, disk, tmp_path
):
    """Both go and one comes back, with something else mounted in it, before the agent sees any of it."""
    right, wrong = (os.fsencode(str(tmp_path / name)) for name in ("right", "wrong"))
    fill(os.path.join(right, b"old"))
    write(wrong, b"other")
    mounted(source, "-o", "loop", disk)
    disk1 = mounted(os.path.join(source, b"disk1"), "--bind", os.fsdecode(right))
    running = agent_on()
    running.signal(signal.SIGSTOP)
    unmount(disk1)
    unmount(source)
    mounted(source, "-o", "loop", disk)
    mounted(disk1, "--bind", os.fsdecode(wrong))
    running.signal(signal.SIGCONT)
    says(running, "disk1 " + ANOTHER)
    pushes(running, source, mirror)
    assert has_all(mirror)
    unmount(disk1)
    mounted(disk1, "--bind", os.fsdecode(right))
    write(disk1, b"old/live")
    wait_equal(source, mirror)


def test_another_disk_in_the_place_of_one_is_noticed_though_nobody_saw_that_go(
    agent_on, source, mirror, mounted, tmp_path
):
    """Of a bind mount no watch ends: all that tells is what stands there."""
    right, wrong = (os.fsencode(str(tmp_path / name)) for name in ("right", "wrong"))
    fill(os.path.join(right, b"old"))
    write(wrong, b"other")
    disk1 = mounted(os.path.join(source, b"disk1"), "--bind", os.fsdecode(right))
    running = agent_on()
    running.signal(signal.SIGSTOP)
    unmount(disk1)
    mounted(disk1, "--bind", os.fsdecode(wrong))
    running.signal(signal.SIGCONT)
    says(running, "disk1 " + ANOTHER)
    pushes(running, source, mirror)
    assert has_all(mirror)


def test_a_bind_mount_takes_no_watch_from_the_folder_that_it_shows(agent_on, source, mirror, mounted):
    """While it is there and when it has gone, whether it came first or last."""
    fill(os.path.join(source, b"real"))
    running = agent_on()
    shown = [mounted(os.path.join(source, name), "--bind", os.fsdecode(os.path.join(source, b"real")))
             for name in (b"a bind", b"z bind")]
    wait_equal(source, mirror)
    write(source, b"real/deeper/live")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"real/deeper/live")))
    for folder in shown:
        unmount(folder)
    wait_for(lambda: missed(running, " bind") == 2)
    write(source, b"real/deeper/still/later")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"real/deeper/still/later")))
    for folder in shown:
        mounted(folder, "--bind", os.fsdecode(os.path.join(source, b"real")))
    in_step(running)
    running.stop()
    running.start(watching=4)
    # a push that meets what is just being unmounted finds it empty
    in_step(running)
    for folder in shown:
        unmount(folder)
    wait_for(lambda: missed(running, " bind") == 4)
    write(source, b"real/deeper/still/last")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"real/deeper/still/last")))
    assert all(os.path.exists(os.path.join(mirror, os.path.basename(folder), b"0.txt")) for folder in shown)


def test_check_warns_of_a_disk_that_is_not_mounted(agent_on, daemon, mounted, source):
    """It reads what the agent has remembered."""
    place = mounted(os.path.join(source, b"disk1"))
    running = agent_on()
    running.stop()
    files = doctor.Files(running.state_dir, running.state_dir + "/lock", running.pid_file, None)

    def warnings():
        found = doctor.examine(load(os.fsencode(running.config_file)), files, 10)
        return [each for each in map(str, found) if "not mounted as before" in each]

    assert not warnings()
    unmount(place)
    assert len(warnings()) == 1


# ---- the parts -------------------------------------------------------------------------------------------------------


class Seen:
    """A watch folder as a test wants it."""

    def __init__(self, roots=(), empty=(), gone=()):
        self.roots, self.empty, self.gone = dict(roots), empty, gone

    def find(self, path):
        return self.roots.get(path)

    def is_empty(self, path):
        return path in self.empty

    def has_folder(self, path):
        return path not in self.gone


SURE, OTHER, BLIND = Root(8, 2, 77), Root(9, 2, 78), Root(8, 2)


@pytest.mark.parametrize(("known", "now", "kind", "empty", "result"), [
    (SURE, SURE, "ext4", False, "there"), (SURE, SURE._replace(device=9), "ext4", True, "there"),
    (SURE, OTHER, "ext4", False, ANOTHER), (SURE, None, "fuse.sshfs", False, NOT_MOUNTED),
    (BLIND, BLIND, "xfs", False, "there"), (BLIND, BLIND, "xfs", True, EMPTY),
    (BLIND, Root(8, 3), "nfs", False, ANOTHER), (SURE, OTHER, "tmpfs", True, "new"),
    (BLIND, BLIND, "tmpfs", True, "there"),
])
def test_what_is_mounted_at_a_start_is_judged_by_what_was(known, now, kind, empty, result):
    mounts = InnerMounts({b"d": Inner(known)})
    found = mounts.look({b"d": kind}, Seen({b"d": now}, [b"d"] if empty else []), 5.0)
    if result in ("there", "new"):
        assert not mounts.missing
        assert (found.lost, found.new) == ([], [b"d"] if result == "new" else [])
        assert mounts.known[b"d"] == Inner(now, 0.0 if result == "new" else None)
    else:
        assert (mounts.missing, found.lost) == ({b"d": result}, [b"d"])
        assert mounts.known[b"d"] == Inner(known, 5.0)


def test_what_is_mounted_in_place_of_another_between_two_looks_is_judged_too():
    """Though it was there both times."""
    mounts = InnerMounts({})
    mounts.look({b"d": "ext4"}, Seen({b"d": SURE}), 1.0)
    assert mounts.replaced({b"d": "ext4"}, Seen({b"d": SURE})) == frozenset()
    assert mounts.replaced({}, Seen({b"d": OTHER})) == frozenset()
    assert mounts.replaced({b"d": "ext4"}, Seen({b"d": OTHER})) == {b"d"}
    assert mounts.look({b"d": "ext4"}, Seen({b"d": OTHER}), 5.0, {b"d"}).lost == [b"d"]
    assert mounts.missing == {b"d": ANOTHER}
    assert mounts.replaced({b"d": "ext4"}, Seen({b"d": OTHER})) == frozenset()


def test_from_when_on_changes_are_unknown_goes_back_and_never_forth_until_all_has_arrived():
    mounts, there = InnerMounts({b"d": Inner(SURE)}), Seen({b"d": SURE})
    mounts.look({b"d": "ext4"}, there, 1.0)
    assert mounts.look({}, there, 5.0).lost == [b"d"]
    assert mounts.look({}, there, 6.0) == ([], {}, [], [])
    mounts.date_back(3.0)
    mounts.date_back(4.0)
    mounts.settle()
    assert mounts.look({b"d": "ext4"}, there, 9.0).back == {b"d": True}
    assert mounts.known == {b"d": Inner(SURE, 3.0)}
    mounts.date_back(0.0)
    assert mounts.known == {b"d": Inner(SURE, 3.0)}
    mounts.settle()
    assert mounts.known == {b"d": Inner(SURE)}
    assert mounts.look({b"d": "ext4"}, there, 12.0, {b"d"}).back == {b"d": True}
    assert mounts.known == {b"d": Inner(SURE, 12.0)}


def test_that_a_push_may_have_met_a_place_while_it_was_empty_is_known_until_all_has_arrived():
    mounts, there = InnerMounts({b"d": Inner(SURE)}), Seen({b"d": SURE})
    assert mounts.look({}, there, 5.0).lost == [b"d"]
    mounts.suspect(b"d")
    mounts.suspect(b"forgotten by now")
    mounts.settle()
    assert mounts.look({b"d": "ext4"}, there, 9.0).back == {b"d": True}
    assert mounts.known == {b"d": Inner(SURE, 5.0, True)}
    mounts.settle()
    assert mounts.known == {b"d": Inner(SURE)}


def test_what_has_never_arrived_as_a_whole_is_told_from_what_has_been_away_for_ever():
    """Only of the latter the remotes have nothing that was never there."""
    mounts, there = InnerMounts({b"old": Inner(SURE)}), Seen({b"old": SURE, b"new": SURE})
    assert mounts.look({b"new": "ext4"}, there, 5.0) == ([b"old"], {}, [b"new"], [])
    mounts.date_back(0.0)
    both = InnerMounts(mounts.known)
    both.look({b"old": "ext4", b"new": "ext4"}, there, 9.0)
    assert [both.known[path].since for path in (b"old", b"new")] == [1.0, 0.0]


def test_what_is_mounted_in_a_missing_one_is_not_forgotten_though_its_folder_is_gone():
    mounts, seen = InnerMounts({b"d": Inner(SURE), b"d/x/y": Inner(OTHER)}), Seen({b"d": SURE}, gone=[b"d/x"])
    assert mounts.look({}, seen, 1.0).forgotten == []
    assert mounts.topmost() == {b"d": NOT_MOUNTED}
    assert mounts.look({b"d": "ext4"}, Seen({b"d": SURE}), 2.0).forgotten == []
    assert mounts.topmost() == {b"d/x/y": NOT_MOUNTED}
    assert mounts.look({b"d": "ext4"}, seen, 2.0).forgotten == [b"d/x/y"]
    assert not mounts.missing


def test_what_a_comparison_has_found_too_much_stays_where_a_disk_has_gone_since(source):
    """As does what is dirty there; what is beside it goes."""
    missing = Filter().without(frozenset([b"disk1"]))
    batch = Batch({}, {}, {}, {}, surplus=(b"disk1", b"disk1/file", b"disk", b"disk10/file"))
    order = next(sessions(Target(source, Remote("host", "m"), Rsync(), True), missing, batch))
    assert list(order.feed) == [b"/disk10/\0", b"/disk\0", b"/disk10/file\0"]


def test_a_filter_leaves_out_what_is_missing_beside_what_its_rules_name():
    rules = Filter([r"(.*)\.tmp"])
    both = rules.without(frozenset([b"a/disk"]))
    assert Filter().without(frozenset([b"d"]))
    assert not Filter().without(frozenset())
    for path in (b"a/disk", b"a/disk/x", b"a/disk/x/y", b"x.tmp"):
        assert both.hides(path)
    for path in (b"a", b"a/disk2", b"a/dis", b"disk", b"b/a/disk"):
        assert not both.hides(path)
    assert both.excludes(b"a/disk", folder=True)
    assert both.misses(b"a/disk/x/y")
    assert not both.misses(b"x.tmp")
    assert not rules.hides(b"a/disk")


def test_thousands_of_missing_mounts_are_looked_at_and_left_out_quickly(tmp_path):
    known = {b"disks/%d" % number: Inner(SURE) for number in range(20000)}
    file = os.fsencode(str(tmp_path / "mounts"))
    inner.save(file, known)
    mounts = InnerMounts(inner.load(file))
    assert mounts.known == known
    assert len(mounts.look({}, Seen(), 1.0).lost) == 20000
    assert mounts.look({}, Seen(gone=[b"disks"]), 1.0).forgotten == sorted(known)


def test_what_is_remembered_is_what_was_saved(tmp_path):
    file = os.fsencode(str(tmp_path / "state" / "mounts"))
    assert inner.load(file) == {}
    known = {name: Inner(Root(8, 2, number), None if number % 2 else number / 3, number % 3 == 1)
             for number, name in enumerate(HOSTILE)}
    inner.save(file, known)
    assert inner.load(file) == known
    with open(file, "wb") as of_the_first_version:
        of_the_first_version.write(b'[["a", [1, 2], 5.0]]')
    assert inner.load(file) == {b"a": Inner(Root(1, 2), 5.0, False)}
    for text in (b"", b"{", b"[1]", b'[["a", [1, 2], {}, false]]', b'[[1, [1, 2], null, true]]',
                 b'[["a", [1], null, true]]', b'[["a", [1, 2]]]', b"\xff"):
        with open(file, "wb") as damaged:
            damaged.write(text)
        with pytest.raises(ValueError):  # noqa: PT011
            inner.load(file)


def test_a_mount_is_seen_to_come_and_go(tmp_path, mounted):
    """Below a folder whose own name has in it what the kernel escapes, too, and through a symlink to that."""
    loop = Loop()
    table = inner.MountTable(loop)
    watch, link = (os.fsencode(str(tmp_path / name)) for name in ("a b\n\\040\t#", "link"))
    os.symlink(watch, link)
    with contextlib.closing(table):
        table.changed()
        for name in HOSTILE:
            place = mounted(os.path.join(watch, name))
            assert table.changed()
            assert inner.below(link) == inner.below(watch) == {name: "tmpfs"}
            assert find(place) == inner.View(watch, os.path.isdir).find(name)
            subprocess.run(["umount", place], check=True)
            assert table.changed()
            assert inner.below(watch) == {}
    loop.close()


def test_the_wait_ends_when_the_table_of_mounts_changes(tmp_path, mounted):
    """Of a bind mount inotify does not tell, and a push under way finds nothing in the place of what was mounted."""
    loop = Loop()
    table = inner.MountTable(loop)
    with contextlib.closing(table):
        table.changed()
        for change in (mounted, unmount):
            loop.wait(0.0)
            while table.changed():
                loop.wait(0.0)
            change(os.fsencode(str(tmp_path / "place")))
            begun = time.monotonic()
            loop.wait(60.0)
            assert time.monotonic() - begun < 50
            assert table.changed()
    loop.close()
