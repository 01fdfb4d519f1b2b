"""Where log lines go: a file, or stderr. Neither a full disk nor a read-only one ends the agent or prints a traceback.

Python's own handlers do one or the other. Lines that cannot be written are counted, and as soon as one can be again,
the log says before it how many are missing. Each line is one write of bytes, so nothing stays behind in a buffer.
"""

import contextlib
import logging
import os
import sys
import time

__all__ = ["LogFile", "Stderr"]

_STDERR = 2


class _Lines(logging.Handler):
    """Writes a line a record to the handle that `_open` gives."""

    def __init__(self, encoding: str = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding
        self._torn = False
        """True: the last line that was written is not whole."""
        self._lost = 0
        self._lost_since = 0.0
        self._reason = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, and before it what is to be said of lines that were lost."""
        try:
            if self._lost:
                self._write(self._missing())
                self._lost = 0
            self._write(record)
        except OSError as error:
            self._note_loss(record, error)

    def _open(self) -> int:
        raise NotImplementedError

    def _write(self, record: logging.LogRecord) -> None:
        """Write a record. Raise OSError if it did not get there as a whole."""
        handle = self._open()
        rest = ("\n" * self._torn + self.format(record) + "\n").encode(self._encoding, "backslashreplace")
        while rest:
            rest = rest[os.write(handle, rest):]
            self._torn = bool(rest)

    def _note_loss(self, record: logging.LogRecord, error: OSError) -> None:
        if not self._lost:
            self._lost_since = record.created
        self._lost += 1
        self._reason = error.strerror or str(error)

    def _missing(self) -> logging.LogRecord:
        since = time.strftime("%F %T", time.localtime(self._lost_since))
        text = "%d lines from %s on are missing here, they could not be written: %s"
        return logging.LogRecord(__name__, logging.WARNING, "", 0, text, (self._lost, since, self._reason), None)


class LogFile(_Lines):
    """Appends to a file, which is opened anew when it has been moved away or removed, as logrotate does."""

    def __init__(self, path: str) -> None:
        """The file is not opened before there is something to write."""
        super().__init__()
        self._path = path
        self._handle = -1

    def _open(self) -> int:
        if self._handle >= 0 and not self._is_in_place():
            os.close(self._handle)
            self._handle = -1
        if self._handle < 0:
            self._handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._torn = False
        return self._handle

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.stat(self._path), os.fstat(self._handle))
        except OSError:
            return False

    def _note_loss(self, record: logging.LogRecord, error: OSError) -> None:
        if not self._lost:
            text = f"sersync-py: cannot write {self._path}: {error.strerror}; what would be logged is lost for now\n"
            # not through sys.stderr, which keeps what it could not write and fails once more at the exit
            with contextlib.suppress(OSError):
                os.write(_STDERR, text.encode(sys.stderr.encoding or "utf-8", "backslashreplace"))
        super()._note_loss(record, error)


class Stderr(_Lines):
    """Writes to the terminal, or to whatever stderr is."""

    def __init__(self) -> None:
        """In the character set that stderr has."""
        super().__init__(sys.stderr.encoding or "utf-8")

    def _open(self) -> int:
        return _STDERR
