"""What --check has found out, and how it is set on a terminal: what is in order, then warnings, then faults."""

from typing import Iterable, Iterator, List, NamedTuple, Tuple

from sersync_py.language import said, spoken
from sersync_py.terminal import Style, wrapped

__all__ = ["FAULT", "IN_ORDER", "WARNING", "Finding", "sheet", "verdict"]

IN_ORDER, WARNING, FAULT = "in order", "warning", "fault"


class Finding(NamedTuple):
    """One thing that was looked at. The texts are sentences of `said`."""

    level: str
    """IN_ORDER; WARNING: it works, but not as well as it might; FAULT: it would not work now."""
    what: str
    why: str = ""
    """Why it matters."""
    mend: str = ""
    """What to do about it; with a command, where to type that."""
    command: Tuple[str, ...] = ()
    """Lines to type or to write, as they are."""


_MARKS = {IN_ORDER: ("✓", "+", "32"), WARNING: ("!", "!", "33"), FAULT: ("✗", "x", "31")}
"""The mark of each level, the one in ASCII, and the colour as ANSI's code."""


def sheet(findings: Iterable[Finding], style: Style) -> Iterator[str]:
    """Yield the lines that show the findings, those of each level together. Commands are never broken."""
    kept = list(dict.fromkeys(findings))
    headings = {IN_ORDER: said("in order"), WARNING: said("warnings"), FAULT: said("faults")}
    for level, heading in headings.items():
        here = [finding for finding in kept if finding.level == level]
        if not here:
            continue
        yield ""
        yield _coloured(spoken(heading, style.language), "1", style)
        for finding in here:
            yield from _lines(finding, style)


def _lines(finding: Finding, style: Style) -> Iterator[str]:
    mark, plain, colour = _MARKS[finding.level]
    mark = _coloured(mark if style.marks else plain, colour, style)
    for number, line in enumerate(wrapped(spoken(finding.what, style.language), style.width - 4)):
        yield f"    {line}" if number else f"  {mark} {line}"
    for text in (finding.why, finding.mend):
        if text:
            yield from ("      " + line for line in wrapped(spoken(text, style.language), style.width - 6))
    yield from ("          " + line for line in finding.command)


def _coloured(text: str, code: str, style: Style) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if style.colour else text


def verdict(findings: Iterable[Finding]) -> Tuple[str, int]:
    """Return what follows from the findings in a sentence, and the exit code."""
    levels: List[str] = [finding.level for finding in dict.fromkeys(findings)]
    faults, warnings = levels.count(FAULT), levels.count(WARNING)
    if faults:
        return said("It would not work now. Faults: {faults}, warnings: {warnings}.", faults=faults,
                    warnings=warnings), 1
    if warnings:
        return said("It will work. Warnings: {warnings}.", warnings=warnings), 0
    return said("It will work."), 0
