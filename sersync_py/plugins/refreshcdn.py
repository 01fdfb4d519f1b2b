"""The plugin `refreshCDN`: tells a CDN's server which URL is stale, and logs the `whatsup` line of its answer."""

import re
from typing import Optional, Pattern
from urllib.parse import quote_from_bytes

from sersync_py.filters import compile_expression
from sersync_py.legible import shown
from sersync_py.loop import Loop
from sersync_py.plugins.call import Call, Plugin, Task
from sersync_py.plugins.errand import Errand, Line, RefusedError
from sersync_py.settings import RefreshCdn

__all__ = ["RefreshCdnPlugin", "request_for", "url_for"]

_MOST_BYTES = 1 << 16
"""Longer headers than this are no answer."""
_PIECE_BYTES = 1 << 12
_KEPT_IN_A_URL = "/:~"
_STATUS = re.compile(rb"HTTP/[0-9.]+ +([0-9]{3})")
_WHATSUP = re.compile(rb"^whatsup:[^\r\n]*", re.IGNORECASE | re.MULTILINE)


def url_for(base: str, match: Optional[Pattern[str]], call: Call) -> Optional[str]:
    """Return the URL that a call is about, percent-encoded once; None if there is a `match` and it finds nothing.

    It is searched in the absolute path, for what the configs of sersync2 look for begins above the watch folder.
    """
    if match is None:
        rest = b"/" + call.path
    else:
        path = call.absolute().decode("utf-8", "surrogateescape")
        found = match.search(path)
        if found is None:
            return None
        rest = ((found.group(1) or "") + path[found.end():]).encode("utf-8", "surrogateescape")
    return _quoted(base, _KEPT_IN_A_URL + "%") + quote_from_bytes(rest, _KEPT_IN_A_URL)


def request_for(settings: RefreshCdn, call: Call, url: str) -> bytes:
    """Return the bytes of the request, those of sersync2."""
    who = f"user={_quoted(settings.user)}&pswd={_quoted(settings.password)}&ok=ok"
    what = f"dirs={url}/" if call.kind.folder else f"urls={url}"
    return f"HEAD /index.jsp?{who}&{what} HTTP/1.0\r\nHost: {settings.host}\r\n\r\n".encode("ascii")


def _quoted(text: str, safe: str = "") -> str:
    return quote_from_bytes(text.encode("utf-8", "surrogateescape"), safe)


class RefreshCdnPlugin(Plugin):
    """Asks the server of the config to forget a URL."""

    name = "refreshCDN"
    tells_answers = True

    def __init__(self, settings: RefreshCdn, loop: Loop) -> None:
        self._settings, self._loop = settings, loop
        self._match = None if settings.match is None else compile_expression(settings.match)

    def wants(self, call: Call) -> bool:
        """Say whether the path has a URL."""
        return url_for(self._settings.base, self._match, call) is not None

    def begin(self, call: Call, now: float) -> Task:
        """Begin to ask."""
        request = request_for(self._settings, call, url_for(self._settings.base, self._match, call) or "")
        return Errand(self._loop, lambda line: self._ask(line, request), self._settings.seconds, now)

    def _ask(self, line: Line, request: bytes) -> str:
        with line.connect(self._settings.host, self._settings.port, self._settings.seconds) as peer:
            peer.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer and b"\n\n" not in answer and len(answer) < _MOST_BYTES:
                peer.settimeout(line.left())
                piece = peer.recv(_PIECE_BYTES)
                if not piece:
                    break
                answer += piece
        return _judged(answer)


def _judged(answer: bytes) -> str:
    """Return the `whatsup` line of an answer, or nothing if it has none. Raise RefusedError unless it says 2xx."""
    status = _STATUS.match(answer)
    whatsup = _WHATSUP.search(answer)
    said = shown(whatsup.group().decode("utf-8", "surrogateescape")) if whatsup else ""
    if status is None:
        raise RefusedError("no answer" if not answer else "answered something that is not HTTP")
    if not 200 <= int(status.group(1)) < 300:
        raise RefusedError(f"answered {status.group(1).decode()} {said}".rstrip())
    return said
