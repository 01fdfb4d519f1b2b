"""Is the watch folder still the one that it was? A disk that is not mounted must not empty the mirrors.

Device and inode numbers alone do not tell: the root of every ext4 is inode 2, a tmpfs that is mounted anew often gets
the numbers of the one before, and the same disk may come back under another device number. So the file system's own id
counts where it has one that is bound neither to the device nor to the mount.
"""

import contextlib
import errno
import os
from typing import NamedTuple, Optional, Union

from sersync_py.loop import NEVER

__all__ = ["NOWHERE", "REPLACED", "Emptied", "Guard", "Root", "find", "is_empty", "open_folder"]

REPLACED = "is another folder or file system than it was"

REST_SECONDS = 5.0
LONGEST_REST = 60.0
_LEFT_BY_MKFS = b"lost+found"
_ABSENT = (errno.ENOENT, errno.ENOTDIR)


class Root(NamedTuple):
    """What tells one folder from another."""

    device: int
    inode: int
    file_system: int = 0
    """The file system's own id; 0: it has none, or this Python (before 3.7) cannot tell."""

    def is_surely(self, other: "Root") -> bool:
        """Say whether two looks have met the same folder beyond doubt, be it under another device number."""
        return self.inode == other.inode and self.file_system == other.file_system != 0

    def is_same(self, other: "Root") -> bool:
        """Say whether two looks have met the same folder, as far as can be told while the machine runs."""
        return self == other or self.is_surely(other)

    def may_be(self, other: "Root") -> bool:
        """Say whether nothing speaks against two looks having met the same folder, before and after a restart even."""
        known = self.file_system and other.file_system
        return self.inode == other.inode and (self.file_system == other.file_system if known else True)


NOWHERE = Root(0, 0)
_REMOVED = Root(-1, -1)


def find(folder: Union[bytes, int]) -> Root:
    """Return what stands at a path, or is open under a handle. Raise OSError if there is no folder to be used."""
    # the dot, because it takes the right to enter the folder
    status = os.stat(folder if isinstance(folder, int) else folder + b"/.")
    # xfs, f2fs, vfat and others give the device number for an id
    file_system = int(getattr(os.statvfs(folder), "f_fsid", 0))
    return Root(status.st_dev, status.st_ino, 0 if file_system == status.st_dev else file_system)


def open_folder(folder: bytes, root: Optional[Root]) -> int:
    """Open a folder to run a session in; return its handle.

    Raise OSError if it cannot be opened or is not `root`: what stands in its place by now, a mount point without its
    disk for instance, must not be taken for it.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if root not in (None, find(handle)):
            raise OSError(errno.ESTALE, "another folder has taken the place", folder)
    except OSError:
        os.close(handle)
        raise
    return handle


def is_empty(folder: bytes) -> bool:
    """Say whether there is nothing in a folder but what mkfs has put there; one that cannot be read counts as empty."""
    try:
        with os.scandir(folder) as entries:
            return all(entry.name == _LEFT_BY_MKFS for entry in entries)
    except OSError:
        return True


class Guard:
    """Keeps an eye on one watch folder."""

    def __init__(self, watch: bytes) -> None:
        """Take what is there now for the watch folder; NOWHERE if there is none."""
        self.watch = watch
        self.root = NOWHERE
        self.lost = False
        """True: the kernel has ended the watches, so the folder's numbers may belong to another one by now."""
        with contextlib.suppress(OSError):
            self.root = find(watch)

    def forget(self) -> None:
        """Take no folder any more for the one that was watched: it was removed, and a new one may get its numbers."""
        self.root, self.lost = _REMOVED, True

    def trouble(self) -> str:
        """Say why the folder cannot be relied on, in words that follow its name; "": it is the one that it was.

        It may have another device number by now.
        """
        try:
            status = os.stat(self.watch + b"/.")
            if not os.access(self.watch, os.R_OK):
                return f"cannot be used ({os.strerror(errno.EACCES)})"
            if not self.lost and (status.st_dev, status.st_ino) == self.root[:2]:
                return ""
            found = find(self.watch)
        except OSError as error:
            return "is gone" if error.errno in _ABSENT else f"cannot be used ({error.strerror})"
        if not found.is_same(self.root):
            return REPLACED
        self.root, self.lost = found, True
        return ""


class Emptied:
    """Whether deletions wait, because the watch folder has become empty.

    They go on when there is something in it again and nothing has changed for REST_SECONDS, or after LONGEST_REST: who
    brings back what was removed by mistake, or replaces everything, does not do so at one blow. Pure.
    """

    def __init__(self) -> None:
        self.waits = False
        self._due = self._latest = NEVER

    def begin(self) -> None:
        """Let deletions wait from now on."""
        self.waits, self._due, self._latest = True, NEVER, NEVER

    def changed(self, now: float) -> None:
        """Note that something has changed in the folder. `now`: monotonic seconds."""
        if self._due < NEVER:
            self._due = now + REST_SECONDS

    def is_over(self, is_empty: bool, now: float) -> bool:
        """Given a look at the folder, say whether deletions may go on; once they may, they wait no longer."""
        if is_empty:
            self.begin()
        elif self._due == NEVER:
            self._due, self._latest = now + REST_SECONDS, now + LONGEST_REST
        elif now >= self.alarm():
            self.waits = False
        return not self.waits

    def alarm(self) -> float:
        """Return when (monotonic seconds) to look again, if nothing changes before."""
        return min(self._due, self._latest) if self.waits else NEVER
