"""What is on the disk: a look at one path, and a walk over all that the filter lets through. Local stat calls only."""

import logging
import os
import stat
from typing import Callable, Dict, Iterator, NamedTuple, Tuple

from sersync_py.changes import ENTRY

__all__ = ["FOLDER", "GONE", "Look", "OTHER", "join", "look", "look_inside", "topmost_gone", "walk"]

log = logging.getLogger(__name__)

GONE, FOLDER, OTHER = "gone", "folder", "other"


class Look(NamedTuple):
    """What stands at a path: GONE, FOLDER or OTHER (file, symlink, ...), its size in bytes, its mtime in seconds."""

    kind: str
    size: int = 0
    mtime: float = 0.0


_GONE = Look(GONE)
_FOLDER = Look(FOLDER)


def join(folder: bytes, name: bytes) -> bytes:
    """Return the path of a name in a folder; both may be ROOT."""
    return folder + b"/" + name if folder and name else folder or name


def look(watch: bytes, path: bytes) -> Look:
    """Say what stands at a path below the watch folder. What may not be looked at is OTHER: rsync will say why."""
    try:
        found = os.lstat(watch + b"/" + path)
    except (FileNotFoundError, NotADirectoryError):
        return _GONE
    except OSError:
        return Look(OTHER)
    return _FOLDER if stat.S_ISDIR(found.st_mode) else Look(OTHER, found.st_size, found.st_mtime)


def look_inside(watch: bytes, path: bytes, known: Dict[bytes, str]) -> Look:
    """Say what stands at a path, through no symlink: what can be reached through one only is GONE from its old place.

    The kernel follows a symlink that has taken the place of a folder; so does rsync, and would make a folder of it at
    the remote, with what is behind it, be it outside of the watch folder. `known` keeps the looks at folders.
    """
    return look(watch, path) if _kind_of_folder(watch, path.rpartition(b"/")[0], known) == FOLDER else _GONE


def _kind_of_folder(watch: bytes, folder: bytes, known: Dict[bytes, str]) -> str:
    """Return FOLDER if a folder is one and so is all above it; OTHER if something else stands there; otherwise GONE."""
    way = []
    while folder and folder not in known:
        way.append(folder)
        folder = folder.rpartition(b"/")[0]
    kind = known[folder] if folder else FOLDER
    for each in reversed(way):
        kind = known[each] = look(watch, each).kind if kind == FOLDER else GONE
    return kind


def topmost_gone(watch: bytes, path: bytes, known: Dict[bytes, str]) -> Tuple[bytes, str]:
    """Given a path that is gone, return what to tell the remote about, and its kind.

    That is the topmost folder above it that is gone too, for rsync cannot delete below a folder that it does not find;
    or the file or symlink that stands where such a folder was. `known` keeps the looks at folders of one batch.
    """
    while True:
        parent = path.rpartition(b"/")[0]
        kind = _kind_of_folder(watch, parent, known)
        if kind == FOLDER:
            return path, GONE
        path = parent
        if kind == OTHER:
            return path, OTHER


def walk(watch: bytes, start: bytes, excludes: Callable[[bytes, bool], bool]) -> Iterator[Tuple[bytes, int]]:
    """Yield (path, ENTRY) for a folder and all below it that is not excluded, each folder before its content."""
    folders = [start]
    yield start, ENTRY
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(watch + b"/" + folder) as entries:
                for entry in entries:
                    path = join(folder, entry.name)
                    is_folder = entry.is_dir(follow_symlinks=False)
                    if excludes(path, is_folder):
                        continue
                    if is_folder:
                        folders.append(path)
                    yield path, ENTRY
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            log.warning("cannot read folder, its content is not sent: %s", error)


