"""The file systems that are mounted below a watch folder: which of them are missing.

A disk that is not mounted looks like a folder whose content was deleted. So each mount is remembered, also over a
restart. While one is missing, it is as if its folder was excluded: nothing at or below it is sent or deleted at any
remote, for what stands in its place by now would overwrite there what the disk holds. It is missing, too, if another
file system is mounted there, or one that may be another and is empty: a new disk must not empty the mirrors either.

A mount point that was removed is missing as well: automounters do that. If the folder that it was in is gone, somebody
has removed more than an empty mount point, and it is forgotten.
"""

import json
import os
import select
from typing import Callable, Container, Dict, FrozenSet, List, Mapping, NamedTuple, Optional

from sersync_py import statefile
from sersync_py.changes import ancestors
from sersync_py.guard import Root, find, is_empty
from sersync_py.loop import WRITE, Loop
from sersync_py.marks import key_for
from sersync_py.mounts import lines_about, mounts_below, mounts_in

__all__ = [
    "ANOTHER", "EMPTY", "NOT_MOUNTED", "Inner", "InnerMounts", "Look", "MountTable", "View", "below", "load",
    "mounts_file", "save",
]

NOT_MOUNTED = "is not mounted"
ANOTHER = "has another file system mounted on it than before"
EMPTY = "has become empty, or another file system is mounted on it"

_TABLE = b"/proc/self/mountinfo"
_VOLATILE = ("tmpfs", "ramfs")
"""What is in them goes with them, so another one is nothing to be careful about."""
_NO_FILE_SYSTEM = "autofs"
"""It only waits for somebody who wants what is to be mounted."""
_MOST_BYTES = 64 << 20
_EVER = 1.0
"""Seconds of the wall clock: before anything that was ever changed."""


class Inner(NamedTuple):
    """A file system that was mounted below the watch folder."""

    root: Root
    since: Optional[float] = None
    """From this moment on (seconds of the wall clock) changes in it may be unknown; None: none is.

    0: it has never arrived as a whole, so the remotes may have what was never in it.
    """
    lacking: bool = False
    """True: a push was under way when it was unmounted, may have taken it for empty and deleted what it holds."""


class View:
    """What can be seen in the watch folder. Paths are relative to it."""

    def __init__(self, watch: bytes, has_folder: Callable[[bytes], bool]) -> None:
        """`has_folder`: says whether there is a folder at a path, or may be one that cannot be seen now."""
        self._watch, self.has_folder = watch, has_folder

    def find(self, path: bytes) -> Optional[Root]:
        """Say what is mounted at a path; None: that cannot be looked at."""
        try:
            return find(self._watch + b"/" + path)
        except OSError:
            return None

    def is_empty(self, path: bytes) -> bool:
        """Say whether there is nothing in a folder."""
        return is_empty(self._watch + b"/" + path)


class Look(NamedTuple):
    """What a look at the mounts has found."""

    lost: List[bytes]
    """They are missing from now on."""
    back: Dict[bytes, bool]
    """They are there, what changed in them is to be found; True: each is beyond doubt the one that it was."""
    new: List[bytes]
    """They were not known before."""
    forgotten: List[bytes]
    """They are not there, and neither is the folder that they were in."""


