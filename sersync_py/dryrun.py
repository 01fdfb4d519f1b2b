"""Stands in for sessions and plugins with --dry-run: says each change, the command that would carry it, and the plugin
that would be told of it. Touches no network.
"""

from typing import Iterator, Mapping, Optional

from sersync_py.announcer import made
from sersync_py.changes import CONTENT, ENTRY, LISTING, TREE
from sersync_py.lane import shown_paths
from sersync_py.loop import Loop
from sersync_py.orders import Order, names, shown
from sersync_py.outcomes import DONE, Outcome
from sersync_py.plugins.call import Call, Ended, Plugin, Task
from sersync_py.settings import Plugin as Settings
from sersync_py.terminal import say
from sersync_py.walk import FOLDER, GONE, look

__all__ = ["DryPlugin", "DrySession"]

_SCOPES = {
    ENTRY: "",
    LISTING: "; would delete what only the remote has directly in it",
    CONTENT: " and all below it",
    TREE: " and all below it; would delete what only the remote has there",
}


class DrySession:
    """Says what would be run, and that it went well."""

    def __init__(self, _loop: Loop, order: Order, known: Mapping[bytes, int], now: float) -> None:
        self.order, self.alarm, self.was_waiting, self.was_cut = order, now, False, False
        remote = order.argv[-1].decode("utf-8", "backslashreplace")
        for line in _changes(order, known):
            say(f"{remote}: {line}")
        say("would run: " + shown(order))
        self.outcome: Optional[Outcome] = Outcome(DONE, 0)

    def heard(self) -> bytes:
        """Nothing is ever heard."""
        return b""

    def step(self, _now: float) -> Optional[Outcome]:
        """Return the outcome: it is there at once."""
        return self.outcome

    def quiet(self, _now: float) -> float:
        """It is never silent for long."""
        return 0.0

    def end(self, _now: float) -> None:
        """Nothing runs, nothing is to be ended."""


class _DryTask(Task):
    """A call that is over at once."""

    alarm = 0.0

    def step(self, _now: float) -> Optional[Ended]:
        return Ended()

    def end(self, _now: float) -> None:
        """Nothing runs, nothing is to be ended."""


class DryPlugin(Plugin):
    """Says what a plugin would be told."""

    def __init__(self, settings: Settings, loop: Loop) -> None:
        self.name, self._plugin = settings.name, made(settings, loop)

    def wants(self, call: Call) -> bool:
        """Say what the plugin itself would say."""
        return self._plugin.wants(call)

    def begin(self, call: Call, _now: float) -> Task:
        """Say what would be told, and that it went well."""
        say(f"would call plugin {self.name}: {call.kind.word} {shown_paths([call.absolute()])}")
        return _DryTask()


def _changes(order: Order, known: Mapping[bytes, int]) -> Iterator[str]:
    """Yield what each name of an order means for the remote."""
    deletes = b"--delete" in order.argv
    for name in names(order):
        path = name.rstrip(b"/")[2:]
        text = shown_paths([path])
        found = look(order.folder, path)
        if b"-n" in order.argv:
            yield f"would ask what it has too much at {text}"
        elif found.kind == GONE:
            yield f"would delete {text}"
        elif found.kind == FOLDER and b"-r" in order.argv:
            yield f"would send {text}{_SCOPES[TREE if deletes else CONTENT]}"
        else:
            scope = known.get(path, ENTRY)
            yield f"would send {text}{_SCOPES[LISTING] if deletes and scope == LISTING else ''}"
