"""A session that is connected before there is something to send: the next change is at the mirror in 3 ms, not in 12.

An rsync that is to read names from stdin connects, authenticates and then waits for them. One waits for as long as the
lane is active; it occupies one connection of the daemon. While it waits it does not look at its connection: that the
daemon's own timeout has come, or that it was stopped, shows only when the session is used. Then the push goes again in
a fresh one, and is not counted as failed; what waits is replaced the earlier the younger it was that failed.

It stands in the watch folder as it was when it was started, so it must go when that is replaced (`drop`).
"""

import logging
import os
from typing import List, Mapping, Optional, Set

from sersync_py.loop import NEVER, Loop
from sersync_py.orders import Order
from sersync_py.outcomes import DONE, Outcome
from sersync_py.pacing import Turns
from sersync_py.session import Launcher, Session
from sersync_py.settings import Remote, Rsync

__all__ = ["Slots", "Warm"]

log = logging.getLogger(__name__)

_IN_GOOD_TIME = 0.7
"""A session is replaced at this part of the age at which an earlier one was found dead."""
_SHORTEST_LIFE = 2.0
"""Seconds. It is not replaced more often than that."""
_MOST_BYTES = 8192
"""Of names. A fresh session takes more of them from its command line sooner than this one reads them from its stdin."""


class Slots:
    """Counts what may run beside the first session of each lane: big files, and waiting sessions (`-n` of each).

    Shared by all lanes, as is what they know of the hosts.
    """

    def __init__(self, free: int) -> None:
        self.free = self.waiting = free
        self.turns = Turns(os.cpu_count() or 1)
        self.narrow: Set[str] = set()
        """Hosts whose daemon had no connection to spare: no session waits there, for another may need it."""


class Warm:
    """Keeps at most one session waiting."""

    def __init__(self, loop: Loop, launch: Launcher, slots: Slots, remote: Remote, rsync: Rsync) -> None:
        """None of its own will ever wait if `rsync` says so, or while there is no slot."""
        self._loop, self._launch, self._slots = loop, launch, slots
        self._host, self._idle = remote.host, rsync.warm
        self._waiting: Optional[Session] = None
        self._leaving: List[Session] = []
        self._born = self._until = self._age = 0.0
        self._life = NEVER if rsync.timeout is None else max(_SHORTEST_LIFE, _IN_GOOD_TIME * rsync.timeout)
        """At this age (seconds) one that waits is replaced."""

    def keep(self, order: Order, now: float) -> None:
        """Have one wait for an order like this one, from now on for the idle time."""
        if self._idle is None or self._host in self._slots.narrow:
            return
        self._until = now + self._idle
        if self._waiting is not None and not _is_for(self._waiting, order):
            self.drop(now)
        if self._waiting is None and self._slots.waiting > 0:
            self._start(order, now)

    def _start(self, order: Order, now: float) -> None:
        self._slots.waiting -= 1
        self._waiting, self._born = self._launch(self._loop, order._replace(feed=None, waits=True), {}, now), now

    def take(self, order: Order, known: Mapping[bytes, int], now: float) -> Optional[Session]:
        """Return the session that waits, now carrying this order; None if there is none that can, or one is no gain."""
        self.step(now)
        session = self._waiting
        if session is None or not _is_for(session, order) or sum(map(len, order.feed or ())) > _MOST_BYTES:
            return None
        self._waiting, self._age = None, now - self._born
        self._slots.waiting += 1
        session.go(order, known, now)
        return session

    def went(self, well: bool, now: float) -> None:
        """Learn from how a session that had waited went; if not well, only from the next success on is one kept."""
        if not well:
            self.drop(now)
            self._life = max(_SHORTEST_LIFE, min(self._life, _IN_GOOD_TIME * self._age))
        elif self._age > self._life / 2:
            self._life = 2 * self._life

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` is due."""
        times = [session.alarm for session in self._leaving]
        if self._waiting is not None:
            times.append(min(self._until, self._born + self._life))
        return min(times, default=NEVER)

    def step(self, now: float) -> None:
        """See whether the one that waits has died, or has waited for long enough."""
        self._leaving = [session for session in self._leaving if session.step(now) is None]
        waiting = self._waiting
        if waiting is None:
            return
        if waiting.step(now) is not None:
            self._bury(waiting, now)
        elif now >= self._until or self._host in self._slots.narrow:
            self.drop(now)
        elif now >= self._born + self._life:
            self.drop(now)
            self._start(waiting.order, now)

    def _bury(self, session: Session, now: float) -> None:
        """One has died unused."""
        self._waiting = None
        self._slots.waiting += 1
        outcome = session.outcome
        if outcome is None or outcome.verdict == DONE:
            return
        log.debug("a waiting session ended after %.1f s: %s", now - self._born, outcome.why())
        self.heed(outcome)

    def heed(self, outcome: Outcome) -> None:
        """Given how any session with this host has failed, let none wait there if it has no connection to spare."""
        if "max connections" in outcome.message and self._host not in self._slots.narrow:
            log.info("%s: no session is kept waiting there any more: %s", self._host, outcome.why())
            self._slots.narrow.add(self._host)

    def drop(self, now: float) -> None:
        """Let the one that waits end, unused."""
        if self._waiting is not None:
            self._waiting.dismiss(now)
            self._leaving.append(self._waiting)
            self._waiting = None
            self._slots.waiting += 1

    def is_over(self, now: float) -> bool:
        """Having been told to drop, say whether nothing is in flight."""
        self.step(now)
        return not self._leaving


def _is_for(session: Session, order: Order) -> bool:
    """Say whether a session that waits can carry an order: it has the same words, and stands in the same folder."""
    return (session.order.argv, session.order.root) == (order.argv, order.root)
