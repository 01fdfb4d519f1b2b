"""Kernel events in, dirty paths out. The only user of pyinotify.

The decoding loop is our own (pyinotify's handles 35,000 events/s and loses a read with a name that is not UTF-8), so is
the watch table; the binding is pyinotify's, extended to take paths as bytes. Names are bytes from kernel to rsync.

No folder is ever relied on to be new: when one appears, it and all below it are watched first and looked at then, so
what happens in between is seen twice rather than not at all.
"""

import errno
import fcntl
import logging
import os
import signal
import stat
import struct
from types import MappingProxyType
from typing import Dict, FrozenSet, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

import pyinotify

from sersync_py.changes import ENTRY, ROOT, TREE
from sersync_py.filters import Filter
from sersync_py.language import heard, said
from sersync_py.limits import binding_limit, open_files
from sersync_py.loop import NEVER
from sersync_py.settings import Inotify
from sersync_py.walk import join

__all__ = ["Seen", "Watcher", "WatcherError", "require_instances"]

log = logging.getLogger(__name__)

_EVENT = struct.Struct("iIII")
_READ_BYTES = 1 << 18
_MANY = 1000
"""A folder that appears with more than this in it becomes dirty as a tree, not name by name."""
_DRIFT_SECONDS = 1.0
"""How long the watches of a folder that was moved away are kept in case it turns up elsewhere in the tree."""
_CREATED_SECONDS = 1.0
"""After this time without a close, a new file is looked at: a hard link never gets one."""
_INSTANCES_MORE = 128
"""What the advised number of inotify instances is higher than twice the present one: the kernel's usual number."""
_ALWAYS = (
    pyinotify.IN_CREATE | pyinotify.IN_DELETE | pyinotify.IN_MOVED_FROM | pyinotify.IN_MOVED_TO
    | pyinotify.IN_ONLYDIR | pyinotify.IN_DONT_FOLLOW
)
_NAMES = {
    pyinotify.IN_CREATE: "create", pyinotify.IN_DELETE: "delete", pyinotify.IN_MOVED_FROM: "move from",
    pyinotify.IN_MOVED_TO: "move to", pyinotify.IN_CLOSE_WRITE: "close write", pyinotify.IN_MODIFY: "modify",
    pyinotify.IN_ATTRIB: "attrib",
}


class WatcherError(Exception):
    """inotify itself cannot be used."""

    def __init__(self, why: str) -> None:
        """`why`: the reason, and what to do."""
        super().__init__(why)
        self.why = why


class Seen(NamedTuple):
    """What one reading of the kernel's queue gave."""

    dirty: Dict[bytes, int]
    """Path -> scope."""
    overflown: bool
    """True: the kernel has dropped events."""
    root_gone: bool
    """True: the watch folder itself was removed, renamed or unmounted."""
    root_unwatched: bool = False
    """True: it has no watch any more."""
    root_removed: bool = False
    """True: it was removed; what has its name by now, or even its inode number, is another folder."""
    events: int = 0
    """How many there were."""
    moves: Mapping[bytes, bytes] = MappingProxyType({})
    """Folders that were renamed within the tree: new path -> old path. Both are among the dirty ones."""
    unmounted: FrozenSet[bytes] = frozenset()
    """Folders whose file system was unmounted."""


class _Binding(pyinotify._CtypesLibcINotifyWrapper):  # type: ignore[misc]
    """pyinotify's binding, with paths as bytes: its own takes str and encodes strictly."""

    def init(self) -> bool:
        """Find the C library, once: it is looked for by starting programs, which must not be while files run out."""
        return self._libc is not None or bool(super().init())

    def add_bytes(self, handle: int, path: bytes, mask: int) -> int:
        """Add a watch; return its descriptor, or -1 with the reason in `get_errno()`."""
        return int(self._libc.inotify_add_watch(handle, path, mask))


