"""Somebody who works in the watch folder: an endless row of operations that depends on the seed alone.

A process of its own: it reads how many operations to do from stdin, a line each time, does them and says how many of
them worked. What does not work (there is no such file, another hand was faster) is part of the game. No hard links: the
kernel tells of a write under one of a file's names only.
"""

import contextlib
import os
import random
import shutil
import sys
import time
from typing import Callable, Dict, Iterator, List, Tuple

__all__ = ["Hand", "plant"]

FOLDERS = [b"docs", b"img", b"a b", b"it's", b"*", "\u4e2d\u6587".encode(), b"\xff\xfe", b"new\nline", b"x"]
FILES = [b"index.html", b"data", b"log", b"photo.jpg", b"[1]", b"$HOME", b"-dash", "\u6587\u4ef6".encode(), b".env",
         b"x"]
"""One name is in both rows, so that files take the places of folders and the other way round."""
MODES_OF_FILES, MODES_OF_FOLDERS = (0o600, 0o644, 0o755, 0o444), (0o755, 0o700, 0o775)
OFTEN, SELDOM, RARE = 24, 6, 1


def plant(folder: bytes, rng: random.Random, files: int) -> None:
    """Make a folder with some files at three depths, their times in the past."""
    for number in range(files):
        below = os.path.join(folder, *rng.sample(FOLDERS, rng.randrange(3)))
        with contextlib.suppress(OSError):
            os.makedirs(below, exist_ok=True)
            path = os.path.join(below, b"%d.old" % number)
            _put(path, rng.getrandbits(64).to_bytes(8, "big") * rng.randrange(1, 40))
            os.utime(path, (1500000000 + rng.randrange(10**8),) * 2)


def _put(path: bytes, content: bytes, mode: str = "wb") -> None:
    with open(path, mode) as file:
        file.write(content)


