"""Tells how the agent is: whoever asks through the socket or over HTTP, and systemd.

All is made from one look at the lanes, in the loop's thread, and only when somebody wants it or a heartbeat is due.
With millions of paths unsent a look takes a while; then what the last one has seen is given again for some time.
"""

import json
import logging
import time
from typing import TYPE_CHECKING, Callable, MutableMapping, Optional

from sersync_py.asking import Answers
from sersync_py.handover import Handover
from sersync_py.loop import Loop
from sersync_py.overview import Facts, Overview, Seen
from sersync_py.settings import Page
from sersync_py.status import Status, plain, problems
from sersync_py.systemd import Notifier
from sersync_py.words import headline, sentence

if TYPE_CHECKING:
    from sersync_py.web import Server

__all__ = ["Reporting"]

log = logging.getLogger(__name__)

_FRESH_SECONDS = 0.2
_SHARE = 20
"""A look may take one part in so many of the loop's time."""
_PATIENCE_SECONDS = 4.0
"""How long somebody who asks over HTTP waits for the loop."""


class Reporting:
    """Everything about the status that goes on while the agent runs."""

    def __init__(self, loop: Loop, facts: Callable[[], Facts], environment: MutableMapping[str, str]) -> None:
        """`facts` are asked for whenever a status is made; `environment` loses what is meant for us alone."""
        self._loop, self._facts = loop, facts
        self._overview = Overview(time.time())
        self._systemd = Notifier(environment)
        self._handover = Handover(loop, self._look)
        self._answers: Optional[Answers] = None
        self._server: Optional[Server] = None
        self._page: Optional[Page] = None
        self._seen: Optional[Seen] = None
        self._fresh_until = 0.0
        self.trouble = ""
        """Why there is no page, although one is wanted."""

    def open(self, path: str, page: Optional[Page]) -> None:
        """Answer at a socket, and over HTTP if that is wanted, as soon as the loop turns."""
        self._systemd.starting()
        try:
            self._answers = Answers(self._loop, path, self._as_json)
        except OSError as error:
            log.warning("--status has nobody to ask, mirroring goes on: %s: %s", path, error.strerror)
        self._page = page
        self._listen()

    def ready(self) -> None:
        """Say that all is watched, after a start."""
        status = self._look().status
        self._overview.sample(self._facts(), status)
        self._systemd.ready(_line(status))

    def heartbeat(self) -> None:
        """Do what is to be done every ten seconds."""
        status = self._look().status
        self._overview.sample(self._facts(), status)
        self._systemd.alive(_line(status))
        if self._answers is not None:
            self._answers.wake()
        self._listen()

    def reloading(self) -> None:
        """Say that the config is being read."""
        self._systemd.reloading()

    def reloaded(self, page: Optional[Page]) -> None:
        """Say that it has been, and move to where the page is wanted now."""
        if page != self._page:
            self._close_server()
            self._page, self.trouble = page, ""
        self._listen()
        self._fresh_until = 0.0
        self._systemd.ready(_line(self._look().status))

    def stopping(self) -> None:
        """Say that the end has begun; who asks is still answered."""
        self._systemd.stopping()

    def close(self) -> None:
        """Answer no more."""
        self._close_server()
        self._handover.close()
        if self._answers is not None:
            self._answers.close()

    def _listen(self) -> None:
        """See to it that there is a page, if one is wanted; the port may become free at any time."""
        if self._page is None or self._server is not None:
            return
        # most agents have no page, and its libraries take some MB
        from sersync_py.web import Server

        place = self._page
        try:
            self._server = Server(place, lambda: self._handover.get(_PATIENCE_SECONDS))
        except OSError as error:
            self.trouble = f"no status page at {place}, mirroring goes on: {error.strerror}"
            return
        self.trouble = ""
        log.info("status page: http://%s/", place)

    def _close_server(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _look(self) -> Seen:
        """Return what there is to see, or what was seen a moment ago."""
        begun = time.monotonic()
        if self._seen is None or begun >= self._fresh_until:
            self._seen = self._overview.look(self._facts(), begun, time.time())
            ended = time.monotonic()
            self._fresh_until = ended + max(_FRESH_SECONDS, _SHARE * (ended - begun))
        return self._seen

    def _as_json(self) -> bytes:
        return json.dumps(plain(self._look().status)).encode("ascii") + b"\n"


def _line(status: Status) -> str:
    """Return the line for `systemctl status`."""
    return "; ".join([headline(status), *(sentence(problem) for problem in problems(status)[:1])])
