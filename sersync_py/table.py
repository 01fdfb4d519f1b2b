"""The status as a table for a terminal, where a Chinese character takes two columns."""

from typing import Iterator, List, Sequence

from sersync_py.language import said, spoken
from sersync_py.status import AWAY, IN_STEP, PAUSED, PUSHING, SCANNING, RemoteStatus, Status, problems
from sersync_py.terminal import columns
from sersync_py.words import about, amount, calls, duration, headline, moment, sentence, state

__all__ = ["table"]

_COLOURS = {IN_STEP: "32", PUSHING: "36", SCANNING: "36", AWAY: "31", PAUSED: "31"}
_GAP = "  "
_LEAST_NAME = 12
_HOUR = 3600.0


def table(status: Status, language: str, width: int, coloured: bool) -> str:
    """Return the lines for a terminal of so many columns; 0: as wide as it gets."""
    return "\n".join(_lines(status, language, width, coloured))


def _lines(status: Status, language: str, width: int, coloured: bool) -> Iterator[str]:
    # a monitoring system may show the first line only
    found = [spoken(sentence(problem), language) for problem in problems(status)]
    yield "; ".join(["sersync-py: " + spoken(headline(status), language), *found[:1]])
    yield from ("  " + line for line in (*found[1:], *status.notes))
    titles = [spoken(title, language) for title in (
        said("remote"), said("state"), said("lag"), said("unsent"), said("fail log"), said("sent"), said("whole tree"),
    )]
    rows = [[_cells(status, remote, language) for remote in watch.remotes] for watch in status.watches]
    widths = _widths([titles, *(row for each in rows for row in each)], width)
    for watch, cells in zip(status.watches, rows):
        yield ""
        yield f"{watch.path}: " + ", ".join(spoken(fact, language) for fact in about(watch, status))
        yield _row(titles, widths, "1" if coloured else "")
        for remote, row in zip(watch.remotes, cells):
            if columns(row[0]) > widths[0]:
                yield row[0]
                row[0] = ""
            yield _row(row, widths, "", _COLOURS[remote.state] if coloured else "")
            yield from ("  " + spoken(detail, language) for detail in _details(status, remote))
    yield ""
    yield from (spoken(calls(plugin), language) for plugin in status.plugins)
    yield spoken(said("pid {pid}, running for {span}, {config}", pid=status.pid, config=status.config,
                      span=duration(status.at - status.started_at)), language)


def _cells(status: Status, remote: RemoteStatus, language: str) -> List[str]:
    whole = max(remote.whole_tree_pushed_at or 0.0, remote.whole_tree_compared_at or 0.0) or None
    cells = (
        remote.name, state(remote.state), duration(remote.oldest_unsent_seconds), f"{remote.unsent_paths:,}",
        f"{remote.fail_log_entries:,}", amount(remote.bytes),
        said("being compared") if remote.comparing else moment(whole, status.at),
    )
    return [spoken(cell, language) for cell in cells]


def _details(status: Status, remote: RemoteStatus) -> Iterator[str]:
    if remote.state == AWAY:
        yield said("next try in {span}", span=duration(remote.next_try_seconds or 0.0))
    elif remote.error_at is not None and remote.error_at > status.at - _HOUR:
        yield said("last error {moment}: {why}", moment=moment(remote.error_at, status.at), why=remote.error)


def _widths(rows: Sequence[Sequence[str]], width: int) -> List[int]:
    widths = [max(columns(row[place]) for row in rows) for place in range(len(rows[0]))]
    surplus = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    if width and surplus > 0:
        # a name that is longer goes on a line of its own
        widths[0] = max(_LEAST_NAME, widths[0] - surplus)
    return widths


def _row(cells: Sequence[str], widths: Sequence[int], all_code: str = "", state_code: str = "") -> str:
    parts = [cells[0] + _blanks(cells[0], widths[0]), _painted(cells[1], state_code) + _blanks(cells[1], widths[1])]
    parts += [_blanks(cell, wide) + cell for cell, wide in zip(cells[2:], widths[2:])]
    return _painted(_GAP.join(parts), all_code)


def _blanks(text: str, width: int) -> str:
    return " " * (width - columns(text))


def _painted(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m" if code else text
