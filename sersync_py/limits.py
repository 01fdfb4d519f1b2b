"""The kernel's limits on inotify and on open files: read, and raised only when they are too low."""

import contextlib
import logging
import os
import resource
from typing import NamedTuple, Optional

__all__ = [
    "MOST", "Limit", "attainable_open_files", "binding_limit", "open_files", "raise_limit", "raise_open_files",
    "read_limit", "set_limit",
]

log = logging.getLogger(__name__)

_FOLDER = "/proc/sys/fs/inotify/"
_NAMESPACE_FOLDER = "/proc/sys/user/"
"""The limits of our user namespace, most often a container's; outside of one these are the same as the others."""
_IN_NAMESPACE = {"max_user_watches": "max_inotify_watches", "max_user_instances": "max_inotify_instances"}
MOST = 2147483647
"""No limit of inotify can be set higher."""


class Limit(NamedTuple):
    """A limit of the kernel, and what it is set to."""

    name: str
    """As sysctl takes it."""
    path: str
    value: int
    """0: it cannot be read."""


def _read(path: str) -> Optional[int]:
    try:
        with open(path) as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def read_limit(name: str) -> int:
    """Return `max_user_watches`, `max_queued_events` or `max_user_instances`; 0 if it cannot be read."""
    return _read(_FOLDER + name) or 0


def binding_limit(name: str) -> Limit:
    """Return the limit that holds for us: that of the machine, or that of our user namespace if it is lower."""
    limit = Limit("fs.inotify." + name, _FOLDER + name, read_limit(name))
    within = _IN_NAMESPACE.get(name, name)
    value = _read(_NAMESPACE_FOLDER + within)
    if value is None or value >= limit.value:
        return limit
    return Limit("user." + within, _NAMESPACE_FOLDER + within, value)


def open_files() -> int:
    """Return how many files we may have open (`ulimit -n`)."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return limit if limit != resource.RLIM_INFINITY else MOST


def attainable_open_files() -> int:
    """Return how far `raise_open_files` can go for this user."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return limit if limit != resource.RLIM_INFINITY and os.geteuid() != 0 else MOST


def raise_open_files(wanted: int) -> int:
    """Raise the limit of open files to `wanted` if it is lower, as far as we may, and say so; return what it is now."""
    before = open_files()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if before >= wanted:
        return before
    bounds = [(wanted, hard)]
    if hard not in (resource.RLIM_INFINITY, max(hard, wanted)):
        # only root may go beyond the hard limit
        bounds = [(wanted, wanted), (hard, hard)]
    for each in bounds:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, each)
            break
    if open_files() > before:
        log.info("the limit of open files raised from %d to %d", before, open_files())
    return open_files()


def set_limit(limit: Limit, wanted: int) -> None:
    """Set a limit, and say so. Raise OSError if we may not: we are not root, or in a container."""
    with open(limit.path, "w") as file:
        file.write(str(wanted))
    log.info("%s raised from %d to %d", limit.name, limit.value, wanted)


def raise_limit(name: str, wanted: int) -> bool:
    """Raise a limit to `wanted` if it is lower, and say so; return whether it is now that high.

    Who may not raise it (not root, a container) gets a warning that says what to do.
    """
    found = read_limit(name)
    if found >= wanted:
        return True
    limit = Limit("fs.inotify." + name, _FOLDER + name, found)
    try:
        set_limit(limit, wanted)
    except OSError as error:
        log.warning(
            "%s is %d, %d would be better, and it cannot be raised (%s): run `sysctl -w %s=%d` as root",
            limit.name, found, wanted, error.strerror, limit.name, wanted,
        )
        return False
    return True
