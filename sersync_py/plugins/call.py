"""What a plugin is told, and what every plugin looks like."""

from typing import NamedTuple, Optional

from sersync_py.changes import TREE
from sersync_py.walk import FOLDER, GONE

__all__ = ["Call", "Ended", "Kind", "Plugin", "Task", "call_for"]


class Kind(NamedTuple):
    """What a change was, as found at the disk when it had arrived."""

    word: str
    folder: bool
    mask: int
    """The inotify mask that such a change mostly has."""


_ISDIR = 0x40000000
_WRITTEN = Kind("written", False, 0x8)
_DELETED = Kind("deleted", False, 0x200)
_FOLDER = Kind("folder", True, _ISDIR | 0x100)
_FOLDER_DELETED = Kind("folder-deleted", True, _ISDIR | 0x200)


class Call(NamedTuple):
    """One change that a plugin is told of."""

    watch: bytes
    """The watch folder, absolute, without a trailing slash."""
    path: bytes
    """Relative to it."""
    kind: Kind
    seen: float
    """When the change was seen: seconds of the wall clock."""

    def absolute(self) -> bytes:
        """Return the whole path."""
        return self.watch + b"/" + self.path


def call_for(watch: bytes, path: bytes, scope: int, seen: float, found: str) -> Call:
    """Return the call for a path. `scope`: how far the change reached; `found`: what stands there now, as in `walk`."""
    if found == FOLDER:
        kind = _FOLDER
    elif found != GONE:
        kind = _WRITTEN
    else:
        # only a folder goes with all below it
        kind = _FOLDER_DELETED if scope == TREE else _DELETED
    return Call(watch, path, kind, seen)


class Ended(NamedTuple):
    """How a call ended."""

    problem: str = ""
    """Why it failed; nothing if it did not."""
    answer: str = ""
    """What came back that is to be logged, if anything."""
    late: bool = False
    """True: it took longer than it may."""
    quiet: bool = False
    """True: the user does not want to hear of the problem."""


class Task:
    """A call under way. `step` when SIGCHLD came, when the loop was woken, and at `alarm`."""

    alarm: float
    """When (monotonic seconds) `step` must be called at the latest."""

    def step(self, now: float) -> Optional[Ended]:
        """Look after it; return how it ended once it has. `now`: monotonic seconds."""
        raise NotImplementedError

    def end(self, now: float) -> None:
        """Ask it to end before its time."""
        raise NotImplementedError


class Plugin:
    """Something that can be called."""

    name: str
    """As in the config."""
    tells_answers = False
    """True: what comes back is worth a line in the log each time."""

    def wants(self, _call: Call) -> bool:
        """Say whether this call is for it at all: unless a plugin says otherwise, all are."""
        return True

    def begin(self, call: Call, now: float) -> Task:
        """Begin a call. `now`: monotonic seconds. Never raises for what may go wrong: that is an outcome."""
        raise NotImplementedError
