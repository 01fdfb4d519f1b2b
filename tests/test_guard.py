"""The watch folder goes, is covered, swapped, emptied, or cannot be read: no mirror loses anything, and it goes on."""

import contextlib
import itertools
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import pytest
from rig import Agent, Daemon, Relay, wait_equal, wait_for
from test_mirror import EXACT, fill, read, started, write

from sersync_py import guard
from sersync_py.guard import LONGEST_REST, REST_SECONDS, Emptied, Guard, Root
from sersync_py.scan import MARGIN_NS

QUICK = """
import sersync_py.cli, sersync_py.agent, sersync_py.debts, sersync_py.guard, sersync_py.source
sersync_py.agent.HEARTBEAT_SECONDS = sersync_py.source._GUARD_SECONDS = 0.15
sersync_py.debts.OWED_SECONDS = 0.2
sersync_py.guard.REST_SECONDS = 0.8
"""
HEARTBEATS = 0.5
"""Seconds in which there are some: a heartbeat must not make the agent forget how long it has been blind."""
UNTIL_BACK = "nothing is pushed or deleted until it is back"


def call(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        raise OSError(f"{words!r}: {done.stdout!r}")


def free(folder):
    """Take away all that is mounted on a folder."""
    while not subprocess.call(["umount", "--lazy", os.fsdecode(folder)], stderr=subprocess.DEVNULL):
        pass


@pytest.fixture
def mount(source, tmp_path):
    """A function that mounts something on a folder, the watch folder most often; taken off with the test."""
    folders = []

    def do(*words, on=source):
        folders.append(on)
        try:
            call("mount", *words, os.fsdecode(on))
        except OSError as error:
            pytest.skip(str(error))

    yield do
    for folder in folders:
        free(folder)


def unmount(folder, *options):
    """Take off what was mounted last; a session that waits for the next change keeps it busy for a while."""
    wait_for(lambda: not subprocess.call(["umount", *options, os.fsdecode(folder)], stderr=subprocess.DEVNULL), 20,
             "nobody to use the file system")


@pytest.fixture
def disk(tmp_path):
    """The image of a small ext4, with a journal: without one it gives no inode away again for some seconds."""
    image = str(tmp_path / "disk")
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    try:
        call("mkfs.ext4", "-q", image)
    except OSError as error:
        pytest.skip(str(error))
    return image


@pytest.fixture
def begin(source, daemon, agent):
    """A function that starts an agent in step with one mirror."""

    def do(prelude="", **options):
        running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, **options)
        running.prelude = QUICK + prelude
        fill(os.path.join(source, b"old"))
        started(running, source, [daemon.mirrors[0]])
        running.arguments = ()
        return running

    return do


@pytest.fixture
def mirror(daemon):
    return daemon.mirrors[0]


def goes_on(running, source, mirror):
    """See that the trees become equal, and that live changes arrive again."""
    wait_equal(source, mirror)
    write(source, b"old/deeper/live", b"after it was back")
    os.remove(os.path.join(source, b"old/deeper/still/4.txt"))
    wait_equal(source, mirror)
    assert "Traceback" not in running.report()


def is_whole(mirror):
    """Say whether nothing that `fill` has made is missing."""
    names = [b"%d.txt" % number for number in range(5)]
    return all(os.path.exists(os.path.join(mirror, b"old", below, name)) for below in (b"", b"deeper/still")
               for name in names)


def says(running, words, times=1):
    """Wait until the log has a line with these words, and see that it is no more of them."""
    wait_for(lambda: running.log().count(words) >= times, 20, words)
    assert running.log().count(words) == times


def change(folder):
    """What a scan must find: a write, a deletion of a file and of a folder, a folder that was moved in."""
    write(folder, b"old/0.txt", b"written meanwhile")
    os.remove(os.path.join(folder, b"old/1.txt"))
    shutil.rmtree(os.path.join(folder, b"old/deeper/still"))
    fill(os.path.join(folder, b"old/deeper/still"))
    os.remove(os.path.join(folder, b"old/deeper/still/3.txt"))


# ---- mounts ----------------------------------------------------------------------------------------------------------


