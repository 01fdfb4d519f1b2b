"""Puts it together: start, the loop, reload, drain, stop."""

import logging
import os
import signal
import time
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, cast

from sersync_py.announcer import Announcer, made
from sersync_py.config import load
from sersync_py.debts import Debts
from sersync_py.dryrun import DryPlugin, DrySession
from sersync_py.filters import Filter
from sersync_py.inner import Inner
from sersync_py.lane import Lane
from sersync_py.limits import raise_limit, raise_open_files
from sersync_py.loop import NEVER, Loop
from sersync_py.mountmemory import MountMemory
from sersync_py.notices import Notices
from sersync_py.overview import Facts
from sersync_py.progress import Progress
from sersync_py.reporting import Reporting
from sersync_py.resuming import Resuming, estrange
from sersync_py.session import Launcher, Session
from sersync_py.settings import Config, Mirror, Page, Remote
from sersync_py.source import Source
from sersync_py.starter import Starter
from sersync_py.target import Target
from sersync_py.timetable import Timetable
from sersync_py.warm import Slots
from sersync_py.watcher import WatcherError
from sersync_py.xmltext import ConfigError

__all__ = ["Agent", "Options", "fewest_open_files", "most_open_files"]

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 10
DRAIN_SECONDS = 10.0
"""How long the sessions in flight may take after SIGTERM."""
QUEUED_EVENTS = 327679
"""What sersync2 sets max_queued_events to."""


_BESIDE_SESSIONS = 40
"""Open files of an agent that runs no session, with room to start one and to write a log meanwhile."""
_SESSION = 5
"""Open files of a session."""
_ASKERS = 24
"""Who may ask for the status at a time, through the socket and the page."""
_SESSIONS_OF_LANE = 3
"""A push, a comparison and a probe; all others are counted by `-n`, which stands for as many that wait too."""


def fewest_open_files(config: Config) -> int:
    """Return how many files the agent must be able to have open to do anything at all."""
    return _BESIDE_SESSIONS + 3 * len(config.mirrors)


def most_open_files(config: Config, workers: int) -> int:
    """Return how many files the agent may come to have open at a time. `workers`: what `-n` says."""
    lanes = sum(len(mirror.remotes) for mirror in config.mirrors)
    return fewest_open_files(config) + _ASKERS + _SESSION * (_SESSIONS_OF_LANE * lanes + 2 * workers)


class Options(NamedTuple):
    """What the command line says beyond the config."""

    state_folder: bytes
    whole_tree: bool = False
    """`-r`"""
    workers: int = 10
    """`-n`"""
    dry_run: bool = False
    progress: bool = False
    """True: there is a terminal to show progress on."""
    socket: str = ""
    """Path of the socket where the status can be asked for; "": nobody is told anything."""
    plugin: Optional[str] = None
    """`-m`: the one plugin that is called for each change, without any mirroring."""


