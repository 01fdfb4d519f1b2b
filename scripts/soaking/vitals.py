"""The agent's vital signs, looked at all the time: memory, open handles, zombies."""

import os
import threading
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional

from soaking.field import Field

__all__ = ["Sign", "Vitals", "look"]

_LINGER = 3
"""A child that is dead in this many looks in a row is a zombie; one that has just ended is not."""


class Sign(NamedTuple):
    """What one look at a process told."""

    megabytes: float
    handles: int


def look(pid: int) -> Optional[Sign]:
    """Look at a process; None if it is gone."""
    try:
        lines = Path("/proc", str(pid), "status").read_text().splitlines()
        resident = [int(line.split()[1]) for line in lines if line.startswith("VmRSS")]
        return Sign(resident[0] / 1024, len(os.listdir(f"/proc/{pid}/fd"))) if resident else None
    except OSError:
        return None


def _dead_children(pid: int) -> List[int]:
    found = []
    for name in os.listdir("/proc"):
        try:
            fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split() if name.isdigit() else []
        except OSError:
            continue
        if fields and fields[0] == b"Z" and int(fields[1]) == pid:
            found.append(int(name))
    return found


class Vitals:
    """Watches in a thread until `end`."""

    def __init__(self, field: Field) -> None:
        self._field = field
        self.most_megabytes, self.most_handles, self.zombies = 0.0, 0, 0
        self._dead: Dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            pid = self._field.agent.pid
            sign = look(pid)
            if sign is None or _is_stopped(pid):
                continue
            self.most_megabytes = max(self.most_megabytes, sign.megabytes)
            self.most_handles = max(self.most_handles, sign.handles)
            self._dead = {child: self._dead.get(child, 0) + 1 for child in _dead_children(pid)}
            self.zombies += sum(times == _LINGER for times in self._dead.values())

    def end(self) -> None:
        """Stop watching."""
        self._over.set()
        self._thread.join()


def _is_stopped(pid: int) -> bool:
    try:
        return Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()[0] == b"T"
    except (OSError, IndexError):
        return True
