"""The last hour as small charts, an SVG of 60 columns each, one a minute. Pure."""

from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from sersync_py.history import Sample, rate
from sersync_py.status import AWAY, IN_STEP, LATE_SECONDS, PAUSED, PUSHING, SCANNING

__all__ = ["Hour", "MINUTES", "Minute", "lag_bars", "minutes", "speed_bars", "strip"]

MINUTES = 60
_COLUMN, _BAR, _HEIGHT = 4, 3, 40
_WORSE = (IN_STEP, PUSHING, SCANNING, AWAY, PAUSED)
_CLASSES = {IN_STEP: "good", PUSHING: "good", SCANNING: "busy", AWAY: "bad", PAUSED: "bad"}


class Minute(NamedTuple):
    """What one remote was like in one minute: the worst of its samples."""

    lag_seconds: float
    bytes_per_second: float
    state: str


Hour = Sequence[Optional[Minute]]
"""60 minutes, oldest first; None: nothing is known."""


def minutes(samples: Sequence[Sample], now: float) -> Hour:
    """Return the last 60 minutes. `now`: seconds of the wall clock."""
    found: Dict[int, List[Tuple[Sample, float]]] = {}
    for place, sample in enumerate(samples):
        column = int(sample.at // 60) - int(now // 60) + MINUTES - 1
        speed = rate(samples[place - 1], sample) if place else 0.0
        found.setdefault(column, []).append((sample, speed))
    return tuple(_minute(found[column]) if column in found else None for column in range(MINUTES))


def _minute(samples: Sequence[Tuple[Sample, float]]) -> Minute:
    return Minute(
        max(sample.lag_seconds for sample, _ in samples), sum(speed for _, speed in samples) / len(samples),
        max((sample.state for sample, _ in samples), key=_WORSE.index),
    )


def _bars(values: Sequence[Optional[float]], late: float = float("inf")) -> str:
    """Return a chart of values from 0 up, as high as the highest; columns beyond `late` are of class "bad"."""
    top = max((value for value in values if value is not None), default=0.0)
    paths = {"bar": "", "bad": ""}
    for place, value in enumerate(values):
        if value:
            height = max(1.0, _HEIGHT * value / top)
            paths["bad" if value > late else "bar"] += (
                f"M{place * _COLUMN} {_HEIGHT}v-{height:.1f}h{_BAR}v{height:.1f}z"
            )
    drawn = "".join(f'<path class="{name}" d="{path}"/>' for name, path in paths.items() if path)
    return _svg("chart", _HEIGHT, drawn)


def lag_bars(hour: Hour) -> str:
    """Return the chart of the lag."""
    return _bars([minute.lag_seconds if minute else None for minute in hour], LATE_SECONDS)


def speed_bars(hour: Hour) -> str:
    """Return the chart of the throughput."""
    return _bars([minute.bytes_per_second if minute else None for minute in hour])


def strip(hour: Hour) -> str:
    """Return a line of 60 cells that says when all was well; what is not known is left empty."""
    paths: Dict[str, str] = {}
    for place, minute in enumerate(hour):
        if minute is not None:
            name = "bad" if minute.lag_seconds > LATE_SECONDS else _CLASSES[minute.state]
            paths[name] = paths.get(name, "") + f"M{place * _COLUMN} 0h{_BAR}v4h-{_BAR}z"
    return _svg("strip", 4, "".join(f'<path class="{name}" d="{path}"/>' for name, path in sorted(paths.items())))


def _svg(name: str, height: int, drawn: str) -> str:
    columns = MINUTES * _COLUMN - (_COLUMN - _BAR)
    # the words beside it say what it shows
    return (f'<svg class="{name}" viewBox="0 0 {columns} {height}" preserveAspectRatio="none" aria-hidden="true">'
            f"{drawn}</svg>")
