"""What is known of a remote that does not take what it is sent: since when, why, and when it is tried again. Pure.

It is tried with a single path first, and with ten times as many after each success, so a try costs one small session
however much is waiting.
"""

from typing import FrozenSet, NamedTuple, Optional, Tuple

from sersync_py.outcomes import UNSTARTED, Outcome

__all__ = ["FIRST_RETRY", "LONGEST_RETRY", "Trouble", "reached", "worse"]

FIRST_RETRY = 0.5
LONGEST_RETRY = 1.0
"""Seconds between attempts: with CANARY_SECONDS of `target` for a connection that gets no answer, a remote is back in
step within two seconds of its return."""
_MOST_SAID = 10
"""Different reasons that are logged while a remote is away."""


class Trouble(NamedTuple):
    """The remote does not take what it is sent. Times are monotonic seconds."""

    since: float
    outcome: Outcome
    """How the last attempt ended."""
    tries: int
    next_try: float
    most: int
    """How many paths the next try takes."""
    said: FrozenSet[str]
    """What has been logged of it: ssh fails with two exit codes by turns, and a daemon may be busy or away by turns."""


def worse(known: Optional[Trouble], outcome: Outcome, now: float) -> Tuple[Trouble, bool]:
    """Given what was known before a failed attempt, return what is known now, and whether that should be said."""
    tries = known.tries + 1 if known is not None else 1
    pause = min(FIRST_RETRY * 2 ** (tries - 1), LONGEST_RETRY)
    said: FrozenSet[str] = known.said if known is not None else frozenset()
    reason = outcome.message or str(outcome.code)
    # that no session can be started here is nothing to say of the remote
    is_new = outcome.verdict != UNSTARTED and reason not in said and len(said) < _MOST_SAID
    since = known.since if known is not None else now
    return Trouble(since, outcome, tries, now + pause, 1, said | {reason} if is_new else said), is_new


def reached(known: Trouble, backlog: int, most: int, now: float) -> Optional[Trouble]:
    """Given that an attempt went well, return what trouble is left: some, as long as it is tried with a part only.

    `backlog`: the paths that wait; `most`: as many as ever go at once.
    """
    if known.most < backlog and known.most < most:
        return known._replace(most=known.most * 10, next_try=now)
    return None
