"""What is on its way to a remote, and what must wait for it: no path is in two sessions, nor is one below another.

Pure. A big file, which may be under way for hours, holds up less than a batch does: what is said of the folders above
it goes, unless it is about all that is below them, or about what else is in the file's own folder.
"""

from typing import Iterable, Set

from sersync_py.changes import LISTING, TREE, ancestors

__all__ = ["Flights"]


class Flights:
    """The paths that sessions in flight touch."""

    def __init__(self, batches: Iterable[bytes], big: Iterable[bytes]) -> None:
        """`batches`: every path that batches in flight have taken or ask for; `big`: big files on their own."""
        self._paths: Set[bytes] = set(batches)
        self._above: Set[bytes] = _above(self._paths)
        files = set(big)
        self._above_big = _above(files)
        self._beside_big = {path.rpartition(b"/")[0] for path in files}
        self._paths |= files

    def block(self, path: bytes, scope: int) -> bool:
        """Say whether a path that is dirty as far as `scope` must wait."""
        if not self._paths:
            return False
        if path in self._paths or path in self._above or (scope == TREE and path in self._above_big):
            return True
        if scope & LISTING == LISTING and path in self._beside_big:
            # what the remote has beyond the listing goes, and it has the file under another name until it is whole
            return True
        return any(above in self._paths for above in ancestors(path))


def _above(paths: Iterable[bytes]) -> Set[bytes]:
    found: Set[bytes] = set()
    for path in paths:
        for above in ancestors(path):
            if above in found:
                break
            found.add(above)
    return found
