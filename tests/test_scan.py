"""A scan since a moment names enough that a mirror of that moment becomes equal, and little more than that."""

import contextlib
import ctypes
import errno
import os
import shutil
import stat
import tempfile
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sersync_py import scan as module
from sersync_py.changes import ENTRY, LISTING, ROOT, TREE, Change
from sersync_py.scan import MARGIN_NS, scan

# longer than any tick of a kernel (10 ms), in place of the second that people get
TICK_NS = 12 * 10**6

LIBC = ctypes.CDLL(None, use_errno=True)


def now_ns():
    return int(time.time() * 1e9)


def nothing(path, is_folder):
    return False


def walk(root):
    """Every path below root, root included as b"", with its lstat."""
    pending = [b""]
    while pending:
        path = pending.pop()
        status = os.lstat(os.path.join(root, path) if path else root)
        yield path, status
        if stat.S_ISDIR(status.st_mode):
            pending += [os.path.join(path, name) for name in os.listdir(os.path.join(root, path))]


def settle(*roots):
    """Wait until a moment that is later than all stamps by the margin; return it."""
    newest = max(status.st_ctime_ns for root in roots for _, status in walk(root))
    deadline = time.monotonic() + 5
    while now_ns() - TICK_NS <= newest:
        assert time.monotonic() < deadline, "the clock stands still"
        time.sleep(0.002)
    return now_ns()


def changes(root, since, excluded=nothing, start=ROOT):
    return [change for change in scan(root, since, excluded, start, TICK_NS) if change is not None]


def exchange(one, other):
    if not hasattr(LIBC, "renameat2"):
        raise OSError(errno.ENOSYS, "no renameat2")
    if LIBC.renameat2(-100, one, -100, other, 2) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def write(path, text=b"x"):
    with open(path, "wb") as file:
        file.write(text)


class Place:
    """A tree `root` with a place outside of it on the same file system."""

    def __init__(self, folder):
        self.root = os.path.join(folder, b"root")
        self.outside = os.path.join(folder, b"outside")
        for path in (b"a/b/deep", b"c/d/deep"):
            os.makedirs(os.path.join(self.root, path))
        os.makedirs(os.path.join(self.outside, b"o/deep"))
        for path in (b"f", b"a/f", b"a/b/f", b"a/b/deep/f", b"c/f", b"c/d/deep/f"):
            write(self(path), path)
        write(os.path.join(self.outside, b"o/deep/f"), b"outside")
        self.since = settle(self.root, self.outside)

    def __call__(self, path):
        return os.path.join(self.root, path)

    def out(self, path):
        return os.path.join(self.outside, path)

    def scan(self, excluded=nothing, start=ROOT):
        return changes(self.root, self.since, excluded, start)


@pytest.fixture
def place(tmp_path):
    return Place(os.fsencode(str(tmp_path)))


def test_nothing_changed_nothing_named(place):
    assert place.scan() == []


def test_a_written_file(place):
    write(place(b"a/b/f"), b"new")
    assert place.scan() == [(b"a/b/f", ENTRY)]


def test_a_written_file_whose_mtime_was_set_back(place):
    write(place(b"a/b/f"), b"new")
    os.utime(place(b"a/b/f"), (1, 1))
    assert place.scan() == [(b"a/b/f", ENTRY)]


def test_an_old_file_with_a_future_mtime_is_not_named_for_ever(place):
    os.utime(place(b"a/f"), (2**32, 2**32))
    place.since = settle(place.root)
    assert place.scan() == []


def test_a_created_file(place):
    write(place(b"a/b/new"))
    assert place.scan() == [(b"a/b", LISTING), (b"a/b/new", ENTRY)]


def test_a_file_created_by_tar_or_cp_which_set_back_the_mtime_of_the_folder(place):
    write(place(b"a/b/new"))
    os.unlink(place(b"a/b/f"))
    os.utime(place(b"a/b/new"), (1, 1))
    os.utime(place(b"a/b"), (1, 1))
    assert place.scan() == [(b"a/b", LISTING), (b"a/b/new", ENTRY)]


def test_a_deleted_file(place):
    os.unlink(place(b"a/b/f"))
    assert place.scan() == [(b"a/b", LISTING)]


def test_a_deleted_folder(place):
    shutil.rmtree(place(b"a/b"))
    assert place.scan() == [(b"a", LISTING)]


