"""Write trees, compare them, and wait until one has become equal to the other at the cost of almost nothing."""
import os
import random
import stat
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Set

NAMES_PAUSE = 0.01  # seconds between two looks; a look lists no more than the one folder that is not complete yet
PATHS_PAUSE = 0.05  # seconds between two looks at paths that differed
CHUNK = 1 << 20
SEED = 20
Alive = Callable[[], bool]


def content(size: int) -> bytes:
    """`size` bytes that do not compress, the same in every run."""
    return random.Random(SEED).getrandbits(8 * size).to_bytes(size, "little")


def write_file(path: str, data: bytes) -> float:
    """Write a file in one go; the monotonic moment just before its close, after which others may run before we do."""
    with open(path, "wb", buffering=0) as handle:
        handle.write(data)
        return time.monotonic()


def names_below(root: str) -> Dict[str, Set[str]]:
    """Relative folder -> the names in it, for `root` ("") and all below."""
    found, waiting = {}, [""]  # type: Dict[str, Set[str]], List[str]
    while waiting:
        folder = waiting.pop()
        names = set()
        with os.scandir(os.path.join(root, folder)) as entries:
            for entry in entries:
                names.add(entry.name)
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(os.path.join(folder, entry.name))
        found[folder] = names
    return found


def count_below(root: str) -> int:
    """How many entries are below `root`."""
    return sum(map(len, names_below(root).values()))


def _same_content(one: str, other: str) -> bool:
    """Whether two files hold the same bytes."""
    with open(one, "rb") as first, open(other, "rb") as second:
        while True:
            left, right = first.read(CHUNK), second.read(CHUNK)
            if left != right:
                return False
            if not left:
                return True


def same_entry(one: str, other: str) -> bool:
    """Whether two paths agree in type, mode, and size and content or target; two missing ones do."""
    try:
        left = os.lstat(one)
    except OSError:
        return not os.path.lexists(other)
    try:
        right = os.lstat(other)
        if left.st_mode != right.st_mode:
            return False
        if stat.S_ISLNK(left.st_mode):
            return os.readlink(one) == os.readlink(other)
        if stat.S_ISREG(left.st_mode):
            return left.st_size == right.st_size and _same_content(one, other)
    except OSError:
        return False
    return True


def differences(source: str, mirror: str) -> List[str]:
    """The relative paths in which two trees differ; empty: they are equal."""
    left, right = names_below(source), names_below(mirror)
    paths = {os.path.join(folder, name) for tree in (left, right) for folder, names in tree.items() for name in names}
    return sorted(path for path in paths if not same_entry(os.path.join(source, path), os.path.join(mirror, path)))


class Arrival(NamedTuple):
    """When the mirror was equal (seconds of time.monotonic; None: not in time), and what differed at the end."""

    moment: Optional[float]
    differing: List[str]


def _await_names(source: str, mirror: str, gone: str, going_on: Alive) -> Optional[float]:
    """Wait until the mirror has every name of the source, and no `gone` any more; the moment it was so, or None."""
    wanted = list(names_below(source).items())
    while True:
        while wanted and _complete(os.path.join(mirror, wanted[-1][0]), wanted[-1][1]):
            wanted.pop()
        if not wanted and not (gone and os.path.lexists(os.path.join(mirror, gone))):
            return time.monotonic()
        if not going_on():
            return None
        time.sleep(NAMES_PAUSE)


def _complete(folder: str, names: Set[str]) -> bool:
    """Whether all `names` are in the folder; rsync renames a file into place, so a name means a whole file."""
    try:
        return names.issubset(os.listdir(folder))
    except OSError:
        return False


def await_equal(source: str, mirror: str, limit: float, alive: Alive, gone: str = "") -> Arrival:
    """Wait up to `limit` seconds, while `alive()`, until the trees are equal; `gone`: a path that must vanish.

    First only the names are looked at, one incomplete folder at a time. When all are there both trees are compared in
    full: equal -> that moment counts. Otherwise only the paths that differed are watched, and then all compared again.
    """
    deadline = time.monotonic() + limit

    def going_on() -> bool:
        return time.monotonic() < deadline and alive()

    moment = _await_names(source, mirror, gone, going_on)
    while moment is not None:
        left = differences(source, mirror)
        if not left:
            return Arrival(moment, [])
        moment = _await_paths(source, mirror, left, going_on)
    return Arrival(None, differences(source, mirror))


def _await_paths(source: str, mirror: str, paths: List[str], going_on: Alive) -> Optional[float]:
    """Wait until each of the relative `paths` is the same on both sides; the moment it was so, or None."""
    waiting = list(paths)
    while True:
        while waiting and same_entry(os.path.join(source, waiting[-1]), os.path.join(mirror, waiting[-1])):
            waiting.pop()
        if not waiting:
            return time.monotonic()
        if not going_on():
            return None
        time.sleep(PATHS_PAUSE)
