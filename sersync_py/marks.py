"""The mark of each watch folder at each remote: "all that changed before this moment has arrived there".

One small file a mark, replaced whole by a rename, so that a reader finds the old one or the new one. It is not synced
to disk at every heartbeat: after a power cut an older mark costs a longer scan, and a file that was torn is noticed.
Which folder it is about stands in a file of its own besides, which is synced and seldom changes: without that knowledge
nothing could be deleted, for it may be another folder, such as the mount point of a disk that is missing.

A mark that cannot be trusted is worse than none, since what lies before it is never looked at again. So a file is
believed only if it is whole, says what it is the mark of, could be written by nobody else, does not lie ahead of the
clock, and was not saved before the clock was set back: what changes then may bear a stamp older than the mark, also
when the clock has long passed the mark again. Out of reach is a clock that was set back between the last heartbeat
before a restart of the machine and the agent's start, and has passed the mark by then.
"""

import hashlib
import json
import os
import re
from typing import Dict, NamedTuple, Optional, Union

from sersync_py import statefile
from sersync_py.clock import Moment
from sersync_py.guard import Root
from sersync_py.language import heard, said

__all__ = ["AHEAD_NS", "Damaged", "Mark", "MarkError", "Marks", "key_for"]

AHEAD_NS = 2000000000
"""How far ahead of the clock a mark may lie: clocks are set right by little steps all the time."""

_MAX_BYTES = 4096
_READABLE = 40


class Mark(NamedTuple):
    """A moment, in nanoseconds of the wall clock, and the folder that the mark is about."""

    since_ns: int
    root: Optional[Root] = None
    """The watch folder that the remote was made equal to; None: it never was."""
    reason: str = ""
    """Why the moment is not to be trusted, in one line for people; "": it is."""


class Damaged(NamedTuple):
    """There is a mark, but it is not to be trusted."""

    reason: str
    """One line for people."""
    root: Optional[Root] = None
    """The watch folder that the remote was made equal to, which is kept apart; None: that is not known either."""


class MarkError(OSError):
    """A mark could not be written; the one saved before stands."""


def key_for(config_file: bytes, watch: bytes, destination: str) -> str:
    """Name the mark of a watch folder at a destination under one config file: safe as a file name, and readable."""
    parts = (config_file, watch, destination.encode("utf-8", "surrogateescape"))
    # NUL stands in no path and no address, so no two triples give the same text
    digest = hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    return "-".join([_readable(os.path.basename(watch)), _readable(parts[2]), digest])


def _readable(text: bytes) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", text.decode("ascii", "replace")).strip("._")[:_READABLE] or "_"


class Marks:
    """The marks in one folder. Only one process at a time may save there under the same key."""

    def __init__(self, folder: bytes) -> None:
        self._folder = folder
        self._roots: Dict[str, Optional[Root]] = {}
        """As they stand on the disk by themselves, by key."""

    def load(self, key: str, now: Moment) -> Union[Mark, Damaged, None]:
        """Read a mark. None: there never was one.

        If the clock has been set back by no more than AHEAD_NS, an accordingly earlier mark is given back: all that
        happened since then is later than that.
        """
        found = self._load(key, now)
        return found._replace(root=self._load_root(key)) if isinstance(found, Damaged) else found

    def _load(self, key: str, now: Moment) -> Union[Mark, Damaged, None]:
        try:
            text = statefile.read(self._path(key), _MAX_BYTES)
        except FileNotFoundError:
            return None
        except OSError as error:
            return Damaged(said("cannot be read: {reason}", reason=heard(error.strerror or str(error))))
        try:
            fields = json.loads(text.decode("ascii"))
            known = fields["key"]
            since_ns, root = _number(fields, "since_ns"), _root(fields["root"])
            saved = Moment(_number(fields, "wall_ns"), _number(fields, "boot_ns"), str(fields["boot"]))
        except (ValueError, KeyError, TypeError, RecursionError):
            return Damaged(said("is not a mark, or torn"))
        if known != key:
            return Damaged(said("is the mark of something else"))
        return _judged(since_ns, root, saved, now)

    def _load_root(self, key: str) -> Optional[Root]:
        """Return the folder of a mark as it stands by itself; None if it does not, or cannot be believed."""
        try:
            fields = json.loads(statefile.read(self._path(key, b".root"), _MAX_BYTES).decode("ascii"))
            return _root(fields["root"]) if fields["key"] == key else None
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    def _save_root(self, key: str, root: Optional[Root]) -> None:
        """Write the folder of a mark by itself if it is another one. Raise OSError."""
        known = self._roots[key] if key in self._roots else self._load_root(key)
        if root != known:
            text = json.dumps({"key": key, "root": root}).encode("ascii") + b"\n"
            statefile.replace(self._path(key, b".root"), text, sync=True)
        self._roots[key] = root

    def save(self, key: str, mark: Mark, now: Moment) -> None:
        """Replace a mark; make the folder if there is none.

        Raises MarkError, with the errno, if the disk is full or refuses; the mark saved before is then untouched.
        """
        fields = dict(now._asdict(), key=key, since_ns=mark.since_ns, root=mark.root)
        path = self._path(key)
        try:
            self._save_root(key, mark.root)
            statefile.replace(path, json.dumps(fields, sort_keys=True).encode("ascii") + b"\n")
        except OSError as error:
            raise MarkError(error.errno, error.strerror, path) from error

    def _path(self, key: str, ending: bytes = b".mark") -> bytes:
        return os.path.join(self._folder, key.encode("ascii") + ending)


def _judged(since_ns: int, root: Optional[Root], saved: Moment, now: Moment) -> Mark:
    """Return the mark as far as it can be trusted, seen from the moment at which it was saved and from now."""
    set_back = now.set_back_since(saved)
    if set_back > AHEAD_NS:
        seconds = round(set_back / 1e9)
        return Mark(since_ns, root, said("was saved before the clock was set back by {seconds} s", seconds=seconds))
    since_ns -= max(0, set_back)
    if since_ns > now.wall_ns + AHEAD_NS:
        seconds = round((since_ns - now.wall_ns) / 1e9)
        return Mark(since_ns, root, said("lies {seconds} s ahead of the clock", seconds=seconds))
    return Mark(since_ns if since_ns <= now.wall_ns else now.wall_ns - AHEAD_NS, root)


def _root(value: object) -> Optional[Root]:
    if value is None:
        return None
    if not isinstance(value, list) or not all(type(number) is int for number in value):
        raise ValueError("root")
    return Root(*value)


def _number(fields: Dict[str, object], name: str) -> int:
    value = fields[name]
    if type(value) is not int or value < 0:
        raise ValueError(name)
    return value
