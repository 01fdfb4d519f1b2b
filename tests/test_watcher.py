"""What the kernel's events become: dirty paths, under the names that the folders have by now."""

import contextlib
import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from sersync_py import watcher as module
from sersync_py.changes import ENTRY
from sersync_py.filters import Filter
from sersync_py.settings import Inotify
from sersync_py.watcher import Watcher

LONG_AFTER = 10.0
"""Seconds after which whatever had to wait is due."""


@pytest.fixture
def tree(tmp_path):
    """A folder with a/b/c in it."""
    root = os.fsencode(str(tmp_path / "tree"))
    os.makedirs(root + b"/a/b/c")
    return root


@pytest.fixture
def watching(tree):
    """A factory of watchers on the tree, covered already and closed with the test."""
    made = []

    def make(*expressions, **kinds):
        made.append(Watcher(tree, Inotify(**kinds), Filter(expressions)))
        made[-1].cover()
        return made[-1]

    yield make
    for each in made:
        each.close()


def write(tree, path):
    with open(os.path.join(tree, path), "wb") as file:
        file.write(b"content")


def seen(watcher):
    """Return what is dirty by now, with all that had to wait."""
    found = watcher.read(1.0).dirty
    found.update(watcher.settle(1.0 + LONG_AFTER).dirty)
    return found


def test_what_happens_below_a_renamed_folder_has_its_new_path(tree, watching):
    """However deep, and whether or not the rename was read before."""
    watcher = watching()
    os.rename(tree + b"/a", tree + b"/z")
    write(tree, b"z/b/c/at once")
    assert {b"z/b/c/at once", b"a", b"z"} <= set(seen(watcher))
    write(tree, b"z/b/c/later")
    os.mkdir(tree + b"/z/b/new")
    assert set(seen(watcher)) == {b"z/b/c/later", b"z/b/new"}
    write(tree, b"z/b/new/deep")
    assert seen(watcher) == {b"z/b/new/deep": ENTRY}
    assert len(watcher) == 5


def test_of_a_folder_that_has_just_appeared_the_mode_is_seen_whatever_is_asked_for(tree, watching):
    """Who copies a tree gives each folder its mode when all is in it; otherwise attributes are seen only if wanted."""
    watcher = watching(attrib=False)
    os.makedirs(tree + b"/new/deep")
    write(tree, b"new/deep/file")
    seen(watcher)
    os.mkdir(tree + b"/a/b/c/new too")
    seen(watcher)
    for path in (b"a", b"a/b", b"new/deep/file", b"new/deep", b"new", b"a/b/c/new too"):
        os.chmod(os.path.join(tree, path), 0o700)
    assert seen(watcher) == {b"new/deep": ENTRY, b"new": ENTRY, b"a/b/c/new too": ENTRY}
    os.rename(tree + b"/new", tree + b"/a/renamed")
    seen(watcher)
    os.chmod(tree + b"/a/renamed/deep", 0o755)
    assert seen(watcher) == {b"a/renamed/deep": ENTRY}


def test_where_new_folders_are_not_wanted_their_modes_are_not_either(tree, watching):
    """Nor those that are excluded."""
    watcher, other = watching(attrib=False, create_folder=False), watching("^left out", attrib=False)
    os.mkdir(tree + b"/new")
    os.mkdir(tree + b"/left out")
    seen(watcher)
    seen(other)
    os.chmod(tree + b"/new", 0o700)
    os.chmod(tree + b"/left out", 0o700)
    assert seen(watcher) == {}
    assert seen(other) == {b"new": ENTRY}


def test_a_folder_renamed_there_and_back_is_still_watched(tree, watching):
    """Unread, the first rename finds nothing at the new place, and the second the folder where it was."""
    watcher = watching()
    os.rename(tree + b"/a", tree + b"/z")
    os.rename(tree + b"/z", tree + b"/a")
    seen(watcher)
    os.rename(tree + b"/a/b", tree + b"/a/d")
    seen(watcher)
    write(tree, b"a/d/c/later")
    assert seen(watcher) == {b"a/d/c/later": ENTRY}
    assert len(watcher) == 4


def test_parent_and_child_that_changed_places_have_their_new_paths(tree, watching):
    """Each was found within the other for a moment."""
    watcher = watching()
    os.rename(tree + b"/a/b", tree + b"/free")
    os.rename(tree + b"/a", tree + b"/free/b")
    os.rename(tree + b"/free", tree + b"/a")
    seen(watcher)
    write(tree, b"a/c/in the former child")
    write(tree, b"a/b/in the former parent")
    assert set(seen(watcher)) == {b"a/c/in the former child", b"a/b/in the former parent"}