def test_a_file_system_mounted_over_the_watch_folder_is_not_taken_for_it(begin, source, mirror, mount):
    """It is empty, then it is written to; what changes below it, through another path, arrives when it is off."""
    running = begin()
    below = source + b".below"
    os.mkdir(below)
    mount("--bind", os.fsdecode(source), on=below)
    mount("-t", "tmpfs", "tmpfs")
    running.signal(signal.SIGUSR1)
    says(running, "is another folder or file system than it was; " + UNTIL_BACK + " (if it is meant: SIGHUP)")
    write(source, b"old/0.txt", b"of the other file system")
    change(below)
    time.sleep(HEARTBEATS)
    assert is_whole(mirror)
    assert read(mirror, b"old/0.txt") == b"file 0"
    assert not os.path.exists(os.path.join(mirror, b"old/deeper/live"))
    unmount(source)
    says(running, ": is back")
    goes_on(running, source, mirror)


@pytest.mark.parametrize("lazily", [False, True], ids=["", "lazily"])
def test_an_unmounted_disk_empties_no_mirror_and_what_was_changed_on_it_elsewhere_arrives(
    begin, source, mirror, mount, disk, lazily
):
    """Its watches are gone, and no event tells of what happens to it until it is back."""
    mount("-o", "loop", disk)
    running = begin(warm=0)
    elsewhere = source + b".elsewhere"
    os.mkdir(elsewhere)
    if lazily:
        mount("--bind", os.fsdecode(source), on=elsewhere)
        unmount(source, "--lazy")
    else:
        unmount(source)
        mount("-o", "loop", disk, on=elsewhere)
    says(running, "is another folder or file system than it was")
    time.sleep(HEARTBEATS)
    change(elsewhere)
    time.sleep(MARGIN_NS / 1e9 + HEARTBEATS)
    assert is_whole(mirror)
    unmount(elsewhere)
    mount("-o", "loop", disk)
    known = Guard(source).root.file_system
    if known:
        says(running, ": is back")
    else:
        # Python 3.6: it may be taken for another one, by its device number or to be on the safe side; the user says no
        running.signal(signal.SIGHUP)
        says(running, "config reloaded")
        running.signal(signal.SIGUSR1)
    goes_on(running, source, mirror)
    assert not known or "cannot be told from another one" not in running.log()


@pytest.fixture
def loop_device():
    """A function that returns the loop device of a disk, which stays its own until the test is over."""
    made = {}

    def device_of(disk):
        if disk not in made:
            found = subprocess.run(["losetup", "-f", "--show", disk], stdout=subprocess.PIPE, check=True).stdout
            made[disk] = os.fsdecode(found.strip())
        return made[disk]

    yield device_of
    for device in made.values():
        subprocess.run(["losetup", "-d", device], check=True)


def test_a_disk_that_was_away_for_a_moment_is_watched_again(begin, source, mirror, loop_device, mount, disk):
    """The agent sees it only when all is as it was, but for its watches, which are gone.

    They are not if somebody else's mount namespace holds the file system; then there is nothing to be noticed.
    """
    # one device for both mounts: Python 3.6 knows the disk by its number alone
    mount(loop_device(disk))
    running = begin(warm=0)
    running.signal(signal.SIGSTOP)
    unmount(source)
    mount(loop_device(disk))
    write(source, b"old/0.txt", b"written before it was noticed")
    running.signal(signal.SIGCONT)
    goes_on(running, source, mirror)


def test_another_file_system_with_the_same_numbers_is_not_taken_for_the_one_before(
    begin, source, mirror, mount, tmp_path
):
    """A tmpfs mounted anew gets the device and inode numbers of the old one; nothing is deleted, until SIGUSR1."""
    mount("-t", "tmpfs", "tmpfs")
    before = os.stat(source)
    running = begin(warm=0)
    running.signal(signal.SIGSTOP)

    unmount(source)
    folders = itertools.count()

    def has_the_same_numbers():
        # the kernel gives out the lowest number that is free: lower ones are kept until it is the turn of this one
        holder = os.fsencode(str(tmp_path / f"holder{next(folders)}"))
        os.mkdir(holder)
        mount("-t", "tmpfs", "tmpfs", on=holder)
        minor = os.minor(os.stat(holder).st_dev)
        if minor == os.minor(before.st_dev):
            mount("--bind", os.fsdecode(holder), on=source)
        elif minor > os.minor(before.st_dev):
            # another test has it
            unmount(holder)
        return minor == os.minor(before.st_dev)

    wait_for(has_the_same_numbers, 120)
    assert (os.stat(source).st_dev, os.stat(source).st_ino) == (before.st_dev, before.st_ino)
    write(source, b"old/0.txt", b"restored")
    running.signal(signal.SIGCONT)
    if Guard(source).root.file_system:
        says(running, "is another folder or file system than it was")
        assert read(mirror, b"old/0.txt") == b"file 0"
        running.signal(signal.SIGHUP)
        says(running, "is another folder than was mirrored before")
    else:
        says(running, "cannot be told from another one")
    wait_for(lambda: read(mirror, b"old/0.txt") == b"restored")
    os.remove(write(source, b"old/live"))
    write(source, b"old/live too")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"old/live too")))
    assert is_whole(mirror)
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)