def test_a_renamed_file(place):
    os.rename(place(b"a/b/f"), place(b"c/f"))
    assert sorted(place.scan()) == [(b"a/b", LISTING), (b"c", LISTING), (b"c/f", ENTRY)]


def test_a_folder_renamed_where_it_stands(place):
    os.rename(place(b"a/b"), place(b"a/x"))
    assert place.scan() == [(b"a", LISTING), (b"a/x", TREE)]


def test_a_folder_renamed_across_folders_twice(place):
    os.rename(place(b"a/b"), place(b"c/x"))
    os.rename(place(b"c/x"), place(b"c/d/y"))
    assert sorted(place.scan()) == [(b"a", LISTING), (b"c", LISTING), (b"c/d", TREE)]


def test_a_folder_moved_in_with_old_content(place):
    os.rename(place.out(b"o"), place(b"a/b/o"))
    assert place.scan() == [(b"a/b", LISTING), (b"a/b/o", TREE)]


def test_a_folder_moved_in_and_then_made_to_look_as_if_it_was_not(place):
    """Why ctime newer than mtime is no sign to go by: nor is the mtime of the parent."""
    os.rename(place.out(b"o"), place(b"a/b/o"))
    write(place(b"a/b/o/new"))
    os.utime(place(b"a/b"), (1, 1))
    assert place.scan() == [(b"a/b", LISTING), (b"a/b/o", TREE)]


def test_a_folder_moved_out(place):
    os.rename(place(b"a/b"), place.out(b"b"))
    assert place.scan() == [(b"a", LISTING)]


def test_a_folder_moved_out_and_back(place):
    os.rename(place(b"a/b"), place.out(b"b"))
    os.rename(place.out(b"o"), place.out(b"b/o"))
    os.rename(place.out(b"b"), place(b"a/b"))
    assert place.scan() == [(b"a", LISTING), (b"a/b", TREE)]


def test_two_folders_exchanged(place):
    try:
        exchange(place(b"a/b"), place(b"c/d"))
    except OSError as error:
        pytest.skip(str(error))
    assert sorted(place.scan()) == [(b"a", LISTING), (b"a/b", TREE), (b"c", LISTING), (b"c/d", TREE)]


def test_a_folder_and_a_file_exchanged(place):
    try:
        exchange(place(b"a/b"), place(b"c/f"))
    except OSError as error:
        pytest.skip(str(error))
    assert sorted(place.scan()) == [(b"a", LISTING), (b"a/b", ENTRY), (b"c", LISTING), (b"c/f", TREE)]


def test_a_hard_link_made(place):
    os.link(place(b"a/f"), place(b"c/link"))
    assert sorted(place.scan()) == [(b"a/f", ENTRY), (b"c", LISTING), (b"c/link", ENTRY)]


def test_a_hard_link_removed(place):
    os.link(place(b"a/f"), place(b"c/link"))
    place.since = settle(place.root)
    os.unlink(place(b"c/link"))
    assert sorted(place.scan()) == [(b"a/f", ENTRY), (b"c", LISTING)]


def test_a_symlink_is_an_entry_and_never_followed(place):
    write(place.out(b"new"))
    os.symlink(place.outside, place(b"a/b/link"))
    assert place.scan() == [(b"a/b", LISTING), (b"a/b/link", ENTRY)]
    assert changes(place.root, place.since, nothing, b"a/b/link") == [(b"a/b/link", ENTRY)]


def test_chmod(place):
    os.chmod(place(b"a/f"), 0o600)
    os.chmod(place(b"c/d"), 0o700)
    assert sorted(place.scan()) == [(b"a/f", ENTRY), (b"c/d", LISTING)]


def test_the_watch_folder_itself(place):
    os.chmod(place.root, 0o700)
    assert place.scan() == [(ROOT, LISTING)]
    write(place(b"new"))
    assert place.scan() == [(ROOT, LISTING), (b"new", ENTRY)]


def test_a_watch_folder_that_is_a_symlink(place):
    os.symlink(place.root, place.out(b"link"))
    write(place(b"a/f"), b"new")
    assert changes(place.out(b"link"), place.since) == [(b"a/f", ENTRY)]


def test_names_are_bytes(place):
    name = b"a/\xce\xc4 \n\xff"
    os.mkdir(place(name))
    place.since = settle(place.root)
    write(place(name + b"/#\xfe"))
    assert place.scan() == [(name, LISTING), (name + b"/#\xfe", ENTRY)]


