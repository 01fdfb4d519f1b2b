"""The status as a page for people: all of it in one answer, nothing fetched from elsewhere. Pure but for its own files.

Whatever a name or a message holds is text there: it is printable by the time it gets here, and escaped here. The
browser is told to run no script and to take no style but these two.
"""

import base64
import hashlib
import pkgutil
from html import escape
from typing import Iterator, Mapping, Optional, Sequence, Tuple

from sersync_py.chart import Hour, lag_bars, minutes, speed_bars, strip
from sersync_py.history import Sample
from sersync_py.language import ENGLISH, ZH, said, spoken
from sersync_py.status import AWAY, IN_STEP, PAUSED, PUSHING, SCANNING, RemoteStatus, Status, problems, remotes_behind
from sersync_py.words import about, amount, calls, duration, headline, moment, sentence, state

__all__ = ["HEADERS", "page"]

_TAGS = {ENGLISH: "en", ZH: "zh-CN"}
_GOOD, _BUSY, _BAD = "good", "busy", "bad"
_CLASSES = {IN_STEP: _GOOD, PUSHING: _BUSY, SCANNING: _BUSY, AWAY: _BAD, PAUSED: _BAD}
_COLOURS = {_GOOD: "14804a", _BAD: "c62a1b"}
_SIGNS = {_GOOD: "M6.5 12.5l3.7 3.7 7.3-8", _BAD: "M12 6.5v7M12 17.4v.1"}


def _own(name: str) -> str:
    """Return the text of a file that stands beside this module."""
    return (pkgutil.get_data("sersync_py", name) or b"").decode("utf-8")


def _hash(text: str) -> str:
    return "'sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") + "'"


_STYLE, _SCRIPT = _own("page.css"), _own("page.js")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {_hash(_SCRIPT)};"
                               " img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none';"
                               " frame-ancestors 'none'",
}
"""What goes with the page."""

History = Mapping[Tuple[int, int], Sequence[Sample]]


def page(status: Status, history: History, language: str, host: str) -> str:
    """Return the page.

    `history`: samples by (number of the watch folder, number of its remote). `host`: this machine's name.
    """
    return _Page(status, history, language, host).html()


