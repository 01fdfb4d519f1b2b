"""What systemd is told, and how its journal wants log lines. Without systemd nothing of it does anything."""

import logging
import os
import socket
import time
from typing import Mapping, MutableMapping

__all__ = ["JournalFormatter", "Notifier", "is_journal"]

log = logging.getLogger(__name__)

_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_LONGEST_START = 3600


class Notifier:
    """Says over $NOTIFY_SOCKET how the service is (sd_notify's protocol): for `Type=notify` and `WatchdogSec=`.

    Never waits and never raises: what cannot be said now is said with the next heartbeat.
    """

    def __init__(self, environment: MutableMapping[str, str]) -> None:
        """Take the socket's address out of the environment, so that no rsync inherits it."""
        address = environment.pop("NOTIFY_SOCKET", "")
        # "@" stands for the NUL byte of an address that is in no folder
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._said = ""

    def starting(self) -> None:
        """Say that the start may take its time: a million folders are watched in some ten seconds."""
        self._tell("STATUS=looking through the watch folders", f"EXTEND_TIMEOUT_USEC={_LONGEST_START * 1000000}")

    def ready(self, text: str) -> None:
        """Say that all is watched, after a start or a reload. `text`: one line for `systemctl status`."""
        self._said = text
        self._tell("READY=1", "STATUS=" + text)

    def alive(self, text: str) -> None:
        """Say that the loop turns, and the line for `systemctl status` if it is another than before."""
        lines = ["WATCHDOG=1"] + (["STATUS=" + text] if text != self._said else [])
        self._said = text
        self._tell(*lines)

    def reloading(self) -> None:
        """Say that the config is being read anew; `ready` ends it."""
        microseconds = int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1000000)
        self._tell("RELOADING=1", f"MONOTONIC_USEC={microseconds}")

    def stopping(self) -> None:
        """Say that the end has begun."""
        self._tell("STOPPING=1", "STATUS=letting sessions end")

    def _tell(self, *lines: str) -> None:
        if not self._address:
            return
        text = "\n".join(lines).encode("utf-8", "backslashreplace")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify:
                notify.sendto(text, self._address)
        except OSError as error:
            log.debug("systemd is not told %r: %s", lines[0], error)


def is_journal(handle: int, environment: Mapping[str, str]) -> bool:
    """Say whether what is written to a file handle goes to systemd's journal."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(handle)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


class JournalFormatter(logging.Formatter):
    """Log lines as the journal wants them: `<N>` with syslog's priority in front, and no time, for it keeps that."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, or the lines."""
        number = next(number for level, number in _PRIORITIES if record.levelno >= level)
        return "\n".join(f"<{number}>{line}" for line in super().format(record).splitlines())