def test_the_margin_is_a_second_unless_told():
    with tempfile.TemporaryDirectory() as folder:
        root = os.fsencode(folder)
        stamp = os.stat(root).st_ctime_ns
        assert list(scan(root, stamp + MARGIN_NS, nothing)) == [(ROOT, LISTING)]
        assert list(scan(root, stamp + MARGIN_NS + 1, nothing)) == []


def test_what_is_excluded_is_neither_named_nor_entered(place):
    asked = []

    def excluded(path, is_folder):
        asked.append((path, is_folder))
        return path in (b"a", b"c/f", b"c/new")

    write(place(b"a/b/f"))
    write(place(b"c/f"))
    os.mkdir(place(b"c/new"))
    write(place(b"c/d/new"))
    assert place.scan(excluded) == [(b"c", LISTING), (b"c/d", TREE)]
    assert sorted(asked) == [(b"a", True), (b"c", True), (b"c/d", True), (b"c/f", False), (b"c/new", True)]


# Below a folder


def test_a_start_below_the_watch_folder(place):
    write(place(b"a/b/f"))
    write(place(b"c/d/deep/f"))
    assert place.scan(start=b"c/d") == [(b"c/d/deep/f", ENTRY)]


def test_a_start_that_may_have_been_moved_with_a_folder_above_it(place):
    os.rename(place(b"a"), place(b"x"))
    assert place.scan(start=b"x/b/deep") == [(b"x/b/deep", TREE)]


def test_a_start_that_is_gone_names_the_topmost_missing_one(place):
    shutil.rmtree(place(b"a/b"))
    assert place.scan(start=b"a/b/deep") == [(b"a/b", ENTRY)]


def test_a_start_that_became_a_file(place):
    shutil.rmtree(place(b"a/b"))
    write(place(b"a/b"))
    assert place.scan(start=b"a/b") == [(b"a/b", ENTRY)]
    assert place.scan(start=b"a/b/deep") == [(b"a/b", ENTRY)]


# While the tree changes


def during(path, action):
    """A filter that does something when it is asked about a path: between seeing a folder and entering it."""

    def excluded(asked, is_folder):
        if asked == path:
            action()
        return False

    return excluded


def test_what_vanishes_is_left_out(place):
    assert place.scan(during(b"a/b", lambda: shutil.rmtree(place(b"a/b")))) == []
    place.since = settle(place.root)
    assert place.scan(during(b"c", lambda: os.rename(place(b"c"), place.out(b"c")))) == []


def test_a_folder_replaced_by_a_symlink_leads_nowhere(place):
    write(place.out(b"new"))

    def swap():
        os.rename(place(b"a/b"), place.out(b"b"))
        os.symlink(place.outside, place(b"a/b"))

    assert place.scan(during(b"a/b", swap)) == []


def test_a_symlink_put_above_a_folder_leads_nowhere(place):
    os.mkdir(place.out(b"b"))
    write(place.out(b"b/new"))

    def swap():
        os.rename(place(b"a"), place.out(b"a"))
        os.symlink(place.outside, place(b"a"))

    assert place.scan(during(b"a/b", swap)) == [(b"a/b", TREE)]


def test_a_watch_folder_that_is_gone_is_no_empty_answer(place):
    with pytest.raises(FileNotFoundError):
        changes(place.root + b"x", place.since)
    with pytest.raises(NotADirectoryError):
        changes(place(b"f"), place.since)


def test_a_watch_folder_replaced_meanwhile_is_no_answer(place):
    def swap():
        os.rename(place.root, place.out(b"root"))
        os.mkdir(place.root)

    with pytest.raises(OSError, match="replaced by another folder") as caught:
        place.scan(during(b"a", swap))
    assert caught.value.errno == errno.ESTALE


def test_a_scan_given_up_leaves_nothing_open(place):
    before = os.listdir("/proc/self/fd")
    write(place(b"a/b/f"))
    running = scan(place.root, place.since, nothing, ROOT, TICK_NS)
    assert next(running) == (b"a/b/f", ENTRY)
    running.close()
    assert os.listdir("/proc/self/fd") == before


# What cannot be looked at


def refusing(function, refused, number):
    def wrapper(path, *args, **kwargs):
        if path == refused:
            raise OSError(number, os.strerror(number))
        return function(path, *args, **kwargs)

    return wrapper


