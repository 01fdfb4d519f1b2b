"""Whether the host of a session that has fallen silent can still be reached.

Behind a router that drops everything a session would wait for a quarter of an hour, and after the return for as long as
TCP's next repetition takes. A session may also be silent because the remote is at work, so its host is asked.
"""

from typing import Iterable, Optional

from sersync_py import orders
from sersync_py.loop import NEVER, Loop
from sersync_py.outcomes import unreachable
from sersync_py.session import Launcher, Session
from sersync_py.target import Target

__all__ = ["Probe"]

QUIET_SECONDS = 2.0
"""So long must a session be silent before its host is asked, and so long it is until that is asked again."""


class Probe:
    """Asks, if need be, beside the sessions of one lane."""

    def __init__(self, loop: Loop, launch: Launcher) -> None:
        self._loop, self._launch = loop, launch
        self._asking: Optional[Session] = None
        self._next = 0.0

    def alarm(self) -> float:
        """Return when (monotonic seconds) `finds_nobody` is due, if none of the sessions is due before."""
        return NEVER if self._asking is None else self._asking.alarm

    def finds_nobody(self, target: Target, sessions: Iterable[Session], now: float) -> bool:
        """Ask if one of the sessions is silent; say whether it has turned out that nothing answers any more."""
        quiet = any(session.quiet(now) >= QUIET_SECONDS for session in sessions)
        if self._asking is None and quiet and now >= self._next:
            order = orders.probe(target)
            self._asking = self._launch(self._loop, order, {}, now) if order is not None else None
            self._next = now + QUIET_SECONDS
        outcome = self._asking.step(now) if self._asking is not None else None
        if outcome is None:
            return False
        self._asking = None
        return quiet and unreachable(outcome)

    def end(self, now: float) -> None:
        """Ask no longer."""
        if self._asking is not None:
            self._asking.end(now)

    def is_over(self, now: float) -> bool:
        """Having been asked to end, say whether nothing is in flight."""
        return self._asking is None or self._asking.step(now) is not None
