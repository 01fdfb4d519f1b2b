"""Between the lanes and the plugins: what has arrived is looked at on the disk and told to each started plugin."""

import logging
import time
from typing import Callable, Dict, Iterable, List

from sersync_py.arrivals import MOST_OPEN, Arrivals
from sersync_py.loop import NEVER, Loop
from sersync_py.plugins.call import Plugin, call_for
from sersync_py.plugins.command import CommandPlugin
from sersync_py.plugins.runner import Counts, Runner
from sersync_py.settings import Command, Config, Http, Socket
from sersync_py.settings import Plugin as Settings
from sersync_py.source import Source
from sersync_py.walk import GONE, look_inside

__all__ = ["Announcer", "made"]

log = logging.getLogger(__name__)


def made(settings: Settings, loop: Loop) -> Plugin:
    """Return the plugin that some settings are about. What speaks to a network is loaded for who needs it only."""
    if isinstance(settings, Command):
        return CommandPlugin(settings)
    if isinstance(settings, Socket):
        from sersync_py.plugins.tcp import SocketPlugin

        return SocketPlugin(settings, loop)
    if isinstance(settings, Http):
        from sersync_py.plugins.post import HttpPlugin

        return HttpPlugin(settings, loop)
    from sersync_py.plugins.refreshcdn import RefreshCdnPlugin

    return RefreshCdnPlugin(settings, loop)


class Announcer:
    """Tells plugins of what has arrived. Follows nothing and costs nothing as long as none is started."""

    def __init__(self, loop: Loop, config: Config, make: Callable[[Settings, Loop], Plugin] = made) -> None:
        """`make`: what makes plugins, or stand-ins for them."""
        self._loop, self._make = loop, make
        self._runners: Dict[str, Runner] = {}
        self._leaving: List[Runner] = []
        """Of plugins that a reload has taken out, until their last calls have ended."""
        self._arrivals: Dict[bytes, Arrivals] = {}
        self._lost = 0
        self.reload(config)

    def reload(self, config: Config) -> None:
        """Take the settings as they are now. What waits is told by the new ones. Sources must be followed anew."""
        self._deletes = config.inotify.delete
        before, self._runners = self._runners, {}
        for settings in config.plugins:
            plugin = self._make(settings, self._loop)
            runner = before.pop(plugin.name, None)
            if runner is None:
                runner = Runner(plugin)
            else:
                runner.renew(plugin)
            self._runners[plugin.name] = runner
        watched = {mirror.watch for mirror in config.mirrors} if self._runners else set()
        self._arrivals = {watch: arrivals for watch, arrivals in self._arrivals.items() if watch in watched}
        for runner in before.values():
            runner.end(time.monotonic())
            self._leaving.append(runner)

    def follow(self, source: Source) -> None:
        """Hear of the changes of a source, and of what its lanes have pushed."""
        if not self._runners:
            return
        watch = source.watch
        arrivals = self._arrivals.get(watch)
        if arrivals is None:
            arrivals = Arrivals(lambda path, scope, seen: self._tell(watch, path, scope, seen))
            self._arrivals[watch] = arrivals
        arrivals.follow(source.lanes, source.passes.hides)
        source.on_changed = arrivals.changed

    def _tell(self, watch: bytes, path: bytes, scope: int, seen: float) -> None:
        found = look_inside(watch, path, {}).kind
        if found == GONE and not self._deletes:
            # nothing was deleted at any remote
            return
        call = call_for(watch, path, scope, seen, found)
        for runner in self._runners.values():
            runner.add(call)

    def alarm(self) -> float:
        """Return when (monotonic seconds) `step` must be called, if nothing wakes the loop before."""
        times = [arrivals.alarm() for arrivals in self._arrivals.values()]
        times += [runner.alarm() for runner in self._all_runners()]
        return min(times, default=NEVER)

    def step(self, now: float) -> None:
        """Pass on what has arrived, and look after the calls. `now`: monotonic seconds."""
        for arrivals in self._arrivals.values():
            arrivals.step()
        for runner in self._all_runners():
            runner.step(now)
        self._leaving = [runner for runner in self._leaving if not runner.idle()]
        lost = sum(arrivals.lost for arrivals in self._arrivals.values())
        if lost and not self._lost:
            log.warning("plugins: more than %d changes wait for a remote; they are not told of the others", MOST_OPEN)
        self._lost = lost

    def idle(self) -> bool:
        """Say whether there is nothing to do for now."""
        runners, arrivals = self._all_runners(), self._arrivals.values()
        return all(each.idle() for each in runners) and all(each.idle() for each in arrivals)

    def end(self, now: float) -> None:
        """Begin no further call, and ask those under way to end; what does not ends with us."""
        for runner in self._all_runners():
            runner.end(now)

    def counts(self) -> Dict[str, Counts]:
        """Return what has become of the calls of each plugin."""
        return {name: runner.counts() for name, runner in self._runners.items()}

    def _all_runners(self) -> Iterable[Runner]:
        return [*self._runners.values(), *self._leaving]