class _Folder:
    """A watched folder. A tree of them, so that a renamed folder takes all below along, and no path is kept twice."""

    __slots__ = ("children", "descriptor", "name", "parent")

    def __init__(self, descriptor: int) -> None:
        self.parent: Optional[_Folder] = None
        self.name = ROOT
        self.descriptor = descriptor
        self.children: Optional[Dict[bytes, _Folder]] = None

    def path(self) -> bytes:
        """Return the path relative to the watch folder."""
        names = [folder.name for folder in self.upwards()]
        return b"/".join(names[-2::-1])

    def upwards(self) -> Iterator["_Folder"]:
        """Yield this folder and all above it, nearest first."""
        folder: Optional[_Folder] = self
        while folder is not None:
            yield folder
            folder = folder.parent

    def below(self) -> Iterator["_Folder"]:
        """Yield this folder and all known below it."""
        waiting = [self]
        while waiting:
            folder = waiting.pop()
            yield folder
            if folder.children:
                waiting.extend(folder.children.values())

    def child(self, name: bytes) -> Optional["_Folder"]:
        """Return the folder of that name in this one, if it is known."""
        return self.children.get(name) if self.children else None

    def attach(self, parent: "_Folder", name: bytes) -> None:
        """Give it its place in the tree."""
        self.parent, self.name = parent, name
        if parent.children is None:
            parent.children = {}
        parent.children[name] = self

    def detach(self) -> None:
        """Take it out of its place, unless another has that by now. It keeps its path until it gets a new one."""
        if self.parent is not None and self.parent.children and self.parent.child(self.name) is self:
            del self.parent.children[self.name]


def require_instances(count: int) -> None:
    """Make sure that so many watchers can be had. Raise WatcherError if not."""
    binding = _Binding()
    handles: List[int] = []
    try:
        for _ in range(count):
            handles.append(_instance(binding))
    finally:
        for handle in handles:
            os.close(handle)


