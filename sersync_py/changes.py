"""The paths that are dirty, and how far below each the dirt reaches.

State, not history: a change never says what happened, only where the remote may differ from the disk. What to do about
it is decided at push time by looking. So marking is a union, order does not matter and marking twice is harmless.
"""

from typing import Dict, Iterator, NamedTuple, Optional, Tuple

__all__ = ["CONTENT", "Change", "Dirt", "DirtySet", "ENTRY", "LISTING", "ROOT", "TREE", "ancestors"]

ENTRY = 1
"""The path itself: a file's content, a folder's existence and attributes, or that it is gone."""
LISTING = ENTRY | 2
"""A folder and which names stand directly in it: what the remote has beyond them is deleted there."""
CONTENT = ENTRY | 4
"""A folder and all that is below it is sent; nothing is deleted."""
TREE = LISTING | CONTENT
"""A folder and all below it are made equal, deletions included."""

ROOT = b""
"""The watch folder itself, as a path relative to it."""


class Change(NamedTuple):
    """One dirty path: bytes relative to the watch folder, and how far below it the dirt reaches."""

    path: bytes
    scope: int = ENTRY


def ancestors(path: bytes) -> Iterator[bytes]:
    """Given a relative path, yield each folder above it, nearest first, ending with ROOT."""
    while path:
        path = path.rpartition(b"/")[0]
        yield path


class Dirt(NamedTuple):
    """How far below a path the dirt reaches, and since when (seconds, wall clock) the remote may differ there."""

    scope: int
    since: float


class DirtySet:
    """A set of dirty paths: marks of the same path are united, the older moment stays.

    A path below one that is dirty as a TREE is not kept, for the tree covers it.
    """

    def __init__(self) -> None:
        self._dirt: Dict[bytes, Dirt] = {}
        self._trees: Dict[bytes, None] = {}

    def __len__(self) -> int:
        return len(self._dirt)

    def __iter__(self) -> Iterator[bytes]:
        """Yield the paths in the order in which they became dirty."""
        return iter(self._dirt)

    def __contains__(self, path: object) -> bool:
        return path in self._dirt

    def items(self) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield (path, dirt) in the order in which they became dirty."""
        return iter(self._dirt.items())

    def covered(self, path: bytes) -> bool:
        """Say whether a dirty TREE above the path already accounts for it."""
        return bool(self._trees) and any(folder in self._trees for folder in ancestors(path))

    def mark(self, path: bytes, dirt: Dirt) -> None:
        """Make a path dirty to at least the given scope. The value may be shared by many paths."""
        known = self._dirt.get(path)
        if known is not None:
            scope, since = known.scope | dirt.scope, min(known.since, dirt.since)
            if (scope, since) == known:
                return
            dirt = Dirt(scope, since)
        elif self.covered(path):
            self._backdate(path, dirt.since)
            return
        self._dirt[path] = dirt
        if dirt.scope == TREE:
            self._trees[path] = None

    def _backdate(self, path: bytes, since: float) -> None:
        """Let the dirty trees above a path be as old as what they account for."""
        for folder in ancestors(path):
            if folder in self._trees and since < self._dirt[folder].since:
                self._dirt[folder] = Dirt(TREE, since)

    def take(self, path: bytes) -> Dirt:
        """Remove a path and return its dirt. Raise KeyError if it is not dirty."""
        self._trees.pop(path, None)
        return self._dirt.pop(path)

    def oldest(self) -> Optional[float]:
        """Return the moment of the path that has been dirty for longest; None if nothing is dirty.

        What is put back after a failure is older than its place in the order, so all are looked at.
        """
        return min((dirt.since for dirt in self._dirt.values()), default=None)
