"""rsync_fail_log.sh on disk: written so that nobody can turn it against us, read without trusting it.

The usual place is /tmp, so whoever has an account may put something there first. Reading therefore looks only at what
it has opened, never at a path a second time. Writing makes a new file and renames it into place, so it follows no link
and leaves either the old log or the new one, whatever dies.
"""

import contextlib
import errno
import os
import re
import secrets
import stat
from typing import Iterable

from sersync_py.faillogtext import Command, Log, Owed, bounded, parse, render, render_foreign
from sersync_py.language import heard, said

__all__ = ["FailLog", "FailLogError", "Log", "Owed", "bounded", "parse", "render"]

READ_BYTES = 16 << 20
"""More than this is not read; our own log stays far below."""

_ADVICE = {
    errno.ENOENT: said("create the folder it stands in"),
    errno.ENOTDIR: said("name a file in a folder as failLog path"),
    errno.ELOOP: said("remove it: the fail log is never read through a symbolic link"),
    errno.ENOSPC: said("make room there, or name another failLog path"),
    errno.EROFS: "make it writable, or name another failLog path",
    errno.EDQUOT: said("make room there, or name another failLog path"),
}
_OTHERWISE = said("name a failLog path that this user may read and write")


class FailLogError(OSError):
    """The fail log cannot be used: a sentence that says which file, what is wrong and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class FailLog:
    """The fail log at one path, as bytes."""

    def __init__(self, path: bytes) -> None:
        self.path = path

    def read(self) -> Log:
        """Return what the log says; an absent file says nothing.

        Raises FailLogError if it cannot be read, or is no plain file with one name that belongs to us or to root. One
        that others could have written, as sersync2 leaves it, is read, for an entry is only a mark; the note says so.
        """
        try:
            # O_NONBLOCK: a FIFO put there must not stop us
            file = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except FileNotFoundError:
            return Log(())
        except OSError as error:
            raise self._error(said("cannot be read"), error) from error
        try:
            found = os.fstat(file)
            self._require_ours(found)
            with os.fdopen(file, "rb", closefd=False) as stream:
                text = stream.read(READ_BYTES + 1)
        except FailLogError:
            raise
        except OSError as error:
            raise self._error(said("cannot be read"), error) from error
        finally:
            os.close(file)
        log = parse(text[:READ_BYTES])
        notes = []
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            notes.append(f"Others could have written it (mode {stat.S_IMODE(found.st_mode):04o}).")
        if len(text) > READ_BYTES:
            notes.append(f"Only its first {READ_BYTES >> 20} MiB were read.")
        if log.note:
            notes.append(log.note)
        return log._replace(note=" ".join([f"{self}:", *notes]) if notes else "")

    def write(self, owed: Iterable[Owed], foreign: Iterable[bytes], command: Command) -> None:
        """Replace the log by these entries, united and bounded, and the foreign texts as comments; mode 0600.

        With nothing to say, a log that is there becomes an empty one and no new one is made. Raises FailLogError if it
        cannot be written or what stands there is a folder or a device; the log is then as it was. Raises ValueError
        if a word of a command holds a NUL byte.
        """
        text = render(bounded(owed), command) + render_foreign(foreign)
        try:
            folder = os.open(os.path.dirname(self.path) or b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                self._replace(folder, os.path.basename(self.path), text)
            finally:
                os.close(folder)
        except FailLogError:
            raise
        except OSError as error:
            raise self._error(said("cannot be written"), error) from error

    def __str__(self) -> str:
        return str(self._name())

    def _name(self) -> str:
        return said("fail log {path}", path=self.path.decode("utf-8", "backslashreplace"))

    def _error(self, wrong: str, error: OSError) -> FailLogError:
        """Return the exception for a failed system call."""
        advice = _ADVICE.get(error.errno or 0, _OTHERWISE)
        reason = heard(error.strerror or str(error))
        return FailLogError(said("{log} {wrong} ({reason}); {advice}", log=self._name(), wrong=wrong, reason=reason,
                                 advice=advice))

    def _require_ours(self, found: os.stat_result) -> None:
        """Raise FailLogError unless what was opened is a plain file with one name, of ours or of root's."""
        if not stat.S_ISREG(found.st_mode):
            raise FailLogError(said("{log} is no plain file; remove it, or name another failLog path",
                                    log=self._name()))
        if found.st_nlink != 1:
            raise FailLogError(said("{log} has {number} names (hard links); remove it", log=self._name(),
                                    number=found.st_nlink))
        if found.st_uid not in (os.geteuid(), 0):
            raise FailLogError(said("{log} is owned by user {owner}; remove it, or name another failLog path",
                                    log=self._name(), owner=found.st_uid))

    def _replace(self, folder: int, name: bytes, text: bytes) -> None:
        """Put the text in the place of the named entry of an open folder."""
        _sweep(folder, name)
        try:
            mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        except FileNotFoundError:
            if not text:
                return
        else:
            # /dev/null is renamed over as willingly as a file; and who can make a device can do anything, so that
            # looking by name first is no race worth winning
            if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
                raise FailLogError(said("{log} is a folder or a device; name a plain file as failLog path",
                                        log=self._name()))
        temporary = b".%b.%b.tmp" % (name, secrets.token_hex(16).encode("ascii"))
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        file = os.open(temporary, flags, 0o600, dir_fd=folder)
        try:
            with os.fdopen(file, "wb") as stream:
                os.fchmod(file, 0o600)
                stream.write(text)
                stream.flush()
                os.fsync(file)
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise
        # some network file systems cannot do this to a folder, and the log is in place already
        with contextlib.suppress(OSError):
            os.fsync(folder)


def _sweep(folder: int, name: bytes) -> None:
    """Remove the temporary files that an agent of the same user left in an open folder when it was killed."""
    pattern = re.compile(rb"\." + re.escape(name) + rb"\.[0-9a-f]{32}\.tmp")
    for entry in map(os.fsencode, os.listdir(folder)):
        if pattern.fullmatch(entry):
            # whoever else may write here can take it away or swap it meanwhile: it is then not ours to care for
            with contextlib.suppress(OSError):
                found = os.stat(entry, dir_fd=folder, follow_symlinks=False)
                if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid():
                    os.unlink(entry, dir_fd=folder)
