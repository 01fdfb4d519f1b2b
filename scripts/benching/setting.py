"""What a run is told, and what it gives: numbers by column name; None means never."""
import os
from typing import Dict, NamedTuple, Optional

Number = Optional[float]
Numbers = Dict[str, object]


class Setting(NamedTuple):
    """Where trees live, how long to wait (seconds), how much to do, which interpreter runs sersync-py."""

    fast: str
    disk: str
    limit: float
    scale: float
    tree: str
    python: str

    def times(self, number: int) -> int:
        """`number` scaled, at least 1."""
        return max(1, int(number * self.scale))


def ratio(value: Number, limit: Number) -> Number:
    """How many times the limit; None stays None."""
    return None if value is None or not limit else value / limit


def since(moment: Number, begun: float) -> Number:
    """Seconds from `begun` to `moment`; None stays None."""
    return None if moment is None else moment - begun


def room(folder: str) -> int:
    """Bytes that may be written below a folder; on tmpfs they are memory, of which a quarter is left alone."""
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    with open("/proc/meminfo") as handle:
        available = next(int(line.split()[1]) << 10 for line in handle if line.startswith("MemAvailable:"))
    return min(free, available * 3 // 4) if folder.startswith("/dev/shm") else free