def test_the_wrong_disk_at_a_start_empties_no_mirror(begin, source, mirror, mount, disk, tmp_path):
    """The root of each ext4 is inode 2."""
    mount("-o", "loop", disk)
    if not Guard(source).root.file_system:
        pytest.skip("this Python cannot tell file systems apart")
    running = begin(warm=0)
    running.stop()
    unmount(source)
    wrong = str(tmp_path / "wrong disk")
    shutil.copy(disk, wrong)
    call("mkfs.ext4", "-q", wrong)
    mount("-o", "loop", wrong)
    write(source, b"other/file", b"of the wrong disk")
    running.start(watching=0)
    says(running, "is another folder than was mirrored before (a disk that is not mounted?)")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"other/file")))
    running.stop()
    assert is_whole(mirror)
    unmount(source)
    mount("-o", "loop", disk)
    running.start()
    running.signal(signal.SIGUSR1)
    goes_on(running, source, mirror)


# ---- renamed, removed, replaced --------------------------------------------------------------------------------------


def test_a_parent_that_is_renamed_empties_no_mirror(daemon, agent, tmp_path):
    """No event tells of it; the folder is gone from its place, is changed there, and comes back."""
    source, mirror = os.fsencode(str(tmp_path / "parent" / "source")), daemon.mirrors[0]
    fill(os.path.join(source, b"old"))
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT)
    running.prelude = QUICK
    started(running, source, [mirror])
    os.rename(str(tmp_path / "parent"), str(tmp_path / "renamed"))
    says(running, "is gone; " + UNTIL_BACK)
    change(os.fsencode(str(tmp_path / "renamed" / "source")))
    time.sleep(HEARTBEATS)
    assert is_whole(mirror)
    os.rename(str(tmp_path / "renamed"), str(tmp_path / "parent"))
    says(running, ": is back")
    goes_on(running, source, mirror)


def test_a_watch_folder_that_is_removed_and_made_anew_is_another_one_though_it_has_the_same_inode(
    daemon, agent, mirror, mount, disk, tmp_path
):
    """All is removed and the new one has something else in it before the agent sees any of it."""
    place = os.fsencode(str(tmp_path / "place"))
    os.mkdir(place)
    mount("-o", "loop", disk, on=place)
    source = os.path.join(place, b"source")
    fill(os.path.join(source, b"old"))
    # a session that waits in it would keep the inode
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, warm=0)
    running.prelude = QUICK
    started(running, source, [mirror])
    running.signal(signal.SIGSTOP)
    inode = os.stat(source).st_ino
    shutil.rmtree(source)

    def made_with_the_inode():
        # the kernel may take a moment to give the number away again
        made = [os.path.join(place, b"%d" % number) for number in range(1000)]
        for folder in made:
            os.mkdir(folder)
            if os.stat(folder).st_ino == inode:
                return folder
        for folder in made:
            os.rmdir(folder)
        return None

    os.rename(wait_for(made_with_the_inode, message="the number of the inode"), source)
    write(source, b"new", b"of the new one")
    running.signal(signal.SIGCONT)
    says(running, "is another folder or file system than it was")
    time.sleep(HEARTBEATS)
    assert is_whole(mirror)
    running.signal(signal.SIGHUP)
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"new")))
    assert is_whole(mirror)
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)


