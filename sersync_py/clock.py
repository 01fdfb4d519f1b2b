"""What time it is, and whether somebody has set the clock: by comparing it with one that nobody can set."""

import time
from typing import NamedTuple

__all__ = ["Moment", "now"]

_SINCE_BOOT = getattr(time, "CLOCK_BOOTTIME", 7)
"""Goes on while the machine is suspended; has a name from Python 3.7 on."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


class Moment(NamedTuple):
    """The same moment by two clocks, in nanoseconds."""

    wall_ns: int
    boot_ns: int
    """Since the machine was started, time in suspension included."""
    boot: str
    """Which start of the machine that was; "" if it cannot be told."""

    def set_back_since(self, earlier: "Moment") -> int:
        """Return by how many nanoseconds the wall clock was set back in between (negative: set forward).

        0 if the machine was started anew in between: nothing is known of that.
        """
        if not self.boot or self.boot != earlier.boot:
            return 0
        return (self.boot_ns - earlier.boot_ns) - (self.wall_ns - earlier.wall_ns)


def now() -> Moment:
    """Return the present moment."""
    try:
        with open(_BOOT_ID) as file:
            boot = file.read().strip()
    except OSError:
        boot = ""
    return Moment(int(time.time() * 1e9), int(time.clock_gettime(_SINCE_BOOT) * 1e9), boot)
