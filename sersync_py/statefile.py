"""Small files in the state folder, replaced whole by a rename: a reader finds the old one or the new one."""

import contextlib
import errno
import os
import stat

__all__ = ["read", "replace"]


def read(path: bytes, most: int) -> bytes:
    """Return what stands in a file, at most so many bytes.

    Raise OSError if there is none, it is no file, or another user could have written it.
    """
    # NONBLOCK: a FIFO in its place must not hold the start up
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(fd, "rb") as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a file")
        if status.st_uid not in (0, os.geteuid()) or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OSError(errno.EPERM, "another user could have written it")
        return file.read(most)


def replace(path: bytes, text: bytes, sync: bool = False) -> None:
    """Write a file anew, and its folder if there is none; `sync`: it survives a power cut from now on.

    Raise OSError if the disk is full or refuses; what was there before is then untouched.
    """
    fresh = path + b".new"
    try:
        os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
        _write_new(fresh, text, sync)
        os.rename(fresh, path)
    except OSError:
        _remove(fresh)
        raise


def _write_new(path: bytes, text: bytes, sync: bool) -> None:
    # what a killed writer left behind; EXCL so as to write through no link that somebody put there
    _remove(path)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(text)
        if sync:
            file.flush()
            os.fsync(fd)


def _remove(path: bytes) -> None:
    # not there, most often; if it is in the way, the write that follows says so
    with contextlib.suppress(OSError):
        os.unlink(path)