def test_a_folder_that_cannot_be_opened_is_dirty_as_a_whole(place, monkeypatch):
    monkeypatch.setattr(module.os, "open", refusing(os.open, b"a/b", errno.EACCES))
    assert place.scan() == [(b"a/b", TREE)]


def test_a_folder_that_may_be_listed_but_not_entered_is_named_once(place, monkeypatch):
    monkeypatch.setattr(module.os, "stat", refusing(os.stat, b"d", errno.EACCES))
    assert place.scan() == [(b"c", TREE)]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOTCONN])
def test_an_entry_that_is_broken_is_named_alone(place, monkeypatch, number):
    monkeypatch.setattr(module.os, "stat", refusing(os.stat, b"b", number))
    assert place.scan() == [(b"a/b", TREE)]
    assert place.scan(lambda path, is_folder: path == b"a/b") == []


def test_a_folder_on_the_way_to_the_start_that_cannot_be_looked_at(place, monkeypatch):
    monkeypatch.setattr(module.os, "stat", refusing(os.stat, b"a", errno.EACCES))
    assert place.scan(start=b"a/b") == [(b"a/b", TREE)]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permissions_for_real(place):
    os.chmod(place(b"a/b"), 0)
    os.chmod(place(b"c"), 0o400)
    try:
        assert sorted(place.scan()) == [(b"a/b", TREE), (b"c", LISTING), (b"c", TREE)]
    finally:
        os.chmod(place(b"a/b"), 0o700)
        os.chmod(place(b"c"), 0o700)


def test_a_path_too_long_for_the_kernel(place):
    """What cannot be reached by one path is dirty from the first folder that cannot be."""
    fds = [os.open(place(b"c/d"), os.O_RDONLY)]
    for _ in range(20):
        os.mkdir(b"n" * 255, dir_fd=fds[-1])
        fds.append(os.open(b"n" * 255, os.O_RDONLY, dir_fd=fds[-1]))
    write(place.out(b"later"))
    since = settle(place.outside)
    os.close(os.open(b"new", os.O_CREAT | os.O_WRONLY, dir_fd=fds[-1]))
    for fd in fds:
        os.close(fd)
    (change,) = changes(place.root, since)
    assert change.scope == TREE
    assert 3800 < len(change.path) < 4400


# Size


def test_a_thousand_levels(place):
    path = place(b"c/d") + b"/n" * 1000
    os.makedirs(place(b"c/d/n"))
    folder = place(b"c/d/n")
    while folder != path:
        folder += b"/n"
        os.mkdir(folder)
    try:
        place.since = settle(place.root)
        write(path + b"/new")
        assert place.scan() == [(b"c/d" + b"/n" * 1000, LISTING), (b"c/d" + b"/n" * 1000 + b"/new", ENTRY)]
        os.unlink(path + b"/new")
    finally:
        # by hand: shutil's own way down is a recursion
        while path != place(b"c/d"):
            os.rmdir(path)
            path = os.path.dirname(path)


@pytest.mark.parametrize(("folders", "files"), [(1, 3500), (50, 70)])
def test_it_pauses_for_breath(place, folders, files):
    for number in range(folders):
        os.mkdir(place(b"a/%d" % number))
        for name in range(files):
            os.symlink("x", place(b"a/%d/%d" % (number, name)))
    since = settle(place.root)
    assert list(scan(place.root, since, nothing, ROOT, TICK_NS)) == [None, None, None]


# The property: a mirror that does what the scan says becomes equal


NAMES = [b"a", b"b", b"c", b"\xff"]
OPERATIONS = [
    "mkdir", "write", "append", "delete", "rename", "exchange", "chmod", "symlink", "link", "move in", "move out",
    "touch back", "touch forth",
]  # fmt: skip
STEPS = st.lists(
    st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 30), st.integers(0, 30), st.sampled_from(NAMES)), max_size=12
)


