"""The workloads of a steady stream of files: how far the mirror is behind at its end, and how soon it is not."""
import json
import os
import subprocess
import sys
import time
from functools import lru_cache
from typing import Callable, NamedTuple, Optional, Tuple

from . import writer
from .bulk import push_once, remark
from .peers import Peer, Running, started
from .processes import BenchError, status_number
from .rig import Rig, rig_in
from .setting import Numbers, Setting, room, since
from .trees import await_equal

DRAIN_LIMIT = 120.0  # seconds that a load may take to drain
LOOK_EVERY = 0.25  # seconds between two counts of what is at the mirror
SHARE = 0.7  # of what one rsync carries; no more is written, however much the load asks for
COPIES = 2.2  # room that a load needs, in times of its size
SHOT_SECONDS = 5  # seconds' worth of the load that one rsync is tried with


class Load(NamedTuple):
    """So many files a second (`rate`), of `smallest` to `largest` bytes, for `seconds`; `fast`: on tmpfs."""

    rate: float
    smallest: int
    largest: int
    seconds: float = 15.0
    fast: bool = True

    def size(self, seconds: float) -> float:
        """The bytes of so many seconds."""
        return self.rate * seconds * (self.smallest + self.largest) / 2


CLASSIC = Load(300, 10 << 10, 500 << 10, fast=False)
PICTURES = Load(2000, 10 << 10, 500 << 10)
PAGES = Load(9000, 1 << 10, 50 << 10)


class Written(NamedTuple):
    """What the writer did: the number of files, first and last moment (monotonic seconds)."""

    files: int
    begun: float
    written: float


class Counter:
    """How many of a load's files are at a mirror. Looks again only into folders that were not complete."""

    def __init__(self, mirror: str) -> None:
        self._mirror, self._complete, self._next = mirror, 0, 0
        self._partial = {}  # type: Dict[str, int]

    def count(self) -> int:
        """Look, and return the number; rsync's temporary names start with a dot."""
        known = True
        while known:
            folder = os.path.dirname(writer.name(self._next * writer.A_FOLDER))
            known = os.path.isdir(os.path.join(self._mirror, folder))
            if known:
                self._partial[folder] = 0
                self._next += 1
        for folder in list(self._partial):
            names = os.listdir(os.path.join(self._mirror, folder))
            self._partial[folder] = sum(name.startswith("f") for name in names)
            if self._partial[folder] == writer.A_FOLDER:
                self._complete += self._partial.pop(folder)
        return self._complete + sum(self._partial.values())


def write(folder: str, load: Load, count: int, meanwhile: Callable[[], None] = lambda: None) -> Written:
    """Have the load written; `meanwhile` is called every LOOK_EVERY seconds."""
    argv = [sys.executable, writer.__file__, folder] + [
        str(number) for number in (load.rate, count, load.smallest, load.largest)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True)
    while True:
        meanwhile()
        try:
            said, _ = process.communicate(timeout=LOOK_EVERY)
            break
        except subprocess.TimeoutExpired:
            continue
    if process.returncode:
        raise BenchError(f"the writer ended with {process.returncode}")
    return Written(**json.loads(said))


@lru_cache(maxsize=None)
def one_shot_rate(load: Load, setting: Setting) -> Tuple[int, float]:
    """Files of the load's sizes that stood there, and how many of them a second one rsync carried."""
    count = setting.times(int(load.rate * SHOT_SECONDS))
    with rig_in(_place(load, setting)) as rig:
        write(rig.source, load._replace(rate=0), count)
        return count, count / push_once(rig)


def _place(load: Load, setting: Setting) -> str:
    return setting.fast if load.fast else setting.disk


def stream(load: Load, peer: Optional[Peer], setting: Setting) -> Numbers:
    """Write the load, and see how the mirror follows. Without a peer: one rsync of some seconds' worth of it."""
    count, alone = one_shot_rate(load, setting)
    if peer is None:
        return {"files": count, "one_shot": alone}
    load = load._replace(rate=min(load.rate, SHARE * alone))
    place, wanted = _place(load, setting), load.seconds * setting.scale
    seconds = min(wanted, wanted * room(place) / (COPIES * load.size(wanted)))
    with rig_in(place) as rig, started(peer, rig, [rig.remote()]) as run:
        numbers = _streamed(load, seconds, rig, run, setting)
    if seconds < wanted:
        numbers["note"] = f"only {seconds:.0f} s, for {place} has no more room. {numbers['note']}"
    return dict(numbers, one_shot=alone)


def _streamed(load: Load, seconds: float, rig: Rig, run: Running, setting: Setting) -> Numbers:
    """What a running peer makes of the load; `curve`: [seconds since the first write, files written, files arrived]."""
    written, arrived, cpu = Counter(rig.source), Counter(rig.one), run.cpu()
    looks = []

    def look() -> None:
        there = arrived.count()
        looks.append((time.monotonic(), written.count(), there))

    done = write(rig.source, load, int(load.rate * seconds), look)
    behind = done.files - arrived.count()
    looks.append((done.written, done.files, done.files - behind))
    arrival = await_equal(rig.source, rig.one, min(DRAIN_LIMIT, setting.limit), run.alive)
    if arrival.moment is not None:
        looks.append((arrival.moment, done.files, done.files))
    return {"files": done.files, "rate": done.files / (done.written - done.begun), "behind": behind,
            "drain": since(arrival.moment, done.written), "cpu": run.cpu() - cpu, "note": remark(arrival, run),
            "memory": status_number(run.pid, "VmHWM") / 1024,
            "curve": [[moment - done.begun, *files] for moment, *files in looks]}


def steady(peer: Optional[Peer], setting: Setting) -> Numbers:
    """300 files a second of 10 to 500 KB for 15 s, on disk."""
    return stream(CLASSIC, peer, setting)


def pictures(peer: Optional[Peer], setting: Setting) -> Numbers:
    """2,000 files a second of 10 to 500 KB for 15 s."""
    return stream(PICTURES, peer, setting)


def pages(peer: Optional[Peer], setting: Setting) -> Numbers:
    """9,000 files a second of 1 to 50 KB for 15 s."""
    return stream(PAGES, peer, setting)