class Agent:
    """Mirrors all watch folders of one config until it is told to stop."""

    def __init__(self, config: Config, options: Options) -> None:
        self._config, self._options = config, options
        self._loop = Loop()
        self._slots = Slots(options.workers)
        self._launch = Starter(cast(Launcher, DrySession) if options.dry_run else Session)
        self._announcer = Announcer(self._loop, config, DryPlugin if options.dry_run else made)
        self._notices = Notices()
        self._debts = Debts(config.fail_log.path, lambda: self._sources, self._notices, writes=not options.dry_run)
        self._resuming = Resuming(options.state_folder, config.file, options.whole_tree, self._notices,
                                  saves=not options.dry_run)
        self._memory = MountMemory(options.state_folder, config.file, self._notices, saves=not options.dry_run)
        self._sources: List[Source] = []
        self._leaving: List[Lane] = []
        """Lanes that a reload has replaced, until their last sessions have ended."""
        self._timetable = self._plan()
        self._reporting = Reporting(self._loop, self._facts, os.environ)
        self._progress: Optional[Progress] = None
        self._stopping: Optional[float] = None
        self._ready: Optional[Callable[[], None]] = None
        """What is still to be called because we are ready."""

    # -- from start to stop --------------------------------------------------------------------------------------

    def run(self, ready: Callable[[], None] = lambda: None) -> None:
        """Start, mirror until SIGTERM or SIGINT, drain, save the marks. Raise WatcherError if inotify cannot be had.

        `ready` is called once signals do what they are meant to do; if it raises OSError, now and then again.
        """
        callbacks: Dict[int, Callable[[], None]] = {
            signal.SIGCHLD: lambda: None,
            signal.SIGTERM: self._on_stop,
            signal.SIGHUP: self._on_reload,
            signal.SIGUSR1: self._on_whole_tree,
        }
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            callbacks[signal.SIGINT] = self._on_stop
        self._loop.on_signals(callbacks)
        self._ready = ready
        self._tell_ready()
        if self._options.socket:
            self._reporting.open(self._options.socket, self._page())
        if not self._options.dry_run:
            raise_limit("max_queued_events", QUEUED_EVENTS)
            self._raise_open_files()
        for mirror in self._config.mirrors:
            self._sources.append(self._open(mirror, self._config))
        if self._options.progress:
            self._progress = Progress(list(self._lanes()), time.monotonic())
        self._take_debts()
        self._reporting.ready()
        self._notices.say("page", self._reporting.trouble)
        while not self._may_leave():
            self._step()
        for lane in self._lanes():
            lane.end(time.monotonic())
        self._announcer.end(time.monotonic())
        self._resuming.save(self._sources)
        self._debts.write(time.monotonic())
        self._reporting.close()
        self._loop.close()
        log.info("ended")

    def _tell_ready(self) -> None:
        if self._ready is None:
            return
        try:
            self._ready()
        except OSError as error:
            file = os.fsencode(error.filename or b"").decode("utf-8", "backslashreplace")
            self._notices.say("ready", f"{file} cannot be written: {error.strerror}; mirroring goes on")
        else:
            self._ready = None
            self._notices.say("ready", "")

    def _raise_open_files(self) -> None:
        wanted = most_open_files(self._config, self._options.workers)
        limit = raise_open_files(wanted)
        if limit < wanted:
            log.warning("no more than %d files may be open, and up to %d would be with all sessions at a time; some may"
                        " have to wait (`ulimit -n %d` before the start helps)", limit, wanted, wanted)

    def _step(self) -> None:
        """Wait for what comes first and do what is due."""
        self._loop.wait(max(0.0, self._next_alarm() - time.monotonic()))
        now = time.monotonic()
        for source in self._sources:
            source.step(now)
        self._memory.step(self._sources)
        self._leaving = [lane for lane in self._leaving if not lane.is_over(now)]
        self._announcer.step(now)
        for name in self._timetable.due(now, time.time()):
            self._jobs()[name]()
        self._resuming.step()
        self._debts.step(now)
        if self._progress is not None and not self._progress.show(now):
            self._progress = None

    def _next_alarm(self) -> float:
        now = time.monotonic()
        times = [source.alarm() for source in self._sources]
        times += [lane.alarm() for lane in self._leaving]
        times += [self._announcer.alarm(), self._debts.alarm(), now + self._timetable.idle_seconds()]
        if self._stopping is not None:
            times.append(self._stopping)
        if self._progress is not None:
            times.append(self._progress.alarm())
        return min(times)

    def _may_leave(self) -> bool:
        if self._stopping is None:
            return False
        done = all(lane.settled() for lane in self._lanes()) and self._announcer.idle()
        return done or time.monotonic() >= self._stopping

    def _on_stop(self) -> None:
        """The first time: read the queue a last time and let out what is on its way. The second time: leave at once."""
        if self._stopping is not None:
            self._stopping = 0.0
            return
        log.info("told to stop; sessions may take up to %.0f s to end", DRAIN_SECONDS)
        self._stopping = time.monotonic() + DRAIN_SECONDS
        self._reporting.stopping()
        for source in self._sources:
            source.read()
            source.stop()
        for lane in self._lanes():
            lane.drop_warm(time.monotonic())

    def _lanes(self) -> Iterable[Lane]:
        return (lane for source in self._sources for lane in source.lanes)

    def _page(self) -> Optional[Page]:
        """Return where the status page is wanted: a plugin alone leaves it to the agent that mirrors."""
        return self._config.page if self._options.plugin is None else None

    def _facts(self) -> Facts:
        """Return what the status is made of."""
        seconds = self._timetable.seconds_until("crontab")
        next_whole_tree = None if seconds is None else time.time() + seconds
        return Facts(self._config.file, self._sources, self._debts.written, next_whole_tree, self._notices.standing(),
                     self._announcer.counts())

    # -- sources and lanes ---------------------------------------------------------------------------------------

    def _open(self, mirror: Mirror, config: Config) -> Source:
        source = self._watched(mirror, config, self._memory.load(mirror.watch))
        for remote in mirror.remotes:
            self._add_lane(source, remote, config)
        self._follow(source)
        self._resuming.catch_up(source, source.lanes)
        return source

    def _watched(self, mirror: Mirror, config: Config, mounts: Mapping[bytes, Inner]) -> Source:
        raises_limits = not self._options.dry_run
        source = Source(self._loop, mirror.watch, config.inotify, Filter(config.excludes), raises_limits, mounts)
        source.start()
        return source

    def _add_lane(self, source: Source, remote: Remote, config: Config) -> Lane:
        rsync = config.rsync._replace(warm=None) if self._options.dry_run else config.rsync
        target = Target(source.watch, remote, rsync, config.inotify.delete, root=source.root())
        lane = Lane(self._loop, target, source.passes, self._slots, self._launch)
        source.lanes.append(lane)
        return lane

    def _follow(self, source: Source) -> None:
        """Do for a source what can be done once it has all its lanes."""
        source.on_adopted = lambda: self._resuming.catch_up(source, source.lanes)
        self._resuming.follow(source)
        self._announcer.follow(source)

    # -- periodic work -------------------------------------------------------------------------------------------

    def _plan(self) -> Timetable:
        periods = {"heartbeat": HEARTBEAT_SECONDS, "replay": self._config.fail_log.minutes * 60}
        if self._config.crontab is not None:
            periods["crontab"] = self._config.crontab.minutes * 60
        return Timetable(periods, time.monotonic(), time.time())

    def _jobs(self) -> Dict[str, Callable[[], None]]:
        return {"heartbeat": self._on_heartbeat, "replay": self._on_replay, "crontab": self._on_crontab}

    def _on_heartbeat(self) -> None:
        if self._stopping is None:
            for source in self._sources:
                source.read()
                if not source.trouble():
                    source.look_at_mounts()
                source.in_doubt()
        self._memory.save(self._sources)
        self._resuming.save(self._sources)
        self._tell_ready()
        self._launch.look(time.monotonic())
        self._reporting.heartbeat()
        self._notices.say("page", self._reporting.trouble)

    def _on_replay(self) -> None:
        self._take_debts()
        for lane in self._lanes():
            lane.retry_now()

    def _take_debts(self) -> None:
        # with a plugin alone there is nobody to replay it to
        if self._options.plugin is None:
            self._debts.take()

    def _on_crontab(self) -> None:
        log.info("crontab: comparing the whole tree")
        for source in self._sources:
            source.compare(self._config.crontab.excludes if self._config.crontab is not None else ())

    def _on_whole_tree(self) -> None:
        if self._stopping is not None:
            return
        log.info("SIGUSR1: comparing the whole tree")
        for source in self._sources:
            source.compare(sure=True)

    # -- reload --------------------------------------------------------------------------------------------------

    def _on_reload(self) -> None:
        """SIGHUP: take the config as it is now; if it is faulty keep the old one and say why."""
        if self._stopping is not None:
            return
        self._reporting.reloading()
        self._reload()
        self._reporting.reloaded(self._page())
        self._notices.say("page", self._reporting.trouble)

    def _reload(self) -> None:
        try:
            config = load(self._config.file, self._options.plugin)
        except ConfigError as error:
            log.error("config not reloaded, the old one stays: %s", error)
            return
        for warning in config.warnings:
            log.warning("%s", warning)
        before, self._config = self._config, config
        # sessions of lanes that end now give their slots back to nobody
        self._slots = Slots(self._options.workers)
        self._timetable = self._plan()
        self._announcer.reload(config)
        self._resuming.forget()
        old = {source.watch: source for source in self._sources}
        self._sources = []
        for mirror in config.mirrors:
            try:
                self._sources.append(self._renew(mirror, before, old.get(mirror.watch)))
            except WatcherError as error:
                log.error("%s: %s", mirror.watch.decode("utf-8", "backslashreplace"), error)
                continue
            old.pop(mirror.watch, None)
        kept = {mirror.watch for mirror in config.mirrors}
        for source in old.values():
            if source.watch in kept:
                self._sources.append(source)
            else:
                self._close(source)
        if config.fail_log != before.fail_log:
            self._debts.move(config.fail_log.path)
            self._take_debts()
        log.info("config reloaded")

    def _close(self, source: Source) -> None:
        log.info("%s: no longer mirrored", source)
        source.stop()
        self._dismiss(source.lanes)

    def _dismiss(self, lanes: Iterable[Lane]) -> None:
        """Let lanes start nothing more, and their sessions end."""
        for lane in lanes:
            lane.paused = True
            lane.end(time.monotonic())
            self._leaving.append(lane)

    def _renew(self, mirror: Mirror, before: Config, old: Optional[Source]) -> Source:
        """Return the source for a watch folder under the new config; what was dirty stays dirty."""
        if old is None:
            return self._open(mirror, self._config)
        if not old.trouble():
            # what waits there is dealt with by who knows it
            old.look_at_mounts()
        source = self._watched(mirror, self._config, old.mounts.known)
        source.tally = old.tally
        # only now, so that no change falls between the two
        old.read()
        known = {lane.target.destination(): lane for lane in old.lanes}
        fresh: List[Lane] = []
        for remote in mirror.remotes:
            lane = self._add_lane(source, remote, self._config)
            predecessor = known.get(lane.target.destination())
            if predecessor is None:
                log.info("%s: is new", lane)
                fresh.append(lane)
            else:
                less_excluded = bool(set(before.excludes) - set(self._config.excludes))
                _succeed(source, lane, old, predecessor, less_excluded)
        for destination in known:
            if destination not in {lane.target.destination() for lane in source.lanes}:
                log.info("%s: no longer mirrored to", destination.decode("utf-8", "backslashreplace"))
        if old.in_doubt():
            source.doubt()
        self._follow(source)
        self._resuming.catch_up(source, fresh)
        old.stop()
        self._dismiss(old.lanes)
        return source


def _succeed(source: Source, lane: Lane, old: Source, predecessor: Lane, less_excluded: bool) -> None:
    """Let a lane of a source go on with what one of the old source, to the same remote, has left to do."""
    if not source.root().is_same(old.root()):
        # what is gone here was never here
        lane.tally = predecessor.tally
        estrange(source, lane)
        return
    lane.take_over(predecessor)
    since = old.unseen_since(predecessor)
    if since < NEVER:
        source.scan_since(since, [lane])
    if less_excluded:
        log.info("%s: less is excluded than before; sending what it lacks, deleting nothing", lane)
        source.mark_whole_tree([lane], delete=False, since=0)