class Churn:
    """A tree on which random operations are done; those that make no sense are refused by the kernel."""

    def __init__(self, folder):
        self.root = os.path.join(folder, b"root")
        self.outside = os.path.join(folder, b"outside")
        for path in (self.root, self.outside):
            os.makedirs(os.path.join(path, b"a/b/c"))
            write(os.path.join(path, b"a/b/c/a"), path)
            write(os.path.join(path, b"b"), path)
        self.count = 0

    def pick(self, paths, number):
        return os.path.join(self.root, sorted(paths)[number % len(paths)])

    def do(self, operation, one, other, name):
        self.count += 1
        everything = dict(walk(self.root))
        folders = [path for path, status in everything.items() if stat.S_ISDIR(status.st_mode)]
        any_path = self.pick(everything, one)
        target = os.path.join(self.pick(folders, other), name)
        if operation == "mkdir":
            os.mkdir(target)
        elif operation == "write":
            if not os.path.islink(target):
                write(target, b"%d" % self.count)
        elif operation == "append":
            if not os.path.islink(any_path):
                with open(any_path, "ab") as file:
                    file.write(b"%d" % self.count)
        elif operation == "chmod":
            if not os.path.islink(any_path):
                os.chmod(any_path, 0o700 if other % 2 else 0o755)
        elif operation == "symlink":
            os.symlink(b"%d" % self.count, target)
        elif operation == "link":
            os.link(any_path, target, follow_symlinks=False)
        elif operation == "touch back":
            os.utime(any_path, (other, other), follow_symlinks=False)
        elif operation == "touch forth":
            os.utime(any_path, (2**31, 2**31), follow_symlinks=False)
        elif operation == "move in":
            strangers = sorted(path for path, _ in walk(self.outside) if path)
            if strangers:
                os.rename(os.path.join(self.outside, strangers[one % len(strangers)]), target)
        elif any_path == os.path.join(self.root, b""):
            return
        elif operation == "delete":
            if os.path.isdir(any_path) and not os.path.islink(any_path):
                shutil.rmtree(any_path)
            else:
                os.unlink(any_path)
        elif operation == "rename":
            os.rename(any_path, target)
        elif operation == "exchange":
            exchange(any_path, target)
        elif operation == "move out":
            os.rename(any_path, os.path.join(self.outside, b"%d" % self.count))

    def run(self, steps):
        for step in steps:
            with contextlib.suppress(OSError):
                self.do(*step)


def picture(root, left_out):
    """What a mirror is to hold: each path's kind, mode, mtime and content."""
    result = {}
    for path, status in walk(root):
        if left_out.intersection(path.split(b"/")):
            continue
        full = os.path.join(root, path)
        content = None
        if stat.S_ISREG(status.st_mode):
            with open(full, "rb") as file:
                content = file.read()
        elif stat.S_ISLNK(status.st_mode):
            content = os.readlink(full)
        result[path] = (status.st_mode, status.st_mtime_ns, content)
    return result


def under(path, folder):
    return folder == ROOT or path == folder or path.startswith(folder + b"/")


def apply(mirror, source, change):
    """Do to the mirror what a change means, and nothing more."""
    path, scope = change
    is_folder = path in source and stat.S_ISDIR(source[path][0])

    def forget(folder):
        for known in [known for known in mirror if under(known, folder)]:
            del mirror[known]

    if scope == TREE or not is_folder:
        forget(path)
    if path in source:
        mirror[path] = source[path]
    if scope == TREE:
        mirror.update({below: value for below, value in source.items() if under(below, path)})
    elif scope == LISTING:
        for child in [known for known in mirror if known and os.path.dirname(known) == path and known not in source]:
            forget(child)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    before=STEPS,
    after=STEPS,
    left_out=st.sets(st.sampled_from(NAMES), max_size=1),
    start=st.lists(st.sampled_from(NAMES), max_size=3),
)
def test_a_mirror_that_does_what_the_scan_says_becomes_equal(before, after, left_out, start):
    with tempfile.TemporaryDirectory() as folder:
        tree = Churn(os.fsencode(folder))
        tree.run(before)
        since = settle(tree.root, tree.outside)
        old = picture(tree.root, left_out)
        tree.run(after)
        source = picture(tree.root, left_out)

        def excluded(path, is_folder):
            return os.path.basename(path) in left_out

        mirror = dict(old)
        for change in changes(tree.root, since, excluded):
            assert isinstance(change, Change)
            assert not left_out.intersection(change.path.split(b"/"))
            apply(mirror, source, change)
        assert mirror == source

        # and from a folder below: as much of the mirror as is there
        if not left_out.intersection(start):
            below = b"/".join(start)
            mirror = dict(old)
            for change in changes(tree.root, since, excluded, below):
                apply(mirror, source, change)
            assert {path: value for path, value in mirror.items() if under(path, below)} == {
                path: value for path, value in source.items() if under(path, below)
            }
