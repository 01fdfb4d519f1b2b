"""The progress of whole-tree pushes on a terminal: files and bytes, a line a remote."""

import logging
import re
import sys
from typing import TYPE_CHECKING, Any, List, Sequence, Type

from sersync_py.lane import Lane

if TYPE_CHECKING:
    from tqdm import tqdm

__all__ = ["AboveProgress", "Progress"]

_EVERY_SECONDS = 0.2
_TAIL = 4000
"""So much of the end of stdout holds the last report, the statistics that follow it included."""
_LINE = re.compile(rb"([\d,.]+[KMGTP]?) +\d+% .*?-chk=(\d+)/(\d+)\)")


def _bar() -> "Type[tqdm[Any]]":
    """Return the library's class. It is loaded for a terminal only: a daemon is 4 MB smaller without it."""
    from tqdm import tqdm

    # no thread beside ours: it would only redraw what is redrawn five times a second
    tqdm.monitor_interval = 0
    return tqdm


class Progress:
    """Shows what the lanes' whole-tree pushes report, until all of them are through."""

    def __init__(self, lanes: Sequence[Lane], now: float) -> None:
        self._lanes = list(lanes)
        self._bars: List[tqdm[Any]] = []
        for lane in self._lanes:
            lane.progress = True
            self._bars.append(_bar()(desc=str(lane), unit=" entries", position=len(self._bars), leave=True))
        self._next = now

    def alarm(self) -> float:
        """Return when (monotonic seconds) `show` is due."""
        return self._next

    def show(self, now: float) -> bool:
        """Bring the lines up to date; return False once there is nothing more to show."""
        if now < self._next:
            return True
        self._next = now + _EVERY_SECONDS
        for lane, bar in zip(self._lanes, self._bars):
            self._update(lane, bar)
        if any(lane.progress for lane in self._lanes):
            return True
        for bar in self._bars:
            bar.close()
        return False

    @staticmethod
    def _update(lane: Lane, bar: "tqdm[Any]") -> None:
        found = _LINE.findall(lane.heard()[-_TAIL:])
        if found:
            size, left, total = found[-1]
            bar.total = int(total)
            bar.n = int(total) - int(left)
            bar.set_postfix_str(size.decode("ascii") + " bytes", refresh=False)
        if lane.in_step():
            lane.progress = False
            bar.n = bar.total or bar.n
        bar.refresh()


class AboveProgress(logging.Handler):
    """Writes log lines to stderr above the progress lines, so that neither tears the other."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one."""
        try:
            text = self.format(record).encode(sys.stderr.encoding or "utf-8", "backslashreplace")
            _bar().write(text.decode(sys.stderr.encoding or "utf-8"), file=sys.stderr)
        except Exception:  # noqa: BLE001 - as logging's own handlers do
            self.handleError(record)
