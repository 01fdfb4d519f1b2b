"""The words of the status for people: what a problem, a span or a moment is called. Pure.

What comes back is English that can be `spoken` in another language, see `language`.
"""

import re
import time
from typing import Iterator, Optional

from sersync_py.language import ENGLISH, ZH, said
from sersync_py.status import (
    AWAY,
    IN_STEP,
    PAUSED,
    PUSHING,
    SCANNING,
    PluginStatus,
    Problem,
    Status,
    WatchStatus,
    problems,
    remotes_behind,
)

__all__ = ["about", "amount", "calls", "duration", "headline", "moment", "of_browser", "reason", "sentence", "state"]


def headline(status: Status) -> str:
    """Return how it all is in a few words."""
    total = sum(1 for _ in status.remotes())
    if not problems(status):
        return said("everything is in step")
    return said("{behind} of {total} remotes behind", behind=remotes_behind(status), total=total)


def sentence(problem: Problem) -> str:
    """Return what is wrong."""
    watch, remote, number, span = problem.watch, problem.remote, f"{problem.number:,}", duration(problem.seconds)
    sentences = {
        "paused": said("{watch} {why}: nothing is pushed or deleted until it is back", watch=watch,
                       why=reason(problem.why)),
        "uncovered": said("{watch}: {number} folders have no inotify watch and are looked at every minute only",
                          watch=watch, number=number),
        "unmounted": said("{watch}: not mounted as before: {why}; nothing there is sent or deleted until it is back;"
                          " if it is meant: SIGUSR1", watch=watch, why=problem.why),
        "away": said("{remote} has been away for {span}, {number} unsent: {why}", remote=remote, span=span,
                     number=number, why=problem.why),
        "late": said("{remote}: {number} unsent, the oldest for {span}", remote=remote,
                     number=number, span=span),
        "estranged": said("{remote}: {watch} is another folder than was mirrored before, nothing is deleted there;"
                          " if it is meant: SIGUSR1", remote=remote, watch=watch),
        "fail log": said("{remote}: entries in the fail log: {number}", remote=remote, number=number),
    }
    return sentences[problem.kind]


def reason(why: str) -> str:
    """Return why a watch folder is paused, given what `source` says."""
    reasons = {
        "is gone": said("is gone"),
        "is another folder or file system than it was": said("is another folder or file system than it was"),
    }
    return reasons.get(why, why)


def state(name: str) -> str:
    """Return what a state is called."""
    return {
        IN_STEP: said("in step"), PUSHING: said("pushing"), SCANNING: said("scanning"), AWAY: said("away"),
        PAUSED: said("paused"),
    }[name]


def about(watch: WatchStatus, status: Status) -> Iterator[str]:
    """Yield what there is to say of a watch folder itself."""
    yield said("{number} folders watched", number=f"{watch.folders:,}")
    yield said("{number} events/s", number=f"{watch.events_per_second:,.1f}")
    if watch.overflows:
        yield said("{number} overflows", number=f"{watch.overflows:,}")
    if watch.scanning:
        yield said("looking for changes")
    elif watch.scanned_at is not None:
        yield said("last scan {moment}", moment=moment(watch.scanned_at, status.at))
    if status.next_whole_tree_at is not None:
        yield said("next comparison {moment}", moment=moment(status.next_whole_tree_at, status.at))


def calls(plugin: PluginStatus) -> str:
    """Return what has become of a plugin's calls."""
    return said("plugin {name}: {done} calls done, {failed} failed, {dropped} dropped, {waiting} waiting",
                name=plugin.name, done=f"{plugin.done:,}", failed=f"{plugin.failed:,}",
                dropped=f"{plugin.dropped:,}", waiting=f"{plugin.waiting + plugin.running:,}")


def duration(seconds: float) -> str:
    """Return a span in its two largest units: "3 d 4 h", "2 min 5 s", "0.3 s"."""
    left = round(seconds)
    if left >= 86400:
        return said("{days} d {hours} h", days=left // 86400, hours=left % 86400 // 3600)
    if left >= 3600:
        return said("{hours} h {minutes} min", hours=left // 3600, minutes=left % 3600 // 60)
    if left >= 60:
        return said("{minutes} min {seconds} s", minutes=left // 60, seconds=left % 60)
    return said("{seconds} s", seconds=f"{seconds:.1f}" if 0.05 <= seconds < 9.95 else left)


def amount(number: float) -> str:
    """Return a number of bytes in a unit that leaves it short: "1.2 GB"; powers of 1000."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    place = 0
    while number >= 999.5 and place < len(units) - 1:
        number /= 1000
        place += 1
    return f"{number:.0f} {units[place]}" if place == 0 or number >= 9.95 else f"{number:.1f} {units[place]}"


def moment(at: Optional[float], now: float) -> str:
    """Return a moment as a clock shows it, with the date if it is not of today. Both: seconds of the wall clock."""
    if at is None:
        return said("never")
    there, here = time.localtime(at), time.localtime(now)
    return time.strftime("%H:%M:%S" if there[:3] == here[:3] else "%Y-%m-%d %H:%M", there)


def of_browser(accepted: str) -> str:
    """Return the language that an Accept-Language header likes best."""
    best = {ENGLISH: 0.0, ZH: 0.0}
    for part in accepted.lower().split(",")[:20]:
        name, _, parameter = part.partition(";")
        found = re.match(r"\s*q=([01](?:\.\d{0,3})?)\s*\Z", parameter)
        weight = float(found.group(1)) if found else 0.0 if parameter else 1.0
        name = name.strip().partition("-")[0]
        if name in best:
            best[name] = max(best[name], weight)
    return ZH if best[ZH] > best[ENGLISH] else ENGLISH