SWAPPED = """
from sersync_py import session
opened = session.open_folder
def swap(folder, root):
    if os.path.exists(folder + b"/swap"):
        os.rename(folder, folder + b".away")
        os.mkdir(folder)
    return opened(folder, root)
session.open_folder = swap
"""


def test_a_watch_folder_that_is_replaced_in_the_moment_in_which_a_session_starts_empties_no_mirror(
    source, daemon, agent, mirror
):
    """After the last look at it, and before rsync is in it."""
    fill(os.path.join(source, b"old"))
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, warm=0)
    running.prelude = "import os" + QUICK + SWAPPED
    started(running, source, [mirror])
    running.signal(signal.SIGSTOP)
    write(source, b"from the start", b"written again")
    write(source, b"swap")
    running.signal(signal.SIGCONT)
    says(running, "is another folder or file system than it was")
    time.sleep(HEARTBEATS)
    assert os.path.exists(os.path.join(mirror, b"from the start"))
    os.rmdir(source)
    os.remove(os.path.join(source + b".away", b"swap"))
    os.rename(source + b".away", source)
    wait_equal(source, mirror)


def test_a_session_that_is_on_its_way_when_the_watch_folder_is_replaced_deletes_nothing(source, daemon, agent, mirror):
    """It still waits for the daemon's greeting when another folder takes the place; it stays in the one it began in."""
    fill(os.path.join(source, b"old"))
    with Relay(daemon.port) as relay:
        running = agent(source, [daemon.remotes[0]], "-r", port=relay.port, params=EXACT, warm=0)
        started(running, source, [mirror])
        relay.stall()
        before = relay.connections
        write(source, b"old/1.txt", b"written again")
        wait_for(lambda: relay.connections > before)
        os.rename(source, source + b" renamed")
        os.mkdir(source)
        relay.resume()
        wait_for(lambda: read(mirror, b"old/1.txt") == b"written again")
        os.rmdir(source)
        os.rename(source + b" renamed", source)
        wait_equal(source, [mirror])


def test_what_waits_for_a_remote_is_not_looked_for_in_another_folder(begin, source, daemon, mirror):
    """It was written while the remote was away; then the disk goes, and SIGHUP or a restart makes the agent take what
    is left there. Not even the fail log makes it a deletion."""
    running = begin()
    daemon.stop()
    write(source, b"old/0.txt", b"written while the remote was away")
    shutil.rmtree(os.path.join(source, b"old/deeper"))
    wait_for(lambda: os.path.exists(running.fail_log) and b"old/0.txt" in read(os.fsencode(running.fail_log)))
    os.rename(source, source + b".disk")
    os.mkdir(source)
    write(source, b"stray")
    says(running, "is another folder or file system than it was")
    running.signal(signal.SIGHUP)
    says(running, "is another folder than was mirrored before")
    running.kill()
    running.end()
    running.start()
    daemon.start()
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"stray")))
    wait_for(lambda: not read(os.fsencode(running.fail_log)))
    assert is_whole(mirror)
    os.rename(source, source + b".mountpoint")
    os.rename(source + b".disk", source)
    wait_for(lambda: read(mirror, b"old/0.txt") == b"written while the remote was away")
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"old/deeper")))
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)


# ---- it cannot be read -----------------------------------------------------------------------------------------------


def test_a_watch_folder_that_may_not_be_read_any_more_empties_no_mirror():
    """The agent is not root; the folder's owner takes its permissions away, and gives them back."""
    place = tempfile.mkdtemp()
    os.chmod(place, 0o777)
    source, mirror = os.fsencode(place + "/source"), os.fsencode(place + "/m")
    fill(os.path.join(source, b"old"))
    os.mkdir(place + "/agent")
    os.chmod(place + "/agent", 0o777)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, place)
        daemon = stack.enter_context(Daemon(place + "/daemon", {"m": mirror}))
        running = Agent(place + "/agent", source, daemon, "-r", params=EXACT)
        stack.callback(running.end)
        running.prelude = QUICK
        if os.geteuid() == 0:
            # what runpy needs is loaded while it can be read
            running.prelude += "import runpy\nimport importlib.util\nimport os\n"
            running.prelude += "os.setgroups([])\nos.setgid(65534)\nos.setuid(65534)\n"
        started(running, source, [mirror])
        os.chmod(source, 0)
        says(running, "cannot be used (Permission denied); " + UNTIL_BACK)
        if os.geteuid() == 0:
            change(source)
        time.sleep(HEARTBEATS)
        assert is_whole(mirror)
        os.chmod(source, 0o755)
        says(running, ": is back")
        goes_on(running, source, mirror)