class Hand:
    """One row of operations on `source`, with the folder `outside` to move things from and to."""

    def __init__(self, source: bytes, outside: bytes, seed: str) -> None:
        self._source, self._outside = source, outside
        self._rng = random.Random(seed)
        self._name = seed.encode()
        self._written = 0
        kinds: List[Tuple[int, Callable[[], None]]] = [
            (OFTEN, self._write), (OFTEN, self._append), (SELDOM, self._write_over_and_over),
            (SELDOM, self._write_beside_and_rename), (OFTEN, self._rename_file), (SELDOM, self._rename_folder),
            (SELDOM, self._swap_folders), (OFTEN, self._delete_file), (RARE, self._delete_folder),
            (RARE, self._make_tree), (SELDOM, self._move_out), (OFTEN, self._move_in), (SELDOM, self._symlink),
            (SELDOM, self._chmod_file), (RARE, self._chmod_folder), (SELDOM, self._touch), (RARE, self._file_to_folder),
            (RARE, self._folder_to_file), (SELDOM, self._truncate),
        ]
        self._kinds = [kind for weight, kind in kinds for _ in range(weight)]

    def work(self, operations: int) -> int:
        """Do so many operations, with pauses in between; return how many of them worked."""
        worked = 0
        for _ in range(operations):
            kind = self._rng.choice(self._kinds)
            pause = self._rng.random() * 0.2 if self._rng.random() < 0.03 else 0
            worked += self._do(kind)
            time.sleep(pause)
        return worked

    def move_folders(self, count: int) -> int:
        """Move folders about, with whatever has been in them for long."""
        return sum(self._do(self._rng.choice([self._rename_folder, self._swap_folders, self._move_in]))
                   for _ in range(count))

    @staticmethod
    def _do(kind: Callable[[], None]) -> bool:
        try:
            kind()
        except (OSError, shutil.Error):
            return False
        return True

    # -- where ---------------------------------------------------------------------------------------------------

    def _folder(self, deepest: int = 3) -> bytes:
        depth = self._rng.randint(1, deepest)
        return os.path.join(self._source, *(self._rng.choice(FOLDERS) for _ in range(depth)))

    def _file(self) -> bytes:
        depth = self._rng.randrange(3)
        folder = os.path.join(self._source, *(self._rng.choice(FOLDERS) for _ in range(depth)))
        return os.path.join(folder, self._rng.choice(FILES))

    def _aside(self) -> bytes:
        return os.path.join(self._outside, b"%d" % self._rng.randrange(20))

    def _content(self) -> bytes:
        self._written += 1
        size = self._rng.choice((0, 1, 1, 5, 5, 100, 1000, 30000)) if self._rng.random() < 0.995 else 3000000
        text = b"%s %d " % (self._name, self._written)
        return (text * (size // len(text) + 1))[:max(size, len(text))] if size else b""

    # -- what ----------------------------------------------------------------------------------------------------

    def _write(self) -> None:
        path, content = self._file(), self._content()
        if self._rng.random() < 0.5:
            os.makedirs(os.path.dirname(path), exist_ok=True)
        _put(path, content)

    def _append(self) -> None:
        _put(self._file(), self._content(), "ab")

    def _write_over_and_over(self) -> None:
        path, times = self._file(), self._rng.randrange(2, 8)
        self._written += times
        for number in range(times):
            _put(path, b"%09d" % (self._written - number))

    def _write_beside_and_rename(self) -> None:
        path, content = self._file(), self._content()
        beside = os.path.join(os.path.dirname(path), b".%s.tmp" % self._name.replace(b"/", b"."))
        _put(beside, content)
        os.rename(beside, path)

    def _truncate(self) -> None:
        path, length = self._file(), self._rng.randrange(10)
        with open(path, "r+b") as file:
            file.truncate(length)

    def _rename_file(self) -> None:
        os.rename(self._file(), self._file())

    def _rename_folder(self) -> None:
        os.rename(self._folder(2), self._folder(2))

    def _swap_folders(self) -> None:
        one, other = self._folder(2), self._folder(2)
        between = os.path.join(self._source, b"swap." + self._name.replace(b"/", b"."))
        os.rename(one, between)
        try:
            os.rename(other, one)
        finally:
            os.rename(between, other)

    def _delete_file(self) -> None:
        os.remove(self._file())

    def _delete_folder(self) -> None:
        shutil.rmtree(self._folder(2))

    def _make_tree(self) -> None:
        folder, files = self._folder(3), self._rng.randrange(5, 60)
        plant(folder, random.Random(self._rng.random()), files)

    def _move_out(self) -> None:
        what = self._file() if self._rng.random() < 0.7 else self._folder()
        os.rename(what, self._aside())

    def _move_in(self) -> None:
        aside = self._aside()
        target = self._folder() if self._rng.random() < 0.7 else self._file()
        if not os.path.lexists(target):
            os.rename(aside, target)

    def _symlink(self) -> None:
        target, path = self._rng.choice(FOLDERS + FILES), self._file()
        if self._rng.random() < 0.3 and os.path.islink(path):
            os.remove(path)
        os.symlink(target, path)

    def _chmod_file(self) -> None:
        path, mode = self._file(), self._rng.choice(MODES_OF_FILES)
        if not os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, mode)

    def _chmod_folder(self) -> None:
        path, mode = self._folder(), self._rng.choice(MODES_OF_FOLDERS)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, mode)

    def _touch(self) -> None:
        path, moment = self._file(), 1400000000 + self._rng.randrange(10**8)
        os.utime(path, (moment, moment), follow_symlinks=False)

    def _file_to_folder(self) -> None:
        path, seed = self._file(), self._rng.random()
        os.remove(path)
        plant(path, random.Random(seed), 5)

    def _folder_to_file(self) -> None:
        path, content = self._folder(), self._content()
        shutil.rmtree(path)
        _put(path, content)


def _tasks() -> Iterator[Tuple[str, int]]:
    for line in sys.stdin:
        task, count = line.split()
        yield task, int(count)


def main() -> None:
    """Do what stdin asks for: `work N` or `move_folders N`; answer each line with the number that worked."""
    hand = Hand(os.fsencode(sys.argv[1]), os.fsencode(sys.argv[2]), sys.argv[3])
    tasks: Dict[str, Callable[[int], int]] = {"work": hand.work, "move_folders": hand.move_folders}
    for task, count in _tasks():
        sys.stdout.write(f"{tasks[task](count)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
