"""The workloads of one file after the other: how long after its close it is at the mirror, and the least that takes."""
import os
import subprocess
import time
from typing import Callable, List, NamedTuple, Optional, Tuple

from .bulk import FILE
from .peers import Peer, Running, started
from .processes import clean_environment, end, timed
from .rig import Remote, Rig, far_away, rig_in
from .samples import FILE_LIMIT, await_file, spread
from .setting import Numbers, Setting
from .trees import content, write_file

APART = 0.15  # seconds from one arrival to the next write
LOST_ENOUGH = 3  # lost files after which a run ends
ROUND_TRIP = 0.05  # seconds to the distant remote and back
FAR_APART = 1.0  # the same as APART for the distant remote: there it takes several round trips to be connected again
COLD_WARM, QUIET = 1, 2.0  # seconds for which a session may wait in `cold`, and what passes beyond them
NODELAY = "--sockopts=TCP_NODELAY"


class Samples(NamedTuple):
    """Which files are written: `count` of them, each `apart` seconds after the arrival of the one before."""

    count: int
    apart: float = APART
    name: str = "f"

    def files(self) -> List[Tuple[str, bytes]]:
        """Name and content of each."""
        block = content(FILE + self.count)
        return [(f"{self.name}{number:04d}", block[number:number + FILE]) for number in range(self.count)]


OneFile = Callable[[str, bytes], Optional[float]]
"""Given name and content, has the file sent, and returns the seconds that took; None: it is lost."""


def follow(samples: Samples, one_file: OneFile, check: Callable[[], None]) -> Numbers:
    """Measure each file; `check` after one that was lost."""
    taken, lost = [], 0
    for name, data in samples.files():
        seconds = one_file(name, data)
        if seconds is None:
            check()
            lost += 1
            if lost >= LOST_ENOUGH:
                break
        else:
            taken.append(seconds)
        time.sleep(samples.apart)
    return dict(spread(taken), lost=lost)


def await_mirror(rig: Rig, name: str, data: bytes, closed: float, setting: Setting) -> Optional[float]:
    """The seconds from `closed` until the file is at mirror "one", None if it is lost."""
    seen = await_file(os.path.join(rig.one, name), data, min(FILE_LIMIT, setting.limit))
    return None if seen is None else max(0.0, seen - closed)


def writing(rig: Rig, setting: Setting) -> OneFile:
    """What writes a file and waits for it at mirror "one"."""

    def one_file(name: str, data: bytes) -> Optional[float]:
        closed = write_file(os.path.join(rig.source, name), data)
        return await_mirror(rig, name, data, closed, setting)

    return one_file


def followed(run: Running, rig: Rig, samples: Samples, setting: Setting) -> Numbers:
    """What a running peer makes of the samples."""
    cpu = run.cpu()
    numbers = follow(samples, writing(rig, setting), run.check)
    return dict(numbers, cpu=run.cpu() - cpu)


def by_hand(rig: Rig, remote: Remote, samples: Samples, ahead: float, setting: Setting) -> Numbers:
    """The least that is possible: an rsync that is given the file's name, and nothing else, when the file is closed.

    `ahead`: seconds before the write at which it is started, so that it is connected and waits; 0: it is started then.
    """
    argv = ["rsync", "-artuz", "--no-r", "-d", NODELAY, "--from0", "--files-from=-", "./", remote.url]

    def launch() -> subprocess.Popen:
        return subprocess.Popen(argv, cwd=rig.source, stdin=subprocess.PIPE, bufsize=0, env=clean_environment(),
                                start_new_session=True)

    def one_file(name: str, data: bytes) -> Optional[float]:
        early = launch() if ahead else None
        time.sleep(ahead)
        closed = write_file(os.path.join(rig.source, name), data)
        process = early or launch()
        try:
            with process.stdin as names:
                names.write(b"./" + name.encode() + b"\0")
            seconds = await_mirror(rig, name, data, closed, setting)
            process.wait(FILE_LIMIT)
            return seconds
        except subprocess.TimeoutExpired:
            return None
        finally:
            end(process)

    return follow(samples, one_file, lambda: None)


def latency(peer: Peer, setting: Setting) -> Numbers:
    """200 new files of 4 KB one after the other, each when the one before has been there for 150 ms."""
    with rig_in(setting.fast) as rig, started(peer, rig, [rig.remote()]) as run:
        return followed(run, rig, Samples(setting.times(200)), setting)


def latency_warm(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """The limit of that."""
    with rig_in(setting.fast) as rig:
        return by_hand(rig, rig.remote(), Samples(setting.times(200), 0.0), APART, setting)


def latency_session(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """A whole rsync for each file, with no option that makes it faster; from its start to its exit."""
    with rig_in(setting.fast) as rig:

        def one_file(name: str, data: bytes) -> float:
            write_file(os.path.join(rig.source, name), data)
            return timed(["rsync", "-artuz", "-R", "./" + name, rig.remote().url], rig.source)

        return follow(Samples(setting.times(200), 0.0), one_file, lambda: None)


def cold(peer: Peer, setting: Setting) -> Numbers:
    """20 files, each after a time so quiet that no session waits any more."""
    with rig_in(setting.fast) as rig, started(peer, rig, [rig.remote()], warm=COLD_WARM) as run:
        time.sleep(COLD_WARM + QUIET)
        return followed(run, rig, Samples(setting.times(20), COLD_WARM + QUIET), setting)


def cold_session(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """The limit of that: an rsync started when the file is closed."""
    with rig_in(setting.fast) as rig:
        return by_hand(rig, rig.remote(), Samples(setting.times(20), APART), 0.0, setting)


def distant(peer: Peer, setting: Setting) -> Numbers:
    """40 files to a remote 50 ms of round trip away, each when the one before has been there for a second."""
    with rig_in(setting.fast) as rig, far_away(rig, ROUND_TRIP) as remote, started(peer, rig, [remote]) as run:
        return in_round_trips(followed(run, rig, Samples(setting.times(40), FAR_APART), setting))


def distant_warm(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """The limit of that: an rsync that is connected already."""
    return _distant_by_hand(FAR_APART, setting)


def distant_session(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """What it takes where none is connected: an rsync started when the file is closed."""
    return _distant_by_hand(0.0, setting)


def _distant_by_hand(ahead: float, setting: Setting) -> Numbers:
    with rig_in(setting.fast) as rig, far_away(rig, ROUND_TRIP) as remote:
        return in_round_trips(by_hand(rig, remote, Samples(setting.times(40), 0.0), ahead, setting))


def in_round_trips(numbers: Numbers) -> Numbers:
    """The numbers, and how many round trips the middle one is."""
    middle = numbers["p50"]
    return dict(numbers, trips=None if middle is None else middle / 1000 / ROUND_TRIP)
