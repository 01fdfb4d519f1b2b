"""What is asked of sersync-py, and the table that says whether it is so."""
from typing import Dict, List, NamedTuple, Optional, Tuple

from .peers import SERSYNC_PY
from .table import NEVER, Result, aligned, cell, median

Place = Tuple[str, str]


class Goal(NamedTuple):
    """A number of a workload: `key` of sersync-py, next to `limit`, which is what is possible: a peer and its key.

    `bound`: what is asked, in the number's unit; with `times`, as a multiple of the limit; None: nothing, the row only
    tells how much was done. `least`: it is asked for at least.
    """

    what: str
    unit: str
    key: str
    bound: Optional[float]
    limit: Optional[Place] = None
    times: bool = False
    least: bool = False

    def asked(self) -> str:
        """The bound as text."""
        if self.bound is None:
            return "-"
        return "{} {:g} {}".format("at least" if self.least else "at most", self.bound,
                                   "x limit" if self.times else self.unit).rstrip()

    def row(self, results: List[Result]) -> Optional[List[str]]:
        """The table's row about the results of one workload; None if they do not say."""
        found = _value(results, (SERSYNC_PY, self.key))
        if found is None:
            return None
        limit = _value(results, self.limit) if self.limit else None
        bound = self.bound
        if self.times:
            bound = None if bound is None or limit is None else bound * limit
        met = "-" if bound is None else "yes" if (found >= bound if self.least else found <= bound) else "NO"
        return [self.what, self.unit, cell(found, _decimals(found)), cell(limit, _decimals(limit)),
                cell(found / limit if limit else None, 2), self.asked(), met]


def _value(results: List[Result], place: Place) -> Optional[float]:
    return median([one for one in results if one.peer == place[0] and not one.trouble], place[1])


def _decimals(value: Optional[float]) -> int:
    return 0 if value is None or value == NEVER or value >= 100 else 1 if value >= 10 else 2


def goals_text(goals: Dict[str, Tuple[Goal, ...]], results: List[Result]) -> str:
    """The table of all goals about which there are results; "" if there are none."""
    rows = [["goal", "unit", "sersync-py", "limit", "ratio", "asked", "met"]]
    for workload, some in goals.items():
        own = [one for one in results if one.workload == workload]
        rows += [row for row in (goal.row(own) for goal in some) if row]
    return "\n".join(aligned(rows)) + "\n" if len(rows) > 1 else ""