def test_a_folder_that_left_the_tree_gives_its_watches_back(tree, watching, tmp_path):
    """And one that is made in its place is watched like any other."""
    watcher = watching()
    os.rename(tree + b"/a", str(tmp_path / "outside").encode())
    os.makedirs(tree + b"/a/b")
    seen(watcher)
    assert len(watcher) == 3
    write(str(tmp_path / "outside").encode(), b"b/no longer ours")
    write(tree, b"a/b/ours")
    assert seen(watcher) == {b"a/b/ours": ENTRY}


@pytest.mark.parametrize("last", ["written", "linked", "removed", "moved over", "held open"])
@pytest.mark.parametrize("first", ["written", "linked", "removed", "moved over"])
def test_whatever_happens_to_one_file_between_two_readings_makes_it_dirty(tree, watching, first, last):
    """Also if the kernel tells of it only that it was made."""
    write(tree, b"a/f")
    write(tree, b"a/other")
    watcher = watching()
    held = []
    for deed in (first, last):
        path = tree + b"/a/f"
        if os.path.exists(path):
            os.remove(path)
        if deed in ("written", "held open"):
            held.append(open(path, "wb"))  # noqa: SIM115
            if deed == "written":
                held.pop().close()
        elif deed == "linked":
            os.link(tree + b"/a/other", path)
        elif deed == "moved over":
            write(tree, b"a/.temporary")
            os.rename(tree + b"/a/.temporary", path)
    assert seen(watcher) == {b"a/f": ENTRY}
    for each in held:
        each.close()
    assert bool(seen(watcher)) is bool(held)


def test_below_a_folder_without_a_watch_none_is_watched_and_all_are_later(tree, watching, monkeypatch):
    """Were c watched and not b, events in c would have a wrong path once b is renamed in a folder without a watch."""
    real = module._Binding.add_bytes
    monkeypatch.setattr(module._Binding, "add_bytes", lambda self, handle, path, mask: -1 if path.endswith(b"/b")
                        else real(self, handle, path, mask))
    monkeypatch.setattr(module._Binding, "get_errno", lambda self: errno.ENOSPC)
    watcher = watching()
    assert watcher.uncovered == {b"a/b": 2}
    assert len(watcher) == 2
    write(tree, b"a/b/c/not seen")
    assert seen(watcher) == {}
    assert not watcher.cover_again(b"a/b")
    monkeypatch.undo()
    assert watcher.cover_again(b"a/b")
    assert watcher.uncovered == {}
    write(tree, b"a/b/c/deep")
    write(tree, b"a/b/now")
    assert set(seen(watcher)) == {b"a/b/c/deep", b"a/b/now"}
    assert len(watcher) == 4


def test_excluded_folders_have_no_watch_wherever_they_come_from(tree, watching, tmp_path):
    """Renamed to an excluded name, a folder loses the watches of all below it."""
    watcher = watching(r"(.*)\.svn", "skip")
    os.rename(tree + b"/a/b", tree + b"/a/b.svn")
    os.mkdir(tree + b"/skip")
    seen(watcher)
    assert len(watcher) == 2
    write(tree, b"a/b.svn/c/not ours")
    assert not seen(watcher)


MOUNTED = """
import os, subprocess, sys
from sersync_py.filters import Filter
from sersync_py.settings import Inotify
from sersync_py.watcher import Watcher
root = os.fsencode(sys.argv[1])
subprocess.check_call(["mount", "--bind", root + b"/a", root + b"/a/b/c"])
watcher = Watcher(root, Inotify(), Filter())
watcher.cover()
open(root + b"/a/b/new", "wb").close()
print(sorted(watcher.read(1.0).dirty), len(watcher))
"""


@pytest.mark.skipif(subprocess.call(["unshare", "-m", "true"], stderr=subprocess.DEVNULL) != 0, reason="may not mount")
def test_a_mount_that_shows_a_folder_within_itself_is_no_endless_path(tree):
    """The kernel has one watch for both."""
    said = subprocess.check_output(
        ["unshare", "-m", sys.executable, "-c", MOUNTED, os.fsdecode(tree)], timeout=20,
        cwd=os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    assert said == b"[b'a/b/new'] 3\n"


def test_who_opens_a_new_file_while_we_look_whether_it_is_being_written_does_not_end_us(tree, monkeypatch):
    """It breaks the lease that the look takes, of which the kernel tells by a signal."""
    heard = []
    before = signal.signal(signal.SIGIO, lambda *_: heard.append("SIGIO"))
    file, really = os.path.join(tree, b"lock"), fcntl.fcntl
    open(file, "wb").close()

    def opened_in_between(handle, command, argument=0):
        result = really(handle, command, argument)
        if (command, argument) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with contextlib.suppress(BlockingIOError):
                os.close(os.open(file, os.O_WRONLY | os.O_NONBLOCK))
        return result

    watcher = Watcher(tree, Inotify(), Filter())
    monkeypatch.setattr(fcntl, "fcntl", opened_in_between)
    try:
        watcher._is_being_written(b"lock")
    finally:
        monkeypatch.undo()
        signal.signal(signal.SIGIO, before)
        watcher.close()
    assert heard == []
