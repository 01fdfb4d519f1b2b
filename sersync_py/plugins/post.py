"""The plugin `http`: posts a form with `watchroot`, `isdir`, `inotifyPath` and `mask`; any 2xx is a success."""

import http.client
from urllib.parse import urlencode

from sersync_py.legible import shown
from sersync_py.loop import Loop
from sersync_py.plugins.call import Call, Plugin, Task
from sersync_py.plugins.errand import Errand, Line, RefusedError
from sersync_py.settings import Http

__all__ = ["HttpPlugin", "form_for"]


def form_for(call: Call) -> bytes:
    """Return the body of the request: the names are those of sersync2, bytes that are no ASCII are percent-encoded."""
    fields = {
        "watchroot": call.watch,
        "isdir": str(int(call.kind.folder)).encode(),
        "inotifyPath": call.absolute(),
        "mask": str(call.kind.mask).encode(),
    }
    return urlencode(fields).encode()


class HttpPlugin(Plugin):
    """Posts to the server of the config."""

    name = "http"

    def __init__(self, settings: Http, loop: Loop) -> None:
        self._settings, self._loop = settings, loop

    def begin(self, call: Call, now: float) -> Task:
        """Begin to post."""
        return Errand(self._loop, lambda line: self._post(line, form_for(call)), self._settings.seconds, now)

    def _post(self, line: Line, form: bytes) -> str:
        host, port = self._settings.host, self._settings.port
        connection = http.client.HTTPConnection(host, port)
        connection.sock = line.connect(host, port, self._settings.seconds)
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "close"}
        try:
            connection.request("POST", self._settings.target, form, headers)
            answer = connection.getresponse()
        except ConnectionError:
            # the one that a connection's end is, is an HTTPException too
            raise
        except http.client.HTTPException as error:
            raise RefusedError(f"answered something that is not HTTP ({type(error).__name__})") from error
        finally:
            connection.close()
        if not 200 <= answer.status < 300:
            raise RefusedError(f"answered {answer.status} {shown(answer.reason)}")
        return ""
