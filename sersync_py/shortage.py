"""Folders that have no watch since the kernel grants no more: since when, when they are looked at next, what is said.

Pure: the time comes in as arguments, `wall` in seconds of the wall clock, `now` in monotonic ones.
"""

from typing import Optional, Tuple

from sersync_py.limits import MOST, Limit
from sersync_py.loop import NEVER

__all__ = ["LOOK_SECONDS", "Shortage", "advice", "enough"]

LOOK_SECONDS = 60.0
"""From the end of one look at the folders without a watch to the beginning of the next."""


def enough(limit: Limit, lacking: int) -> int:
    """Return what to set a limit to if so many watches are lacking, with as much again for what the tree grows by."""
    return min(2 * (limit.value + lacking), MOST)


def advice(limit: Limit, lacking: int, refusal: str) -> str:
    """Return what is to be said of so many folders without a watch. `refusal`: why the limit was not raised."""
    return (
        f"{lacking} folders have no watch, for {limit.name} is {limit.value}, used up and not raised ({refusal}); they"
        f" are looked through every {LOOK_SECONDS:g} s. To have them watched run"
        f" `sysctl -w {limit.name}={enough(limit, lacking)}` as root"
    )


class Shortage:
    """What is to be remembered from one look at the folders without a watch to the next."""

    def __init__(self) -> None:
        self._since: Optional[Tuple[float, float]] = None
        self.due = NEVER
        """When (monotonic seconds) the next look is due."""
        self._said = 0

    def begin(self, since: float, wall: float, now: float) -> None:
        """There is none; what happens below some folders from `since` (wall clock) on is not seen by events."""
        if self._since is None:
            self._since = since, wall - now
            self.due = now

    def since(self, wall: float, now: float) -> float:
        """Return the moment (wall clock) from which on something may not have been seen; inf if there is no shortage.

        If the clock was set back meanwhile, so much earlier.
        """
        if self._since is None:
            return NEVER
        since, offset = self._since
        return since + min(0.0, wall - now - offset)

    def looked(self, since: float, wall: float, now: float, lacking: int) -> None:
        """A look that began at `since` (wall clock) is over, and so many folders have no watch still."""
        self._since = (since, wall - now) if lacking else None
        self.due = now + LOOK_SECONDS if lacking else NEVER

    def says(self, limit: Limit, lacking: int) -> bool:
        """Say whether people should be told: once, and again if what they were told to set is too little by now."""
        tell = limit.value + lacking > self._said
        if tell:
            self._said = enough(limit, lacking)
        return tell

    def is_over(self) -> bool:
        """Say, once, that people were told of a shortage that is over."""
        over = self._since is None and self._said > 0
        if over:
            self._said = 0
        return over
