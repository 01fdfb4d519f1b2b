"""The paths that failed alone, while others went through: tried again and again, a few at a time."""

from typing import Container, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from sersync_py.changes import Dirt

__all__ = ["FIRST_RETRY", "Held", "LONGEST_RETRY"]

FIRST_RETRY = 0.5
LONGEST_RETRY = 2.0
"""Seconds between attempts."""
_AT_ONCE = 20


class _Failed(NamedTuple):
    dirt: Dirt
    tries: int
    due: float


class Held:
    """Paths with their dirt, each with the moment (monotonic seconds) of its next attempt."""

    def __init__(self) -> None:
        self._paths: Dict[bytes, _Failed] = {}

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def items(self) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield each path with its dirt."""
        return ((path, held.dirt) for path, held in self._paths.items())

    def failed_twice(self) -> Iterator[Tuple[bytes, Dirt]]:
        """Yield each path that has failed more than once, with its dirt."""
        return ((path, held.dirt) for path, held in self._paths.items() if held.tries >= 2)

    def add(self, failed: Mapping[bytes, Dirt], now: float) -> List[bytes]:
        """Keep what failed for a retry; return what has now failed for the second time.

        Not the first: it may just have changed while it was sent.
        """
        again = []
        for path, dirt in failed.items():
            known = self._paths.get(path)
            tries = known.tries + 1 if known is not None else 1
            if tries == 2:
                again.append(path)
            if known is not None:
                dirt = Dirt(dirt.scope | known.dirt.scope, min(dirt.since, known.dirt.since))
            pause = min(FIRST_RETRY * 2 ** (tries - 1), LONGEST_RETRY)
            self._paths[path] = _Failed(dirt, tries, now + pause)
        return again

    def due(self) -> float:
        """Return when the next attempt is due. Only if there is something held."""
        return min(held.due for held in self._paths.values())

    def release(self, now: float) -> List[Tuple[bytes, Dirt]]:
        """Return some of what is due, to be made dirty again; it stays held until it has gone through."""
        due = [path for path, held in self._paths.items() if held.due <= now][:_AT_ONCE]
        released = []
        for path in due:
            held = self._paths.pop(path)
            # to the end of the row, so that each has its turn
            self._paths[path] = held._replace(due=now + LONGEST_RETRY)
            released.append((path, held.dirt))
        return released

    def let_go(self, scopes: Mapping[bytes, int], failed: Container[bytes] = ()) -> None:
        """Hold no longer what has gone through (path -> scope) as far below as it was held."""
        for path, scope in scopes.items():
            held = self._paths.get(path)
            if held is not None and path not in failed and held.dirt.scope | scope == scope:
                del self._paths[path]

    def retry_now(self) -> None:
        """Make all attempts due."""
        self._paths = {path: held._replace(due=0.0) for path, held in self._paths.items()}
