"""A renamed folder does not travel again: the remote makes it of what it has. Whatever goes wrong, nothing is lost."""

import os
import shutil
import signal

import pytest
from rig import Daemon, Relay, wait_equal, wait_for
from test_mirror import EXACT, started, write

from sersync_py import orders
from sersync_py.outcomes import DONE, Outcome, forgiven
from sersync_py.settings import Remote, Rsync
from sersync_py.target import Target

MEGABYTE = 1 << 20


@pytest.fixture
def moving(source, daemon, agent):
    """A running agent with a folder of 2 MB that is at the mirror, and a relay that counts what is sent."""
    for number in range(20):
        write(source, b"old/deep/%d" % number, os.urandom(100000))
    write(source, b"other/file")
    with Relay(daemon.port) as relay:
        running = agent(source, [daemon.remotes[0]], port=relay.port, params=EXACT)
        started(running, source, daemon.mirrors[:1])
        running.relay = relay
        yield running


def sent_by(running, change, source, mirror):
    """Return the bytes that a change costs, until the mirror is equal and nothing is under way."""
    before = running.relay.bytes_sent
    change()
    wait_equal(source, mirror)
    return running.relay.bytes_sent - before


def at(source, *names):
    return [os.path.join(source, name) for name in names]


def test_a_renamed_folder_is_not_sent_again(moving, source, daemon):
    """Some kilobytes instead of all that is in it; what was under the old name is gone."""
    def change():
        # half of a rename, read alone, is a folder that left the tree
        moving.signal(signal.SIGSTOP)
        os.rename(*at(source, b"old", b"new"))
        moving.signal(signal.SIGCONT)

    assert sent_by(moving, change, source, daemon.mirrors[0]) < MEGABYTE / 10


def test_a_folder_moved_into_a_new_one_and_on_is_not_sent_again(moving, source, daemon):
    """The remote knows its first name only, and nothing of the folder that it goes into."""
    def change():
        # read half-way, the first rename would be a folder that left the tree
        moving.signal(signal.SIGSTOP)
        os.rename(*at(source, b"old", b"between"))
        os.makedirs(os.path.join(source, b"a/b"))
        os.rename(*at(source, b"between", b"a/b/new"))
        moving.signal(signal.SIGCONT)

    assert sent_by(moving, change, source, daemon.mirrors[0]) < MEGABYTE / 2


@pytest.mark.parametrize("name", [b"*", b"ot[gh]er", b"o?her", b"other\\*"])
def test_a_new_name_that_is_a_pattern_too_means_just_itself(moving, source, daemon, name):
    """A daemon expands wildcards in the folder that it is to write to: what is there already must stay as it is."""
    moving.signal(signal.SIGSTOP)
    os.rename(*at(source, b"old", name))
    moving.signal(signal.SIGCONT)
    wait_equal(source, daemon.mirrors[0])
    assert os.listdir(os.path.join(daemon.mirrors[0], b"other")) == [b"file"]


def test_a_folder_that_takes_the_place_of_a_symlink_is_not_written_through_it(source, tmp_path, agent):
    """Where a daemon changes the targets of symlinks (without chroot, by default) nobody can go through them."""
    write(source, b"old/deep/1", b"of old")
    write(source, b"other/file")
    os.symlink(b"other", os.path.join(source, b"link"))
    os.symlink(b"../other", os.path.join(source, b"other/up"))
    mirror = os.fsencode(str(tmp_path / "plain"))
    with Daemon(str(tmp_path / "plain daemon"), {"m": mirror}, extra_module="munge symlinks = no") as daemon:
        running = agent(source, daemon.remotes, port=daemon.port, params=EXACT)
        started(running, source, [mirror])
        running.signal(signal.SIGSTOP)
        os.remove(os.path.join(source, b"link"))
        os.rename(*at(source, b"old", b"link"))
        running.signal(signal.SIGCONT)
        wait_equal(source, mirror)
        running.stop()
    assert sorted(os.listdir(os.path.join(mirror, b"other"))) == [b"file", b"up"]


def test_what_changes_in_a_folder_that_is_renamed_arrives(moving, source, daemon):
    """New content, new files and deletions, in the same breath."""
    def change():
        os.rename(*at(source, b"old", b"new"))
        write(source, b"new/deep/1", b"changed")
        write(source, b"new/more", b"more")
        os.unlink(os.path.join(source, b"new/deep/2"))
        os.mkdir(os.path.join(source, b"old"))
        write(source, b"old/again", b"again")

    sent_by(moving, change, source, daemon.mirrors[0])


def test_two_folders_that_change_places_arrive_as_they_are(moving, source, daemon):
    """Neither is taken for the other."""
    def change():
        os.rename(*at(source, b"old", b"aside"))
        os.rename(*at(source, b"other", b"old"))
        os.rename(*at(source, b"aside", b"other"))

    sent_by(moving, change, source, daemon.mirrors[0])


def test_a_renamed_folder_that_the_mirror_has_lost_is_sent(moving, source, daemon):
    """What it was to be made of is not there."""
    shutil.rmtree(os.path.join(daemon.mirrors[0], b"old"))
    sent_by(moving, lambda: os.rename(*at(source, b"old", b"new")), source, daemon.mirrors[0])


def test_at_the_mirror_no_file_is_left_with_two_names(moving, source, daemon):
    """A later chmod of one would be one of the other."""
    sent_by(moving, lambda: os.rename(*at(source, b"old", b"new")), source, daemon.mirrors[0])
    wait_for(lambda: os.lstat(os.path.join(daemon.mirrors[0], b"new/deep/1")).st_nlink == 1)


def order_for(name="m/sub", ssh=False, delete=True, params=("-a",)):
    target = Target(b"/data", Remote("host", name), Rsync(params, ssh=ssh), delete)
    return orders.push_moved(target, b"a/old", b"b/c/new")


def test_a_daemon_is_told_the_old_name_from_its_modules_root_and_ssh_from_the_new_one():
    """A daemon's paths begin at the module, those of ssh anywhere."""
    assert b"--link-dest=/sub/a/old/" in order_for().argv
    assert order_for().argv[-2:] == (b"./b/c/new/", b"host::m/sub/b/c/new/")
    assert b"--link-dest=../../../a/old/" in order_for("/srv", ssh=True).argv
    assert order_for("/srv", ssh=True).argv[-1] == b"host:/srv/b/c/new/"


@pytest.mark.parametrize("options", [{"delete": False}, {"params": ("-a", "--inplace")}, {"params": ("--append",)}])
def test_where_a_link_could_do_harm_there_is_none(options):
    """Two names of one file at the mirror that stay: a write or chmod of one would change the other."""
    assert order_for(**options) is None


def test_an_attempt_that_was_refused_went_well_and_one_that_did_not_reach_the_remote_did_not():
    """A remote that is away must be noticed."""
    assert forgiven(Outcome("away", 11, "mkdir failed")).verdict == DONE
    assert forgiven(Outcome("away", 10, "refused")).verdict != DONE