def _instance(binding: _Binding) -> int:
    """Open inotify; return the handle. Raise WatcherError if it cannot be had."""
    handle = int(binding.inotify_init()) if binding.init() else -1
    if handle >= 0:
        return handle
    number = binding.get_errno()
    if number != errno.EMFILE:
        raise WatcherError(said("inotify cannot be used: {reason}", reason=heard(os.strerror(number))))
    try:
        os.close(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise WatcherError(said("no file can be opened: {reason}, the limit is {limit} (ulimit -n)",
                                reason=heard(error.strerror or ""), limit=open_files())) from error
    limit = binding_limit("max_user_instances")
    raise WatcherError(said("all {value} inotify instances of this user are in use: run `sysctl -w {name}={wanted}` as"
                            " root", value=limit.value, name=limit.name, wanted=2 * limit.value + _INSTANCES_MORE))


def _is_passing(path: bytes) -> bool:
    """Say whether a file's name is one that editors and rsync itself use for a moment only."""
    name = path[path.rfind(b"/") + 1:]
    return name[:1] == b"." or name[-1:] == b"~" or name == b"4913"


def _log_event(what: str, mask: int, path: bytes) -> None:
    if log.isEnabledFor(logging.DEBUG):
        log.debug("%s %s %r", what, ", ".join(name for flag, name in _NAMES.items() if mask & flag), path)


class Watcher:
    """The watches on one tree. `read` when `handle` is ready; `settle` when `alarm` has come."""

    def __init__(self, watch: bytes, kinds: Inotify, passes: Filter) -> None:
        """Open inotify. Raise WatcherError if it cannot be had."""
        self._watch, self._kinds, self._passes = watch, kinds, passes
        self._binding = _Binding()
        self.handle = _instance(self._binding)
        os.set_blocking(self.handle, False)
        fcntl.fcntl(self.handle, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._mask, self._telling = self._event_mask(), self._telling_mask()
        self._folders: Dict[int, _Folder] = {}
        self._root: Optional[_Folder] = None
        self._adrift: Dict[int, Tuple[_Folder, float]] = {}
        self._created: Dict[bytes, float] = {}
        self._none_left = False
        """True: the watch that was tried last was one too many."""
        self.doubt = False
        """True: what was in the place of a folder that appears may not have been seen to go."""
        self.uncovered: Dict[bytes, int] = {}
        """Folders for which there was no watch left, and how many are at and below each; none of those is watched.

        One that was moved away or removed stays here until `cover_again` looks at it.
        """
        self._left: Dict[int, bytes] = {}
        """The folders that were moved away themselves, among those adrift: descriptor -> the path that they had."""
        self._moves: Dict[bytes, bytes] = {}
        self._unmounted: Set[bytes] = set()
        self._dirty: Dict[bytes, int] = {}
        self._overflown = self._root_gone = self._root_unwatched = self._root_removed = False
        self._events = 0

    def _event_mask(self) -> int:
        kinds, mask = self._kinds, _ALWAYS
        for wanted, flag in (
            (kinds.close_write, pyinotify.IN_CLOSE_WRITE),
            (kinds.modify, pyinotify.IN_MODIFY),
            (kinds.attrib, pyinotify.IN_ATTRIB),
        ):
            mask |= flag if wanted else 0
        return int(mask)

    def _telling_mask(self) -> int:
        """Return the events after which a file is to be pushed, whatever has become of it."""
        kinds, mask = self._kinds, pyinotify.IN_CLOSE_WRITE | pyinotify.IN_MODIFY
        for wanted, flag in (
            (kinds.attrib, pyinotify.IN_ATTRIB),
            (kinds.create_file, pyinotify.IN_CREATE),
            (kinds.move_to, pyinotify.IN_MOVED_TO),
            (kinds.delete, pyinotify.IN_DELETE),
            (kinds.delete and kinds.move_from, pyinotify.IN_MOVED_FROM),
        ):
            mask |= flag if wanted else 0
        return int(mask)

    def __len__(self) -> int:
        """Return how many folders are watched."""
        return len(self._folders)

    def close(self) -> None:
        """Give all watches back."""
        os.close(self.handle)

    # -- watches -------------------------------------------------------------------------------------------------

    def cover(self, start: bytes = ROOT, found: Optional[Dict[bytes, bool]] = None) -> None:
        """Watch a folder and all folders below it that the filter lets through.

        `found` gets the paths of all that is below it, and whether each is a folder. Paths that vanish meanwhile are
        none of our business: their events say so. A folder for which there is no watch left is kept in `uncovered`;
        below it none is tried, for what would be seen there had a wrong path once a folder above is renamed.

        Who copies or unpacks a tree closes each folder to others and gives it its mode only when all is in it, so of
        folders that have just appeared (`found` is given) changes of their own attributes are always seen.
        """
        above, _, name = start.rpartition(b"/")
        parent = self._find(above) if start else None
        if start and parent is None:
            # a folder above it was moved away; all in it is covered where that turns up
            return
        waiting = [(above, parent, [name])]
        while waiting:
            above, parent, names = waiting[-1]
            if not names:
                waiting.pop()
                continue
            name = names.pop()
            path = join(above, name)
            folder = self._add(path, parent, name, is_new=found is not None)
            if folder is not None:
                waiting.append((path, folder, self._folders_in(path, found)))
            elif self._none_left:
                self.uncovered[path] = self._count(path, found)

    def _count(self, start: bytes, found: Optional[Dict[bytes, bool]]) -> int:
        """Return how many folders there are at and below one that is not watched; `found` is as for `cover`."""
        count, waiting = 0, [start]
        while waiting:
            path = waiting.pop()
            waiting += [join(path, name) for name in self._folders_in(path, found)]
            count += 1
        return count

    def cover_again(self, path: bytes) -> bool:
        """Try to cover a folder of `uncovered`, unless it is gone; return False if there is no watch left."""
        if path not in self.uncovered:
            return True
        above, _, name = path.rpartition(b"/")
        parent = self._find(above) if path else None
        if path and parent is None:
            del self.uncovered[path]
            return True
        folder = self._add(path, parent, name)
        if self._none_left:
            return False
        self.uncovered.pop(path, None)
        if folder is not None:
            self.cover(path)
        return True

    def leave_out(self, passes: Filter, lost: Iterable[bytes]) -> None:
        """Go by another filter from now on; give back the watches at and below these folders, which it leaves out."""
        self._passes = passes
        for path in lost:
            folder = self._find(path)
            for part in folder.below() if folder is not None else ():
                if self._folders.pop(part.descriptor, None) is not None:
                    self._binding.inotify_rm_watch(self.handle, part.descriptor)
            if folder is not None:
                folder.detach()
        self.uncovered = {path: count for path, count in self.uncovered.items() if not passes.misses(path)}

    def _folders_in(self, path: bytes, found: Optional[Dict[bytes, bool]]) -> List[bytes]:
        """Return the names of the folders in a folder, and add all that is in it to `found`, as the filter lets."""
        passes, folders = self._passes, []
        try:
            with os.scandir(self._watch + b"/" + path) as entries:
                for entry in entries:
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if not is_folder and found is None:
                        # a million names that nobody asked for are 60 MB
                        continue
                    name = entry.name
                    if passes and passes.excludes(join(path, name), is_folder):
                        continue
                    if is_folder:
                        folders.append(name)
                    if found is not None:
                        found[join(path, name)] = is_folder
        except (FileNotFoundError, NotADirectoryError):
            return folders
        except OSError as error:
            log.warning("cannot read folder, changes below it are not seen: %s", error)
        return folders

    def _add(self, path: bytes, parent: Optional[_Folder], name: bytes, is_new: bool = False) -> Optional[_Folder]:
        """Watch one folder and give it its place; return it if there is a folder to look into."""
        mask = self._mask if path else self._mask | pyinotify.IN_DELETE_SELF | pyinotify.IN_MOVE_SELF
        mask |= pyinotify.IN_ATTRIB if is_new else 0
        descriptor = self._binding.add_bytes(self.handle, self._watch + b"/" + path, mask)
        self._none_left = False
        if descriptor < 0:
            reason = self._binding.get_errno()
            self._none_left = reason in (errno.ENOSPC, errno.ENOMEM)
            if not self._none_left and reason not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                log.warning("cannot watch %r: %s", path, os.strerror(reason))
            return None
        self.uncovered.pop(path, None)
        self._adrift.pop(descriptor, None)
        if descriptor in self._left:
            # renamed twice before anybody looked: the remote knows the first name
            left = self._left.pop(descriptor)
            self._moves[path] = self._moves.pop(left, left)
        folder = self._folders.get(descriptor)
        if folder is None:
            folder = self._folders[descriptor] = _Folder(descriptor)
        return self._place(folder, parent, name)

    def _stays(self, folder: _Folder, parent: _Folder, name: bytes) -> bool:
        """Say whether a folder is still where it is known to be, so that a mount shows it in another place as well."""
        if folder.parent is None or folder.parent.child(folder.name) is not folder:
            return False
        try:
            there, here = (os.lstat(join(self._watch, path)) for path in (folder.path(), join(parent.path(), name)))
        except OSError:
            return False
        return os.path.samestat(there, here)

    def _place(self, folder: _Folder, parent: Optional[_Folder], name: bytes) -> Optional[_Folder]:
        """Put a folder into the tree, from wherever it was; return it, or None if a mount shows it twice."""
        if parent is None:
            self._root = folder
        elif parent.child(name) is not folder:
            if folder in parent.upwards() or self._stays(folder, parent, name):
                return None
            folder.detach()
            folder.attach(parent, name)
        return folder

    def _find(self, path: bytes) -> Optional[_Folder]:
        folder = self._root
        for name in path.split(b"/") if path else ():
            if folder is None:
                return None
            folder = folder.child(name)
        return folder

    def _set_adrift(self, path: bytes, now: float) -> None:
        """A folder was moved away: where to is not known yet, so its watches live on for a moment."""
        folder = self._find(path)
        if folder is None:
            return
        folder.detach()
        self._left[folder.descriptor] = path
        for part in folder.below():
            self._adrift[part.descriptor] = (part, now)

    # -- events --------------------------------------------------------------------------------------------------

    def read(self, now: float) -> Seen:
        """Take all that is in the kernel's queue. `now`: monotonic seconds."""
        while True:
            try:
                buffer = os.read(self.handle, _READ_BYTES)
            except BlockingIOError:
                break
            self._decode(buffer, now)
            if len(buffer) < _READ_BYTES // 2:
                break
        return self._taken()

    def settle(self, now: float) -> Seen:
        """Do what had to wait: give up watches of folders that left the tree, look at new files that nobody closed."""
        for descriptor in [number for number, (_, since) in self._adrift.items() if now - since > _DRIFT_SECONDS]:
            self._adrift.pop(descriptor)[0].detach()
            self._left.pop(descriptor, None)
            self._folders.pop(descriptor, None)
            self._binding.inotify_rm_watch(self.handle, descriptor)
        for path in [path for path, since in self._created.items() if now - since > _CREATED_SECONDS]:
            del self._created[path]
            if not self._is_being_written(path):
                self._mark(path, ENTRY)
        return self._taken()

    def alarm(self) -> float:
        """Return when (monotonic seconds) `settle` is due."""
        drift = min((since for _, since in self._adrift.values()), default=NEVER) + _DRIFT_SECONDS
        created = next(iter(self._created.values()), NEVER) + _CREATED_SECONDS
        return min(drift, created)

    def _taken(self) -> Seen:
        root = self._root_gone, self._root_unwatched, self._root_removed
        seen = Seen(self._dirty, self._overflown, *root, self._events, self._moves, frozenset(self._unmounted))
        self._dirty, self._events, self._moves, self._unmounted = {}, 0, {}, set()
        self._overflown = self._root_gone = self._root_unwatched = self._root_removed = False
        return seen

    def _mark(self, path: bytes, scope: int) -> None:
        self._dirty[path] = self._dirty.get(path, 0) | scope

    def _decode(self, buffer: bytes, now: float) -> None:
        folders, header, offset, end, count = self._folders, _EVENT.size, 0, len(buffer), 0
        prefixes: Dict[int, bytes] = {}
        files: Dict[bytes, int] = {}
        while offset < end:
            count += 1
            descriptor, mask, _cookie, length = _EVENT.unpack_from(buffer, offset)
            start = offset + header
            offset = start + length
            if not length:
                self._on_special(descriptor, mask)
                prefixes.clear()
                continue
            prefix = prefixes.get(descriptor)
            if prefix is None:
                folder = folders.get(descriptor)
                if folder is None:
                    continue
                prefix = prefixes[descriptor] = folder.path() + b"/" if folder is not self._root else b""
            path = prefix + buffer[start:offset].rstrip(b"\0")
            if mask & pyinotify.IN_ISDIR:
                self._on_folder(path, mask, now)
                prefixes.clear()
            else:
                files[path] = files.get(path, 0) | mask
        for path, mask in files.items():
            self._on_file(path, mask, now)
        self._events += count

    def _on_special(self, descriptor: int, mask: int) -> None:
        """Take an event that is about no name: an overflow, or the end of a watch."""
        if mask & pyinotify.IN_Q_OVERFLOW:
            self._overflown = True
            return
        folder = self._folders.get(descriptor)
        if folder is None:
            return
        if folder is self._root and mask & (
            pyinotify.IN_DELETE_SELF | pyinotify.IN_MOVE_SELF | pyinotify.IN_UNMOUNT | pyinotify.IN_IGNORED
        ):
            self._root_gone = True
            self._root_unwatched = self._root_unwatched or not mask & pyinotify.IN_MOVE_SELF
            self._root_removed = self._root_removed or bool(mask & pyinotify.IN_DELETE_SELF)
        if mask & pyinotify.IN_UNMOUNT:
            self._unmounted.add(folder.path())
        if mask & pyinotify.IN_IGNORED:
            del self._folders[descriptor]
            self._adrift.pop(descriptor, None)
            self._left.pop(descriptor, None)
            folder.detach()
        elif mask & pyinotify.IN_ATTRIB and self._tells_of_itself(folder):
            self._mark(folder.path(), ENTRY)

    def _tells_of_itself(self, folder: _Folder) -> bool:
        """Say whether an event of a folder's own attributes counts; otherwise the one above tells of it, or none."""
        if self._kinds.attrib:
            return folder is self._root
        return self._kinds.create_folder and not self._passes.excludes(folder.path(), folder=True)

    def _on_file(self, path: bytes, mask: int, now: float) -> None:
        """Take all events of one reading that are about one file, whose flags are united in `mask`.

        All of them are over, so what the disk holds now is what they have led to, in whatever order they came.
        """
        if not self._kinds.hidden_files and _is_passing(path):
            return
        if self._passes.excludes(path, folder=False):
            return
        _log_event("event:", mask, path)
        if mask & self._telling:
            self._created.pop(path, None)
            self._mark(path, ENTRY)
        elif mask & pyinotify.IN_CREATE:
            if self._is_complete(path):
                self._mark(path, ENTRY)
            elif self._kinds.close_write:
                self._created[path] = now

    def _is_complete(self, path: bytes) -> bool:
        """Say whether something new will never be closed after writing: a symlink, a FIFO, a second hard link."""
        try:
            found = os.lstat(self._watch + b"/" + path)
        except OSError:
            return False
        return not stat.S_ISREG(found.st_mode) or found.st_nlink > 1

    def _is_being_written(self, path: bytes) -> bool:
        """Say whether somebody has a new file open for writing, so that its close is still to come.

        The kernel grants a read lease only on a file that nobody has open for writing.
        """
        try:
            handle = os.open(self._watch + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            # who opens it meanwhile breaks the lease, which is told by SIGIO: that would end us. SIGURG does not
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError as error:
            return error.errno == errno.EAGAIN
        finally:
            os.close(handle)
        return False

    def _on_folder(self, path: bytes, mask: int, now: float) -> None:
        _log_event("event: folder", mask, path)
        kinds, excluded = self._kinds, self._passes.excludes(path, folder=True)
        if mask & pyinotify.IN_MOVED_FROM:
            self._set_adrift(path, now)
        if excluded:
            return
        if mask & (pyinotify.IN_CREATE | pyinotify.IN_MOVED_TO):
            self._on_new_folder(path, kinds.create_folder if mask & pyinotify.IN_CREATE else kinds.move_to)
        elif mask & (pyinotify.IN_DELETE | pyinotify.IN_MOVED_FROM):
            if kinds.delete and (mask & pyinotify.IN_DELETE or kinds.move_from):
                # whatever stands here when it is pushed, the remote may have more below it
                self._mark(path, TREE)
        elif mask & pyinotify.IN_ATTRIB and kinds.attrib:
            self._mark(path, ENTRY)

    def _on_new_folder(self, path: bytes, wanted: bool) -> None:
        """Watch a folder that has appeared, and mark what is already in it.

        `wanted` false: the folder itself is not to be pushed for its own sake, what is in it is.
        """
        found: Dict[bytes, bool] = {}
        self.cover(path, found)
        if wanted and (self.doubt or len(found) > _MANY):
            self._mark(path, TREE)
            return
        if wanted:
            self._mark(path, ENTRY)
        for below, is_folder in found.items():
            if wanted or not is_folder:
                self._mark(below, ENTRY)
