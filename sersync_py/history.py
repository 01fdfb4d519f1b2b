"""The last hour of each remote and watch folder: a sample every heartbeat, the oldest one drops out. Pure."""

from collections import deque
from typing import Deque, Dict, Hashable, NamedTuple, Tuple

__all__ = ["HOUR", "History", "Sample", "rate"]

HOUR = 3600.0
_MOST = 400
"""Samples of one subject: an hour of heartbeats, and some more if the machine was suspended or the clock set."""


class Sample(NamedTuple):
    """One subject at one moment."""

    at: float
    """Seconds of the wall clock."""
    total: int
    """Bytes sent, or events seen, since the agent started."""
    lag_seconds: float = 0.0
    state: str = ""


class History:
    """Samples by subject, oldest first."""

    def __init__(self) -> None:
        self._rows: Dict[Hashable, Deque[Sample]] = {}

    def add(self, samples: Dict[Hashable, Sample]) -> None:
        """Take one sample of each subject there is; what others had before is dropped."""
        self._rows = {subject: self._rows.get(subject) or deque(maxlen=_MOST) for subject in samples}
        for subject, sample in samples.items():
            row = self._rows[subject]
            while row and not sample.at - HOUR <= row[0].at <= sample.at:
                row.popleft()
            row.append(sample)

    def of(self, subject: Hashable) -> Tuple[Sample, ...]:
        """Return the samples of a subject."""
        return tuple(self._rows.get(subject, ()))

    def rate(self, subject: Hashable, now: Sample) -> float:
        """Return how much a second a subject's total has grown over the last two heartbeats or less."""
        row = self._rows.get(subject)
        return rate(row[-2] if len(row) > 1 else row[0], now) if row else 0.0


def rate(before: Sample, after: Sample) -> float:
    """Return the growth of the total per second between two samples."""
    seconds = after.at - before.at
    return max(0, after.total - before.total) / seconds if seconds > 0 else 0.0