# ---- it is emptied ---------------------------------------------------------------------------------------------------

EMPTIED = "has become empty; deletions wait until there is something in it again (if it is to be so: SIGUSR1)"
SLOW_TO_REST = "sersync_py.guard.REST_SECONDS = 6\n"


def empty(running, source):
    """Take everything out of the watch folder, by renames, before the agent sees any of it; return where it is."""
    away = source + b".away"
    os.mkdir(away)
    running.signal(signal.SIGSTOP)
    for name in os.listdir(source):
        os.rename(os.path.join(source, name), os.path.join(away, name))
    running.signal(signal.SIGCONT)
    says(running, EMPTIED)
    return away


def test_a_watch_folder_that_becomes_empty_empties_no_mirror_until_sigusr1_says_so(begin, source, daemon, mirror):
    """Neither by what was seen to go, nor by what waits for a remote that was away, nor at a restart."""
    running = begin()
    daemon.stop()
    write(source, b"more/than/that")
    wait_for(lambda: "away" in running.log())
    empty(running, source)
    daemon.start()
    time.sleep(HEARTBEATS)
    assert is_whole(mirror)
    running.stop()
    running.start()
    wait_for(lambda: "is empty; nothing is deleted" in running.log())
    time.sleep(0.5)
    assert is_whole(mirror)
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)
    write(source, b"and on")
    wait_equal(source, mirror)


def test_what_was_taken_out_by_mistake_and_is_brought_back_was_never_deleted_at_the_mirror(begin, source, mirror):
    """Bit by bit, with pauses: it waits until all is back."""
    running = begin(SLOW_TO_REST)
    away = empty(running, source)
    kept = os.path.join(mirror, b"old/0.txt")
    inode = os.stat(kept).st_ino
    write(source, b"first")
    time.sleep(0.4)
    for name in os.listdir(away):
        os.rename(os.path.join(away, name), os.path.join(source, name))
    says(running, "deletions go on")
    goes_on(running, source, mirror)
    assert os.stat(kept).st_ino == inode


def test_deletions_go_on_when_something_else_is_there_and_all_is_at_rest(begin, source, mirror):
    """A tree that is replaced by another one."""
    running = begin()
    empty(running, source)
    write(source, b"another/tree")
    says(running, "deletions go on")
    wait_equal(source, mirror)


def is_in_step(running, ask):
    """Ask the agent whether nothing is to be sent and nothing is on its way; an answer from before does not count."""
    asked = time.time()
    code, text = ask(running, "--json")
    assert code == 0
    found = json.loads(text)
    remotes = [remote for watch in found["watches"] for remote in watch["remotes"]]
    return found["at"] >= asked and all(remote["state"] == "in step" for remote in remotes)


def test_sigusr1_lets_go_what_waits_while_the_folder_is_empty(begin, source, mirror, ask):
    """And the next time it becomes empty it is asked again."""
    running = begin()
    empty(running, source)
    running.signal(signal.SIGUSR1)
    wait_equal(source, mirror)
    # seen in one go: what is in a new folder may otherwise go twice, and what is on its way when all goes, goes as well
    running.signal(signal.SIGSTOP)
    fill(os.path.join(source, b"old"))
    running.signal(signal.SIGCONT)
    wait_equal(source, mirror)
    wait_for(lambda: is_in_step(running, ask))
    # not to where the first one is: what happened to that would for a moment be told of by its old name
    running.signal(signal.SIGSTOP)
    os.rename(os.path.join(source, b"old"), source + b".away too")
    running.signal(signal.SIGCONT)
    says(running, EMPTIED, 2)
    time.sleep(0.5)
    assert is_whole(mirror)


