"""Single files on their way: wait for one at the mirror, and describe how long many of them took."""
import os
import time
from typing import List, Optional

from .setting import Numbers

NAP = 0.0001  # seconds between two looks at the mirror
FILE_LIMIT = 30.0  # seconds after which a single file counts as lost


def percentile(values: List[float], share: float) -> Optional[float]:
    """The nearest-rank percentile in ms of a list of seconds; None of an empty one."""
    ranked = sorted(values)
    return ranked[max(0, -int(-share * len(ranked) // 1) - 1)] * 1000 if ranked else None


def spread(values: List[float]) -> Numbers:
    """The columns that describe a list of seconds, and the list itself."""
    return {"count": len(values), "p50": percentile(values, 0.5), "p99": percentile(values, 0.99),
            "worst": percentile(values, 1.0), "raw_seconds": values}


def holds(path: str, data: bytes) -> bool:
    """Whether the file is there with just this content."""
    try:
        with open(path, "rb", buffering=0) as handle:
            return handle.read(len(data) + 1) == data
    except OSError:
        return False


def await_file(path: str, data: bytes, limit: float, nap: float = NAP) -> Optional[float]:
    """The monotonic moment at which the file was seen with this content, None after `limit` seconds.

    Only os.stat in a tight loop until its size is right; a look that finds another content goes on.
    """
    deadline = time.monotonic() + limit
    while True:
        moment = time.monotonic()
        try:
            fits = os.stat(path).st_size == len(data)
        except OSError:
            fits = False
        if fits and holds(path, data):
            return moment
        if moment > deadline:
            return None
        time.sleep(nap)
