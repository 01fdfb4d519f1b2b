"""Starts sessions, and says when this machine does not let it: open files, processes or memory are used up, no rsync.

That is no fault of any remote, and all lanes meet it by turns, so it is said here, once, and not by each of them.
"""

import logging
from typing import Mapping, Optional, Set

from sersync_py.loop import Loop
from sersync_py.orders import Order
from sersync_py.outcomes import UNSTARTED
from sersync_py.session import Launcher, Session

__all__ = ["Starter"]

log = logging.getLogger(__name__)

_OVER_SECONDS = 5.0
"""After so long without a failure it is over: at the edge of a limit some sessions start and others do not."""
_MOST_SAID = 10
"""Different reasons that are logged until then."""


class Starter:
    """A launcher that looks after what it launches."""

    def __init__(self, launch: Launcher) -> None:
        self._launch = launch
        self._said: Set[str] = set()
        self._failed: Optional[float] = None

    def __call__(self, loop: Loop, order: Order, known: Mapping[bytes, int], now: float) -> Session:
        """Start a session. `now`: monotonic seconds."""
        session = self._launch(loop, order, known, now)
        outcome = session.outcome
        if outcome is not None and outcome.verdict == UNSTARTED:
            self._failed = now
            if outcome.message not in self._said and len(self._said) < _MOST_SAID:
                self._said.add(outcome.message)
                log.error("no session can be started: %s; changes wait and it is tried again", outcome.message)
        return session

    def look(self, now: float) -> None:
        """Say if it is over. To be called now and then."""
        if self._failed is not None and now - self._failed > _OVER_SECONDS:
            self._said.clear()
            self._failed = None
            log.info("sessions can be started again")
