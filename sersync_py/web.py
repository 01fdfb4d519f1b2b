"""The status over HTTP: a page for people, metrics for Prometheus, JSON. It answers GET and HEAD, and nothing else.

It runs in threads of its own that never touch what the loop works on: they ask for a frozen value and wait for it. The
thread that waits for connections sits in a system call, so an idle server wakes nobody. Each connection brings one
short request, gets one answer and is closed; one that is slow is given up.
"""

import http.server
import json
import logging
import socket
import socketserver
import threading
import time
from email.message import Message
from io import BytesIO
from typing import Any, Callable, Dict, Mapping, NamedTuple, Tuple

from sersync_py import metrics
from sersync_py.overview import Seen
from sersync_py.page import HEADERS, page
from sersync_py.settings import Page
from sersync_py.status import plain, verdict
from sersync_py.words import of_browser

__all__ = ["Server"]

log = logging.getLogger(__name__)

_MOST_CONNECTIONS = 16
"""If there are more at a time, those that have not said what they want for longest are cut off."""
_REQUEST_SECONDS = 5.0
_ANSWER_SECONDS = 10.0
_REQUEST_BYTES = 32 << 10
"""Browsers send all cookies of a host, whichever port they are from."""
_PAUSE = 0.5
_ALWAYS = {
    "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer",
    "Vary": "Accept-Language, Accept",
}

Look = Callable[[], Seen]


class _Answer(NamedTuple):
    code: int
    kind: str
    body: bytes
    headers: Mapping[str, str] = {}


def _text(code: int, text: str) -> _Answer:
    return _Answer(code, "text/plain; charset=utf-8", text.encode("utf-8") + b"\n")


def _page(seen: Seen, headers: Message) -> _Answer:
    text = page(seen.status, seen.history, of_browser(headers.get("Accept-Language", "")), socket.gethostname())
    return _Answer(200, "text/html; charset=utf-8", text.encode("utf-8"), HEADERS)


def _metrics(seen: Seen, headers: Message) -> _Answer:
    body, kind = metrics.exposition(seen.status, headers.get("Accept", ""))
    return _Answer(200, kind, body)


def _json(seen: Seen, _headers: Message) -> _Answer:
    return _Answer(200, "application/json", json.dumps(plain(seen.status)).encode("ascii") + b"\n")


def _health(seen: Seen, _headers: Message) -> _Answer:
    return _text(200, verdict(seen.status))


_PLACES: Dict[str, Callable[[Seen, Message], _Answer]] = {
    "/": _page, "/metrics": _metrics, "/status.json": _json, "/healthz": _health,
}


def _answer(look: Look, path: str, headers: Message) -> _Answer:
    place = _PLACES.get(path.partition("?")[0])
    if place is None:
        return _text(404, "not found; there are " + ", ".join(_PLACES))
    try:
        seen = look()
    except TimeoutError as error:
        return _text(503, f"the agent is busy: {error}")
    return place(seen, headers)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One connection."""

    server: "Server"
    timeout = _ANSWER_SECONDS

    def setup(self) -> None:
        """Read the whole request within its time, however slowly it comes."""
        super().setup()
        self.rfile.close()
        self.rfile = BytesIO(_head(self.connection, time.monotonic() + _REQUEST_SECONDS))
        self.server.has_asked(self.request)
        self.connection.settimeout(_ANSWER_SECONDS)

    def do_GET(self) -> None:
        """Answer."""
        self._send(with_body=True)

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._send(with_body=False)

    def version_string(self) -> str:
        """Return what the Server header says."""
        return "sersync-py"

    def _send(self, with_body: bool) -> None:
        answer = _answer(self.server.look, self.path, self.headers)
        self.send_response(answer.code)
        for name, value in {**_ALWAYS, **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        if with_body:
            self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401 - http.server's names for them
        """Leave requests out of the log but for debugging."""
        log.debug("page: %s", format % args)


def _head(client: socket.socket, until: float) -> bytes:
    """Return a request up to its blank line; nothing if it does not come in time or is too long."""
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = until - time.monotonic()
        if left <= 0 or len(head) > _REQUEST_BYTES:
            return b""
        client.settimeout(left)
        try:
            piece = client.recv(4096)
        except OSError:
            return b""
        if not piece:
            return b""
        head += piece
    return head


class Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Listens from its construction on, until `close`."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = _MOST_CONNECTIONS
    timeout = None

    def __init__(self, place: Page, look: Look) -> None:
        """Listen. Raise OSError if that cannot be. `look` is called in other threads, and may raise TimeoutError."""
        self.look = look
        self.address_family = socket.AF_INET6 if ":" in place.address else socket.AF_INET
        self._places = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        self._lock = threading.Lock()
        self._silent: Dict[socket.socket, None] = {}
        """Connections that have not brought their request yet, oldest first."""
        self._closed = False
        super().__init__((place.address, place.port), _Handler)
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more."""
        self._closed = True
        try:
            # wakes the thread
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError as error:
            log.debug("page: %s", error)
        self._thread.join(_PAUSE * 2)
        self.server_close()

    def _serve(self) -> None:
        while not self._closed:
            self.handle_request()

    def get_request(self) -> Tuple[Any, Any]:
        """Accept; without a file handle to be had, wait a little rather than try again at once."""
        try:
            return super().get_request()
        except OSError:
            if not self._closed:
                time.sleep(_PAUSE)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Serve a connection in a thread, once there is a place for it."""
        if not self._places.acquire(blocking=False):
            self._cut_oldest()
            self._places.acquire()
        with self._lock:
            self._silent[request] = None
        try:
            super().process_request(request, client_address)
        except RuntimeError:
            # no thread to be had
            self._leave(request)
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Serve a connection."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def has_asked(self, request: socket.socket) -> None:
        """Note that a connection has brought its request, or will never."""
        with self._lock:
            self._silent.pop(request, None)

    def _leave(self, request: socket.socket) -> None:
        self.has_asked(request)
        self._places.release()

    def _cut_oldest(self) -> None:
        with self._lock:
            oldest = next(iter(self._silent), None)
            if oldest is not None:
                del self._silent[oldest]
                try:
                    oldest.shutdown(socket.SHUT_RDWR)
                except OSError as error:
                    log.debug("page: %s", error)

    def handle_error(self, _request: Any, client_address: Any) -> None:  # noqa: ANN401 - as socketserver has it
        """Whoever is gone before the answer, or too slow for it, is no matter for the log."""
        log.debug("page: %s gave no chance to answer", client_address, exc_info=True)