class InnerMounts:
    """The file systems below one watch folder. Pure: what there is to see comes in as arguments."""

    def __init__(self, known: Mapping[bytes, Inner]) -> None:
        """`known`: by their places, as they were remembered."""
        self.known: Dict[bytes, Inner] = dict(known)
        self.missing: Dict[bytes, str] = {}
        """The places that are left out for now, and what is the matter with each."""
        self.unsaved = False
        """True: more or other mounts are known than were remembered."""
        self._is_first = True

    def look(self, mounted: Mapping[bytes, str], seen: View, since: float, unmounted: Container[bytes] = ()) -> Look:
        """Take note of what is mounted now (place -> kind), and say what follows.

        `since`: up to then (wall clock) all changes are known. `unmounted`: these were away, if for a moment only.
        """
        found = Look([], {}, [], [])
        # each above what is below it
        for path in sorted({*self.known, *mounted}):
            if path not in self.known:
                self._meet(path, seen, found)
            elif path not in mounted:
                self._miss(path, seen, since, found)
            elif self._is_first or path in self.missing or path in unmounted:
                self._judge(path, mounted[path], seen, since, found)
        self._is_first = False
        return found

    def replaced(self, mounted: Container[bytes], seen: View) -> FrozenSet[bytes]:
        """Return the places where something else is to be seen than what was mounted there, and still seems to be."""
        return frozenset(path for path, inner in self.known.items()
                         if path in mounted and path not in self.missing and seen.find(path) != inner.root)

    def _meet(self, path: bytes, seen: View, found: Look) -> None:
        root = seen.find(path)
        if root is not None:
            self._note(path, Inner(root, 0.0))
            found.new.append(path)

    def _miss(self, path: bytes, seen: View, since: float, found: Look) -> None:
        is_below_another = any(above in self.missing for above in ancestors(path))
        if is_below_another or seen.has_folder(path.rpartition(b"/")[0]):
            self._lose(path, NOT_MOUNTED, since, found)
            return
        del self.known[path]
        self.missing.pop(path, None)
        self.unsaved = True
        found.forgotten.append(path)

    def _lose(self, path: bytes, why: str, since: float, found: Look) -> None:
        if path not in self.missing:
            self._date_back(path, since)
            found.lost.append(path)
        self.missing[path] = why

    def _judge(self, path: bytes, kind: str, seen: View, moment: float, found: Look) -> None:
        """Decide whether what is mounted at a place is what was mounted there before."""
        known, root = self.known[path], seen.find(path)
        if root is None:
            self._lose(path, NOT_MOUNTED, moment, found)
            return
        is_sure, is_volatile = root.is_surely(known.root), kind in _VOLATILE
        if is_volatile and not is_sure and not (self._is_first and root == known.root):
            self.missing.pop(path, None)
            self._note(path, Inner(root, 0.0))
            found.new.append(path)
        elif not is_sure and not root.may_be(known.root):
            self._lose(path, ANOTHER, moment, found)
        elif not is_sure and not is_volatile and seen.is_empty(path):
            self._lose(path, EMPTY, moment, found)
        else:
            if not self._is_first:
                self._date_back(path, moment)
            self.missing.pop(path, None)
            self._note(path, self.known[path]._replace(root=root))
            if self.known[path].since is not None:
                found.back[path] = is_sure

    def _date_back(self, path: bytes, since: float) -> None:
        known = self.known[path]
        self._note(path, known._replace(since=since if known.since is None else min(known.since, since)))

    def _note(self, path: bytes, inner: Inner) -> None:
        self.unsaved = self.unsaved or self.known.get(path) != inner
        self.known[path] = inner

    def date_back(self, since: float) -> None:
        """What is missing now takes no part in what is made up for: in it changes from this moment on are unknown."""
        for path in self.missing:
            self._date_back(path, max(since, _EVER))

    def suspect(self, path: bytes) -> None:
        """A push may have met the place while nothing was mounted there: any remote may lack what is in it."""
        if path in self.known:
            self._note(path, self.known[path]._replace(lacking=True))

    def settle(self) -> None:
        """All that was found in those that are there has arrived."""
        for path, known in self.known.items():
            if known.since is not None and path not in self.missing:
                self._note(path, Inner(known.root))

    def forget_missing(self) -> List[bytes]:
        """Take what is there now for what is meant to be; return the places that were missing."""
        forgotten = list(self.missing)
        for path in forgotten:
            del self.known[path]
        self.missing.clear()
        self.unsaved = self.unsaved or bool(forgotten)
        return forgotten

    def topmost(self) -> Dict[bytes, str]:
        """Return what is missing and not within another one that is, and what is the matter with each."""
        return {path: why for path, why in self.missing.items()
                if not any(above in self.missing for above in ancestors(path))}


class MountTable:
    """The kernel's table of mounts."""

    def __init__(self, loop: Loop) -> None:
        """`loop`: its wait ends when the table changes, from the first question on."""
        self._loop, self._handle = loop, -1
        self._poll = select.poll()
        self._stirred = False

    def changed(self) -> bool:
        """Say whether it may have changed since this was asked last."""
        if self._handle < 0:
            self._open()
            return True
        stirred, self._stirred = self._stirred, False
        return bool(self._poll.poll(0)) or stirred

    def _open(self) -> None:
        try:
            handle = os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            # it can always be read and never be written; a change is told as an error, and that but once
            self._loop.watch(handle, WRITE, self._stir)
        except OSError:
            # in a sandbox it may be a plain file: then it may have changed each time
            os.close(handle)
            return
        self._poll.register(handle, select.POLLPRI)
        self._handle = handle

    def _stir(self) -> None:
        self._stirred = True

    def close(self) -> None:
        """Give the handle back, until it is asked again."""
        if self._handle >= 0:
            self._loop.forget(self._handle)
            self._poll.unregister(self._handle)
            os.close(self._handle)
            self._handle = -1


def below(watch: bytes) -> Dict[bytes, str]:
    """Return what is mounted below a folder: place relative to it -> kind. Raise OSError if that cannot be read."""
    real = os.path.realpath(watch)
    with open(_TABLE, "rb") as file:
        mounts = mounts_in(lines_about(file.read(), real))
    start = len(real.rstrip(b"/")) + 1
    return {mount.point[start:]: mount.kind for mount in mounts_below(mounts, real) if mount.kind != _NO_FILE_SYSTEM}


def mounts_file(state_folder: bytes, config_file: bytes, watch: bytes) -> bytes:
    """Return where the mounts below a watch folder are remembered."""
    return os.path.join(state_folder, key_for(os.path.realpath(config_file), watch, "").encode("ascii") + b".mounts")


def load(path: bytes) -> Dict[bytes, Inner]:
    """Read what was remembered. Raise OSError or ValueError if it cannot be read."""
    try:
        text = statefile.read(path, _MOST_BYTES)
    except FileNotFoundError:
        return {}
    try:
        # the first version had no fourth field
        return {_bytes(place): Inner(Root(*map(int, root)), None if since is None else float(since), any(lacking))
                for place, root, since, *lacking in json.loads(text.decode("ascii"))}
    except (TypeError, RecursionError) as error:
        raise ValueError(str(error)) from error


def save(path: bytes, known: Mapping[bytes, Inner]) -> None:
    """Remember what is known, also if the power goes. Raise OSError."""
    fields = [[place.decode("utf-8", "surrogateescape"), *inner] for place, inner in known.items()]
    statefile.replace(path, json.dumps(fields).encode("ascii") + b"\n", sync=True)


def _bytes(place: object) -> bytes:
    if not isinstance(place, str):
        raise ValueError("place")
    return place.encode("utf-8", "surrogateescape")
