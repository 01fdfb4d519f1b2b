"""The plugin `socket`: connects, sends the absolute path without a newline, and closes."""

import time

from sersync_py.loop import Loop
from sersync_py.plugins.call import Call, Plugin, Task
from sersync_py.plugins.errand import Errand, Line
from sersync_py.settings import Socket

__all__ = ["SocketPlugin"]

TRIES = 5
_FIRST_PAUSE = 0.1
"""Seconds; doubles with each try, so that a server that is just being restarted is found again."""


class SocketPlugin(Plugin):
    """Sends the path to the port of the config."""

    name = "socket"

    def __init__(self, settings: Socket, loop: Loop) -> None:
        self._settings, self._loop = settings, loop

    def begin(self, call: Call, now: float) -> Task:
        """Begin to send."""
        return Errand(self._loop, lambda line: self._send(line, call.absolute()), self._settings.seconds, now)

    def _send(self, line: Line, path: bytes) -> str:
        for number in range(1, TRIES + 1):
            try:
                with line.connect(self._settings.host, self._settings.port, self._settings.seconds / TRIES) as peer:
                    peer.sendall(path)
            except OSError:
                if number == TRIES:
                    raise
                time.sleep(min(_FIRST_PAUSE * 2 ** (number - 1), line.left()))
            else:
                break
        return ""
