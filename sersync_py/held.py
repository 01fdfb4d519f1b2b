"""The paths that failed alone, while others went through: tried again and again, a few at a time."""

from typing import Callable, Container, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from sersync_py.changes import Dirt
from sersync_py.loop import NEVER

__all__ = ["FIRST_RETRY", "LONGEST_RETRY", "REST", "Held"]

FIRST_RETRY = 0.5
LONGEST_RETRY = 2.0
"""Seconds between attempts."""
REST = 0.5
"""Seconds between attempts with paths that seem to fail for good, unless one of them went through."""
_FOR_GOOD = 3
"""So many failures make it seem so."""
_AT_ONCE = 20


class _Failed(NamedTuple):
    dirt: Dirt
    tries: int
    due: float


class Held:
    """Paths with their dirt, each with the moment (monotonic seconds) of its next attempt.

    Thousands may fail for good, each as often as any other: of them a few are tried at a time, and then none for a
    moment, so that they cost two sessions a second at most.
    """

    def __init__(self) -> None:
        self._paths: Dict[bytes, _Failed] = {}
        self._rest_until = 0.0
        self._due: Optional[float] = NEVER
        """When the next attempt is due; None: that is to be found out."""

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

    def add(
        self, failed: Mapping[bytes, Dirt], now: float, pause: float = 0.0, most: Optional[int] = None,
    ) -> List[bytes]:
        """Keep what failed for a retry, in `pause` seconds at the earliest.

        `most`: so many failures are counted of each at most. Return what has now failed for the second time. Not the
        first: it may just have changed while it was sent.
        """
        again = []
        for path, dirt in failed.items():
            known = self._paths.get(path)
            tries = known.tries + 1 if known is not None else 1
            if most is not None:
                tries = min(tries, most)
            elif tries == 2:
                again.append(path)
            if known is not None:
                dirt = Dirt(dirt.scope | known.dirt.scope, min(dirt.since, known.dirt.since))
            due = now + max(pause, min(FIRST_RETRY * 2 ** (tries - 1), LONGEST_RETRY))
            self._paths[path] = _Failed(dirt, tries, due)
            self._due = None
        return again

    def add_hopeful(self, skipped: Mapping[bytes, Dirt], now: float) -> None:
        """Keep what only failed on account of others, so that it is soon tried without those that fail for good."""
        self.add(skipped, now, most=_FOR_GOOD - 1)

    def due(self) -> float:
        """Return when the next attempt is due; inf: nothing is held."""
        if self._due is None:
            self._due = min((self._due_of(held) for held in self._paths.values()), default=NEVER)
        return self._due

    def _due_of(self, held: _Failed) -> float:
        return max(held.due, self._rest_until) if held.tries >= _FOR_GOOD else held.due

    def release(self, now: float, flies: Callable[[bytes], bool]) -> List[Tuple[bytes, Dirt]]:
        """Return some of what is due, to be made dirty again; it stays held until it has gone through.

        `flies`: says of a path whether it is on its way, so that how that ends is to be waited for.
        """
        if self.due() > now:
            return []
        due = [path for path, held in self._paths.items() if self._due_of(held) <= now]
        hopeful = [path for path in due if self._paths[path].tries < _FOR_GOOD][:_AT_ONCE]
        released = []
        for path in hopeful or due[:_AT_ONCE]:
            held = self._paths.pop(path)
            # to the end of the row, so that each has its turn
            self._paths[path] = held._replace(due=now + LONGEST_RETRY)
            if not flies(path):
                released.append((path, held.dirt))
        if not hopeful:
            self._rest_until = now + REST
        self._due = None
        return released

    def let_go(self, scopes: Mapping[bytes, int], failed: Container[bytes] = ()) -> None:
        """Hold no longer what has gone through (path -> scope) as far below as it was held."""
        for path, scope in scopes.items():
            held = self._paths.get(path)
            if held is not None and path not in failed and held.dirt.scope | scope == scope:
                del self._paths[path]
                self._due, self._rest_until = None, 0.0

    def retry_now(self) -> None:
        """Make all attempts due, and none of them hopeless."""
        self._paths = {path: held._replace(tries=min(held.tries, _FOR_GOOD - 1), due=0.0)
                       for path, held in self._paths.items()}
        self._due = None
