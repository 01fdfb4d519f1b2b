"""What the agent is doing, as a frozen value, and what of it is a reason to worry. Pure.

Texts are fit to be shown: whatever a name on disk or a remote's message holds, it is printable here. Moments are
seconds of the wall clock since 1970, None: never; `..._seconds` are spans.
"""

from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Union

__all__ = [
    "AWAY",
    "BEHIND",
    "IN_STEP",
    "LATE_SECONDS",
    "PAUSED",
    "PUSHING",
    "PluginStatus",
    "Problem",
    "RemoteStatus",
    "SCANNING",
    "STATES",
    "Status",
    "WatchStatus",
    "from_plain",
    "plain",
    "problems",
    "remotes_behind",
    "verdict",
]

IN_STEP, PUSHING, SCANNING, AWAY, PAUSED = STATES = ("in step", "pushing", "scanning", "away", "paused")
"""Of a remote. scanning: what changed while nobody looked is being found out."""
BEHIND = "behind"

LATE_SECONDS = 10.0
"""A change that has waited longer than this is no momentary backlog any more."""


class RemoteStatus(NamedTuple):
    """One remote of one watch folder."""

    name: str
    state: str
    why: str = ""
    """Why it is away or paused."""
    away_since: Optional[float] = None
    """Since when it is away."""
    next_try_seconds: Optional[float] = None
    """While it is away: until it is tried again."""
    unsent_paths: int = 0
    oldest_unsent_seconds: float = 0.0
    running_sessions: int = 0
    comparing: bool = False
    """True: the whole tree is being compared, or is to be."""
    estranged: bool = False
    """True: another folder was mirrored there before, so nothing is deleted."""
    sessions: int = 0
    failed_sessions: int = 0
    bytes: int = 0
    files: int = 0
    bytes_per_second: float = 0.0
    pushed_at: Optional[float] = None
    """When a session last reached it."""
    error: str = ""
    error_at: Optional[float] = None
    fail_log_entries: int = 0
    whole_tree_pushed_at: Optional[float] = None
    whole_tree_compared_at: Optional[float] = None


class WatchStatus(NamedTuple):
    """One watch folder."""

    path: str
    paused: str = ""
    """Why nothing is pushed from it."""
    folders: int = 0
    uncovered_folders: int = 0
    """Folders that have no inotify watch, so that they are looked at every minute only."""
    missing_mounts: int = 0
    """File systems that were mounted below and are not now, or are others than they were."""
    missing_at: str = ""
    """The places of the first of them."""
    events: int = 0
    events_per_second: float = 0.0
    overflows: int = 0
    scanning: bool = False
    scanned_at: Optional[float] = None
    remotes: Tuple[RemoteStatus, ...] = ()


class PluginStatus(NamedTuple):
    """The calls of one plugin since the start."""

    name: str
    waiting: int = 0
    running: int = 0
    done: int = 0
    failed: int = 0
    late: int = 0
    """Of those that failed: ended because their time was over."""
    dropped: int = 0
    """Never made, for too many waited."""


class Status(NamedTuple):
    """The whole agent at one moment."""

    version: str
    pid: int
    config: str
    at: float
    started_at: float
    watches: Tuple[WatchStatus, ...] = ()
    next_whole_tree_at: Optional[float] = None
    """When crontab has the whole tree compared next."""
    notes: Tuple[str, ...] = ()
    """What troubles the agent without keeping anything from the remotes."""
    plugins: Tuple[PluginStatus, ...] = ()

    def remotes(self) -> Iterator[RemoteStatus]:
        """Yield all of all watch folders."""
        return (remote for watch in self.watches for remote in watch.remotes)


class Problem(NamedTuple):
    """Why something is behind."""

    kind: str
    """paused, uncovered, unmounted, away, estranged, late or fail log"""
    watch: str
    remote: str = ""
    """"": all of the watch folder."""
    seconds: float = 0.0
    number: int = 0
    why: str = ""


def problems(status: Status) -> Tuple[Problem, ...]:
    """Return every reason why not all is in step; none: all is."""
    found: List[Problem] = []
    for watch in status.watches:
        if watch.paused:
            found.append(Problem("paused", watch.path, why=watch.paused))
        if watch.uncovered_folders:
            found.append(Problem("uncovered", watch.path, number=watch.uncovered_folders))
        if watch.missing_mounts:
            found.append(Problem("unmounted", watch.path, number=watch.missing_mounts, why=watch.missing_at))
        for remote in watch.remotes:
            found += _problems_of(status, watch, remote)
    return tuple(found)


def _problems_of(status: Status, watch: WatchStatus, remote: RemoteStatus) -> Iterator[Problem]:
    # of one that is away all that waits stands in the fail log
    if remote.state == AWAY:
        away = status.at - remote.away_since if remote.away_since is not None else 0.0
        yield Problem("away", watch.path, remote.name, away, remote.unsent_paths, remote.why)
    elif remote.state != PAUSED and remote.oldest_unsent_seconds > LATE_SECONDS:
        yield Problem("late", watch.path, remote.name, remote.oldest_unsent_seconds, remote.unsent_paths)
    if remote.estranged:
        yield Problem("estranged", watch.path, remote.name)
    if remote.fail_log_entries and remote.state != AWAY:
        yield Problem("fail log", watch.path, remote.name, number=remote.fail_log_entries)


def remotes_behind(status: Status) -> int:
    """Return how many remotes have a problem, be it that of their watch folder."""
    found = problems(status)
    folders = {problem.watch for problem in found if not problem.remote}
    alone = {(problem.watch, problem.remote) for problem in found}
    return sum(
        watch.path in folders or (watch.path, remote.name) in alone
        for watch in status.watches for remote in watch.remotes
    )


def verdict(status: Status) -> str:
    """Return IN_STEP or BEHIND."""
    return BEHIND if problems(status) else IN_STEP


Plain = Union[None, bool, int, float, str, List[Any], Dict[str, Any]]


def plain(status: Status) -> Dict[str, Plain]:
    """Return a status as JSON takes it, with the verdict and the problems."""
    return {"verdict": verdict(status), "problems": _plain(problems(status)), **_fields(status)}


def _fields(value: Union[Status, WatchStatus, RemoteStatus, PluginStatus, Problem]) -> Dict[str, Plain]:
    return {name: _plain(each) for name, each in value._asdict().items()}


def _plain(value: object) -> Plain:
    if isinstance(value, (WatchStatus, RemoteStatus, PluginStatus, Problem)):
        return _fields(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return round(value, 3)
    return value if isinstance(value, (bool, int, str)) else None


def from_plain(found: Mapping[str, Any]) -> Status:
    """Return the status that `plain` was given. Raise KeyError, TypeError or ValueError if it is none.

    What another version says beyond ours is left out, and what it does not say is as if nothing had happened.
    """
    watches = []
    for watch in found["watches"]:
        remotes = tuple(RemoteStatus(**_known(remote, RemoteStatus._fields)) for remote in watch["remotes"])
        watches.append(WatchStatus(**_known(watch, WatchStatus._fields))._replace(remotes=remotes))
    given = _known(found, Status._fields)
    plugins = tuple(PluginStatus(**_known(each, PluginStatus._fields)) for each in found.get("plugins", ()))
    return Status(**given)._replace(watches=tuple(watches), notes=tuple(given.get("notes", ())), plugins=plugins)


def _known(found: Mapping[str, Any], names: Iterable[str]) -> Dict[str, Any]:
    return {name: found[name] for name in names if name in found}
