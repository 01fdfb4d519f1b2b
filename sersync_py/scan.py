"""What changed below a folder since a moment, found from local stat calls alone.

The one stamp it trusts is ctime: nobody can set it, and whatever changes an entry stamps it. mtime is not looked at,
because `touch -d`, `cp -a`, tar and rsync set it back after they changed a folder; that stamps ctime again. What the
kernel does (tried on ext4 and tmpfs): a write, chmod, chown, or a hard link made or removed stamps the entry; creating,
deleting and renaming stamp the folder they happen in; a rename, exchanges included, stamps also what was renamed, and
nothing below it. From that:

- Something that is not a folder is an ENTRY if its ctime is not older than the moment.
- A folder whose ctime is older has the place and the names it had. What is below it is looked at all the same.
- A folder that was stamped is a LISTING: names may be gone from it. A mere chmod looks the same and costs as much.
- A folder that was stamped, in a folder that was stamped too, is a TREE: it may have been moved there, with content
  whose own stamps are old. Had it been moved, both stamps would be there, whatever happened afterwards; so none is
  missed. That it may not have been (a file created in each of the two) costs a comparison. Nothing sharper is safe:
  ctime newer than mtime, the trace of a rename, is gone once a file is created in the moved folder.
- What cannot be looked at (permission, i/o error, a path too long) is a TREE: its push fails and keeps it dirty until
  it can be read. By then the stamps of what changed in it may be too old for a scan to find.

Out of reach, because it stamps nothing that can be seen here: another file system mounted or unmounted below the
folder (which `inner` looks after); a file system set back to a snapshot, or by a power cut to what it had on disk; a
folder moved on a file system where a rename stamps only the parents (FAT); stamps by the clock of another machine (NFS)
that is behind ours by more than the margin. Only a whole-tree push sees these.
"""

import errno
import os
import stat
from typing import Callable, Generator, Iterator, List, NamedTuple, Optional, Tuple

from sersync_py.changes import ENTRY, LISTING, ROOT, TREE, Change, ancestors

__all__ = ["MARGIN_NS", "scan"]

MARGIN_NS = 1000000000
"""How far before the moment to look: the kernel's stamps lag the clock by up to a tick, and some file systems round."""

_BREATH = 1000
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_GONE = (errno.ENOENT, errno.ENOTDIR)

_Excluded = Callable[[bytes, bool], bool]


class _Folder(NamedTuple):
    """A folder still to be looked into."""

    path: bytes
    identity: Tuple[int, int]
    parent_stamped: bool


def scan(
    root: bytes, since_ns: int, excluded: _Excluded, start: bytes = ROOT, margin_ns: int = MARGIN_NS
) -> Iterator[Optional[Change]]:
    """Find what changed since a moment at and below `start`, a folder given relative to `root`.

    `since_ns` is the moment and `margin_ns` what to subtract from it, in nanoseconds of the wall clock. `excluded` is
    asked with a path and whether it is a folder; a folder it excludes is not entered. It is not asked about `start`.

    Yields changes with paths relative to `root`, folders before what is in them, and None after about every 1,000
    entries looked at, so that the caller can do something else in between. If `start` is gone, the topmost folder that
    is missing is an ENTRY. What vanishes meanwhile is left out, and what else changes meanwhile may be: give the next
    scan the moment at which this one began.

    Raises OSError, from the iteration, if `root` cannot be opened or if in the end another folder stands in its place:
    then nothing is known, and no mark may be set on its account.
    """
    since = since_ns - margin_ns
    root_fd = os.open(root, _OPEN_FOLDER)
    try:
        yield from _from_start(root_fd, since, excluded, start)
        if _identity(os.stat(root)) != _identity(os.fstat(root_fd)):
            # a disk unmounted in the middle makes everything vanish without a trace
            raise OSError(errno.ESTALE, "replaced by another folder during a scan", root)
    finally:
        os.close(root_fd)


def _from_start(root_fd: int, since: int, excluded: _Excluded, start: bytes) -> Iterator[Optional[Change]]:
    """Check the folders on the way to `start` (moved, `start` moved with them), then look below it."""
    folder = _Folder(ROOT, _identity(os.fstat(root_fd)), False)
    stamped = os.fstat(root_fd).st_ctime_ns >= since
    way = [start, *ancestors(start)]
    for path in way[-2::-1]:
        try:
            status = os.stat(path, dir_fd=root_fd, follow_symlinks=False)
        except OSError as error:
            yield Change(path, ENTRY) if error.errno in _GONE else Change(start, TREE)
            return
        if not stat.S_ISDIR(status.st_mode):
            yield Change(path, ENTRY)
            return
        folder = _Folder(path, _identity(status), stamped)
        stamped = status.st_ctime_ns >= since
        if stamped and folder.parent_stamped:
            yield Change(start, TREE)
            return
    yield from _below(root_fd, since, excluded, folder)


def _below(root_fd: int, since: int, excluded: _Excluded, first: _Folder) -> Iterator[Optional[Change]]:
    """Look into a folder and all below it, with a list of what is left to do, for recursion would bound the depth."""
    pending = [first]
    looked = 0
    while pending:
        folder = pending.pop()
        path = folder.path
        try:
            # relative to the root's descriptor, so that a long path of the root takes nothing from PATH_MAX
            fd = os.open(path or b".", _OPEN_FOLDER | os.O_NOFOLLOW, dir_fd=root_fd)
        except OSError as error:
            if error.errno not in _GONE:
                yield Change(path, TREE)
            continue
        try:
            status = os.fstat(fd)
            stamped = status.st_ctime_ns >= since
            # not what was seen in its parent: replaced, or reached through a symlink put above it meanwhile
            strange = _identity(status) != folder.identity
            if strange or (stamped and folder.parent_stamped):
                yield Change(path, TREE)
                continue
            if stamped:
                yield Change(path, LISTING)
            subfolders: List[_Folder] = []
            looked += yield from _entries(fd, path + b"/" if path else b"", since, stamped, excluded, subfolders)
            pending += subfolders
        except OSError:
            yield Change(path, TREE)
        finally:
            os.close(fd)
        if looked >= _BREATH:
            looked = 0
            yield None


def _entries(
    fd: int, prefix: bytes, since: int, stamped: bool, excluded: _Excluded, subfolders: List[_Folder]
) -> Generator[Optional[Change], None, int]:
    """Look at what stands directly in the folder open as `fd`; add its folders to `subfolders`.

    Returns the number of entries looked at since it last yielded None; raises OSError if the folder cannot be read.
    """
    looked = 0
    # scandir takes no descriptor before Python 3.7, and gives str for one; this way it gives bytes, without delay
    with os.scandir(b"/proc/self/fd/%d" % fd) as entries:
        for entry in entries:
            name = entry.name
            looked += 1
            if looked == _BREATH:
                looked = 0
                yield None
            try:
                # not entry.stat(), which walks the whole path anew: twice as slow
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except OSError as error:
                if error.errno in _GONE:
                    continue
                if error.errno == errno.EACCES:
                    # no entry of this folder can be looked at: one change for all
                    raise
                path = prefix + name
                if not (excluded(path, True) and excluded(path, False)):
                    yield Change(path, TREE)
                continue
            if stat.S_ISDIR(status.st_mode):
                path = prefix + name
                if not excluded(path, True):
                    subfolders.append(_Folder(path, _identity(status), stamped))
            elif status.st_ctime_ns >= since:
                path = prefix + name
                if not excluded(path, False):
                    yield Change(path, ENTRY)
    return looked


def _identity(status: os.stat_result) -> Tuple[int, int]:
    return status.st_dev, status.st_ino
