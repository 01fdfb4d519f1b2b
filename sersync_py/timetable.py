"""When the periodic work is due: heartbeat, replay of the fail log, full resync. The only user of schedule.

schedule drops a job that raises, so its jobs only note that they are due; the work is done by whoever asks. It goes by
local time, so all is moved when somebody has set the clock, when summer time begins or ends, and by the time for which
the machine was suspended.
"""

import datetime
import time
from typing import Dict, List, Optional, Tuple

import schedule

__all__ = ["Timetable"]

_CLOCK_SET = 1.0
"""A difference in seconds between local time and the monotonic clock that does not come about by itself."""
_LOOK_SECONDS = 30.0
"""The clocks are compared this often at least."""


class Timetable:
    """Says which work is due. Names are the caller's own."""

    def __init__(self, seconds: Dict[str, int], now: float, wall: float) -> None:
        """`seconds`: name of the work -> its period. `now`: monotonic seconds, `wall`: wall clock seconds."""
        self._seconds = seconds
        self._due: List[str] = []
        self._clocks = (now, _local(wall))
        self._scheduler = schedule.Scheduler()
        self._jobs = {
            name: self._scheduler.every(period).seconds.do(self._due.append, name)
            for name, period in self._seconds.items()
        }

    def due(self, now: float, wall: float) -> Tuple[str, ...]:
        """Return the names of the work that has become due since the last call."""
        local = _local(wall)
        drift = (local - self._clocks[1]) - (now - self._clocks[0])
        self._clocks = (now, local)
        if abs(drift) > _CLOCK_SET:
            for job in self._scheduler.jobs:
                if job.next_run is not None:
                    job.next_run += datetime.timedelta(seconds=drift)
        return self._run_pending(datetime.datetime.fromtimestamp(wall))

    def _run_pending(self, moment: datetime.datetime) -> Tuple[str, ...]:
        """Have the jobs say what is due; what only seems so goes on as it was planned.

        schedule looks at the clock itself, and that may have been set since we looked.
        """
        planned = {name: job.next_run for name, job in self._jobs.items() if job.next_run is not None}
        self._scheduler.run_pending()
        names = tuple(name for name in dict.fromkeys(self._due) if planned[name] <= moment)
        for name in self._due:
            period = datetime.timedelta(seconds=self._seconds[name])
            self._jobs[name].next_run = moment + period if name in names else planned[name]
        self._due.clear()
        return names

    def seconds_until(self, name: str) -> Optional[float]:
        """Return the seconds until some work becomes due; None: it is not planned."""
        job = self._jobs.get(name)
        return None if job is None else max(0.0, (job.next_run - datetime.datetime.now()).total_seconds())

    def idle_seconds(self) -> float:
        """Return the seconds until something becomes due, or until the clocks are to be compared again."""
        return min(max(0.0, self._scheduler.idle_seconds or 0.0), *self._seconds.values(), _LOOK_SECONDS)


def _local(wall: float) -> float:
    """Return what the clock on the wall shows, in seconds: the wall clock's time and the zone's offset."""
    return wall + time.localtime(wall).tm_gmtoff
