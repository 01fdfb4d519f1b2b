"""Turn results into aligned text; the median where there are several."""
import statistics
from typing import Dict, List, NamedTuple, Optional, Tuple

NEVER = float("inf")


class Result(NamedTuple):
    """One run of one peer in one workload: `numbers` by column name, or the `trouble` that prevented it."""

    workload: str
    peer: str
    numbers: Dict[str, object]
    trouble: str = ""


class Sheet(NamedTuple):
    """How a workload is shown: its title, and (key, heading, decimals) for each column."""

    title: str
    columns: Tuple[Tuple[str, str, int], ...]


def median(results: List[Result], key: str) -> Optional[float]:
    """The median of a column, NEVER counting as more than any number; None if no run has it."""
    values = [one.numbers[key] for one in results if key in one.numbers]
    return statistics.median(NEVER if value is None else value for value in values) if values else None


def cell(value: Optional[float], decimals: int) -> str:
    """A number as text: "-" does not apply, "never" did not happen in time."""
    if value is None:
        return "-"
    return "never" if value == NEVER else f"{value:.{decimals}f}"


def aligned(rows: List[List[str]]) -> List[str]:
    """Rows as lines, the first column to the left, the others to the right."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    layout = "  ".join([f"{{:<{widths[0]}}}"] + [f"{{:>{width}}}" for width in widths[1:]])
    return [layout.format(*row).rstrip() for row in rows]


def remarks(name: str, results: List[Result]) -> List[str]:
    """What went wrong or deserves saying, each thing once."""
    said = [one.trouble or str(one.numbers.get("note", "")) for one in results]
    return [f"  {name}: {text}" for text in sorted(set(said)) if text]


def sheet_text(sheet: Sheet, results: List[Result]) -> str:
    """One workload's table with its remarks below."""
    names = list(dict.fromkeys(one.peer for one in results))
    rows = [["peer"] + [heading for _, heading, _ in sheet.columns]]
    below = []  # type: List[str]
    for name in names:
        own = [one for one in results if one.peer == name]
        good = [one for one in own if not one.trouble]
        rows.append([name] + [cell(median(good, key), decimals) for key, _, decimals in sheet.columns])
        below += remarks(name, own)
    return "\n".join([sheet.title, *aligned(rows), *below]) + "\n"