def test_the_last_files_of_a_small_tree_go_at_once(source, daemon, agent, mirror):
    """A folder that is empty at times is nothing to ask about."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT)
    started(running, source, [mirror])
    for number in range(9):
        write(source, b"%d" % number)
    wait_equal(source, mirror)
    running.signal(signal.SIGSTOP)
    for name in os.listdir(source):
        os.remove(os.path.join(source, name))
    running.signal(signal.SIGCONT)
    wait_equal(source, mirror)
    assert EMPTIED not in running.log()


def test_with_deletions_switched_off_an_empty_folder_is_nothing_to_ask_about(source, daemon, agent, mirror):
    """Nothing would be deleted anyway."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, delete=False)
    fill(os.path.join(source, b"old"))
    started(running, source, [mirror])
    os.remove(os.path.join(source, b"from the start"))
    os.rename(os.path.join(source, b"old"), source + b".away")
    time.sleep(0.5)
    write(source, b"next")
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"next")))
    assert EMPTIED not in running.log()
    assert is_whole(mirror)


# ---- the parts -------------------------------------------------------------------------------------------------------


def test_deletions_wait_while_it_is_empty_then_until_it_rests_and_not_for_ever():
    emptied = Emptied()
    assert emptied.alarm() == float("inf")
    emptied.begin()
    assert emptied.waits
    for now in (0, 1000):
        emptied.changed(now)
        assert not emptied.is_over(True, now)
        assert emptied.alarm() == float("inf")
    assert not emptied.is_over(False, 2000)
    emptied.changed(2004)
    assert not emptied.is_over(False, 2000 + REST_SECONDS)
    assert emptied.alarm() == 2004 + REST_SECONDS
    assert emptied.is_over(False, 2004 + REST_SECONDS)
    assert not emptied.waits


def test_deletions_go_on_after_a_minute_of_unrest_and_not_if_it_has_become_empty_again():
    emptied = Emptied()
    emptied.begin()
    for now in range(int(LONGEST_REST)):
        emptied.changed(now)
        assert not emptied.is_over(False, now)
    assert not emptied.is_over(True, LONGEST_REST)
    assert not emptied.is_over(False, LONGEST_REST + 1)
    for now in range(int(LONGEST_REST) + 1, 2 * int(LONGEST_REST) + 1):
        emptied.changed(now)
        assert not emptied.is_over(False, now)
    assert emptied.is_over(False, 2 * LONGEST_REST + 1)


@pytest.mark.parametrize(("other", "same", "may_be"), [
    (Root(8, 2, 77), True, True), (Root(9, 2, 77), True, True), (Root(8, 3, 77), False, False),
    (Root(8, 2, 78), False, False), (Root(9, 2, 0), False, True), (Root(8, 2, 0), False, True),
])
def test_a_folder_is_told_by_its_file_system_and_inode(other, same, may_be):
    known = Root(8, 2, 77)
    assert (known.is_same(other), known.may_be(other)) == (same, may_be)
    assert (other.is_same(known), other.may_be(known)) == (same, may_be)


def test_without_an_id_of_the_file_system_the_device_tells_but_not_over_a_restart_of_the_machine():
    assert Root(8, 2).is_same(Root(8, 2))
    assert not Root(8, 2).is_same(Root(9, 2))
    assert Root(8, 2).may_be(Root(9, 2))


def test_what_mkfs_leaves_in_it_makes_a_folder_no_less_empty(tmp_path):
    folder = os.fsencode(str(tmp_path))
    assert guard.is_empty(folder)
    os.mkdir(os.path.join(folder, b"lost+found"))
    assert guard.is_empty(folder)
    write(folder, b"file")
    assert not guard.is_empty(folder)
    assert guard.is_empty(folder + b"/nowhere")


def test_what_the_guard_finds(tmp_path):
    folder = os.fsencode(str(tmp_path / "folder"))
    assert Guard(folder).root == guard.NOWHERE
    assert Guard(folder).trouble() == "is gone"
    os.mkdir(folder)
    known = Guard(folder)
    assert known.trouble() == ""
    os.rename(folder, folder + b".away")
    assert known.trouble() == "is gone"
    with open(folder, "wb"):
        assert known.trouble() == "is gone"
    os.remove(folder)
    os.mkdir(folder)
    assert known.trouble() == guard.REPLACED
    with pytest.raises(OSError, match="another folder has taken the place"):
        guard.open_folder(folder, known.root)
    os.rmdir(folder)
    os.rename(folder + b".away", folder)
    assert known.trouble() == ""
    os.close(guard.open_folder(folder, known.root))
    known.forget()
    assert known.trouble() == guard.REPLACED