class _Page:
    """One page being written."""

    def __init__(self, status: Status, history: History, language: str, host: str) -> None:
        self._status, self._history, self._language, self._host = status, history, language, host
        self._kind = _BAD if problems(status) else _GOOD

    def _say(self, text: str) -> str:
        """Return a text in the reader's language, as HTML."""
        return escape(spoken(text, self._language))

    def _moment(self, at: Optional[float]) -> str:
        return moment(at, self._status.at)

    def html(self) -> str:
        title = f"{self._say(headline(self._status))} - {escape(self._host)}"
        return "".join([
            f'<!DOCTYPE html>\n<html lang="{_TAGS[self._language]}">\n<head>\n<meta charset="utf-8">\n',
            f"<title>{title}</title>\n",
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n',
            f'<link rel="icon" href="data:image/svg+xml,{_icon(self._kind)}">\n',
            '<noscript><meta http-equiv="refresh" content="5"></noscript>\n',
            f"<style>{_STYLE}</style>\n<script>{_SCRIPT}</script>\n</head>\n<body>\n", *self._body(),
            "</body>\n</html>\n",
        ])

    def _body(self) -> Iterator[str]:
        status = self._status
        updated = self._say(said("as of {moment}", moment=self._moment(status.at)))
        yield f"<header><b>sersync-py</b><span>{escape(self._host)}</span><time>{updated}</time></header>\n"
        yield f'<p class="stale" role="alert">{self._say(said("No answer from the agent since"))} <time></time></p>\n'
        yield "<main>\n"
        yield from self._verdict()
        yield from self._figures()
        for number, watch in enumerate(status.watches):
            facts = " &middot; ".join(self._say(fact) for fact in about(watch, status))
            yield f'<section class="watch"><h2>{escape(watch.path)}</h2><p class="soft">{facts}</p>\n'
            yield '<div class="remotes">\n'
            for place, remote in enumerate(watch.remotes):
                yield from self._remote(remote, minutes(self._history.get((number, place), ()), status.at))
            yield "</div></section>\n"
        yield from self._list(said("plugins"), [calls(plugin) for plugin in self._status.plugins])
        yield from self._list(said("notes"), self._status.notes)
        yield "</main>\n"
        yield from self._footer()

    def _verdict(self) -> Iterator[str]:
        kind, found = self._kind, problems(self._status)
        yield (f'<section class="verdict {kind}"><svg viewBox="0 0 24 24" aria-hidden="true">'
               f'<circle class="{kind}-mark" cx="12" cy="12" r="12"/><path class="sign" d="{_SIGNS[kind]}"/></svg><div>'
               f"<h1>{self._say(headline(self._status))}</h1>")
        if found:
            yield "<ul>" + "".join(f"<li>{self._say(sentence(problem))}</li>" for problem in found) + "</ul>"
        yield "</div></section>\n"

    def _figures(self) -> Iterator[str]:
        remotes = list(self._status.remotes())
        good = len(remotes) - remotes_behind(self._status)
        lag = max((remote.oldest_unsent_seconds for remote in remotes), default=0.0)
        sent = said("{amount} in the last hour", amount=amount(sum(map(_grown, self._history.values()))))
        speed = amount(sum(remote.bytes_per_second for remote in remotes))
        figures = (
            (said("in step"), f"{good}<small> / {len(remotes)}</small>"),
            (said("lag"), self._say(duration(lag))),
            (said("unsent"), f"{sum(remote.unsent_paths for remote in remotes):,}"),
            (said("throughput"), f"{speed}/s <small>{self._say(sent)}</small>"),
        )
        yield '<dl class="figures">'
        yield from (f"<div><dt>{self._say(name)}</dt><dd>{value}</dd></div>" for name, value in figures)
        yield "</dl>\n"

    def _remote(self, remote: RemoteStatus, hour: Hour) -> Iterator[str]:
        kind = _CLASSES[remote.state]
        yield f'<article class="remote {kind}"><div class="who"><h3>{escape(remote.name)}</h3>'
        yield f'<span class="pill {kind}">{self._say(state(remote.state))}</span></div>\n'
        if remote.state == AWAY:
            next_try = said("next try in {span}", span=duration(remote.next_try_seconds or 0.0))
            yield f'<p class="why">{escape(remote.why)}; {self._say(next_try)}</p>\n'
        yield from self._charts(remote, hour)
        yield '<dl class="facts">'
        for title, value, name in self._facts(remote):
            yield f'<div class="{name}"><dt>{self._say(title)}</dt><dd>{self._say(value)}</dd></div>'
        yield "</dl></article>\n"

    def _charts(self, remote: RemoteStatus, hour: Hour) -> Iterator[str]:
        known = [minute for minute in hour if minute is not None]
        lag = max([remote.oldest_unsent_seconds, *(minute.lag_seconds for minute in known)])
        speed = max([remote.bytes_per_second, *(minute.bytes_per_second for minute in known)])
        yield '<div class="charts">'
        yield self._figure(said("lag"), duration(remote.oldest_unsent_seconds), duration(lag), lag_bars(hour))
        yield self._figure(said("throughput"), amount(remote.bytes_per_second) + "/s", amount(speed) + "/s",
                           speed_bars(hour))
        ends = "".join(f"<span>{self._say(end)}</span>" for end in (said("1 h ago"), said("now")))
        yield f'<div class="hour">{strip(hour)}<p class="axis">{ends}</p></div></div>\n'

    def _figure(self, title: str, value: str, peak: str, chart: str) -> str:
        worst = said("peak {value}", value=peak)
        return (f"<figure><figcaption><span>{self._say(title)}<b>{self._say(value)}</b></span>"
                f"<span>{self._say(worst)}</span></figcaption>{chart}</figure>\n")

    def _facts(self, remote: RemoteStatus) -> Iterator[Tuple[str, str, str]]:
        """Yield (what, value, class) for all there is to know beside the charts."""
        yield said("unsent"), f"{remote.unsent_paths:,}", ""
        yield said("fail log"), f"{remote.fail_log_entries:,}", "bad" if remote.fail_log_entries else ""
        yield said("sent"), amount(remote.bytes), ""
        yield said("files"), f"{remote.files:,}", ""
        yield said("sessions"), _sessions(remote), ""
        yield said("last push"), self._moment(remote.pushed_at), ""
        yield said("whole tree"), self._whole_tree(remote), "wide"
        if remote.error_at is not None and remote.state != AWAY:
            yield said("last error"), f"{self._moment(remote.error_at)} {remote.error}", "wide"

    def _whole_tree(self, remote: RemoteStatus) -> str:
        if remote.comparing:
            return said("being compared")
        pushed, compared = remote.whole_tree_pushed_at, remote.whole_tree_compared_at
        if (compared or 0.0) >= (pushed or 0.0):
            return said("compared {moment}", moment=self._moment(compared)) if compared else said("never")
        return said("pushed {moment}", moment=self._moment(pushed))

    def _list(self, title: str, texts: Sequence[str]) -> Iterator[str]:
        if texts:
            items = "".join(f"<li>{self._say(text)}</li>" for text in texts)
            yield f'<section class="notes"><h2>{self._say(title)}</h2><ul>{items}</ul></section>\n'

    def _footer(self) -> Iterator[str]:
        status = self._status
        running = said("pid {pid}, running for {span}, {config}", pid=status.pid, config=status.config,
                       span=duration(status.at - status.started_at))
        yield (f'<footer class="soft"><span>sersync-py {escape(status.version)}, {self._say(running)}</span>'
               f'<nav>{self._say(said("for machines:"))} <a href="/metrics">/metrics</a>'
               ' <a href="/status.json">/status.json</a></nav></footer>\n')


def _grown(samples: Sequence[Sample]) -> int:
    return max(0, samples[-1].total - samples[0].total) if samples else 0


def _sessions(remote: RemoteStatus) -> str:
    if remote.failed_sessions:
        return said("{number}, {failed} failed", number=f"{remote.sessions:,}", failed=f"{remote.failed_sessions:,}")
    return f"{remote.sessions:,}"


def _icon(kind: str) -> str:
    return (f"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
            f"%3Ccircle cx='8' cy='8' r='7' fill='%23{_COLOURS[kind]}'/%3E%3C/svg%3E")
