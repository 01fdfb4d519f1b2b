"""More workloads of single files: beside a silent remote, beside a big file, or rewritten without end."""
import os
import time
from typing import Callable, List, Tuple

from .bulk import FILE
from .latency import Samples, follow, writing
from .peers import Peer, started
from .processes import BenchError
from .rig import Remote, Rig, rig_in, silent_remote
from .samples import FILE_LIMIT, NAP, await_file, holds, percentile
from .setting import Numbers, Setting, room
from .trees import content, write_file

SILENT_RATE = 20  # files a second
HOT_PAUSE = 0.002  # seconds between two rewritings
BIG, PIECE = 2 << 30, 64 << 20  # bytes of the big file, and of what it repeats
BESIDE_APART = 0.05  # seconds from one arrival to the next write, beside the big file


def silent(peer: Peer, setting: Setting) -> Numbers:
    """200 files at 20 a second to one good remote; then the same with a second remote that never says a word."""
    count = setting.times(200)
    with rig_in(setting.disk) as rig:
        usual, _ = _paced(peer, rig, [rig.remote()], count, setting)
    with rig_in(setting.disk) as rig, silent_remote(rig.port) as mute:
        beside, ready = _paced(peer, rig, [mute, rig.remote()], count, setting)
    note = "" if ready else "the good remote had not got its first file when the load began"
    numbers = {"count": count, "alone": len(usual), "p50_alone": percentile(usual, 0.5), "reached": len(beside),
               "p50": percentile(beside, 0.5), "p99": percentile(beside, 0.99), "note": note}
    return dict(numbers, raw_seconds_alone=usual, raw_seconds=beside)


def _paced(peer: Peer, rig: Rig, remotes: List[Remote], count: int, setting: Setting) -> Tuple[List[float], bool]:
    """Write `count` files at SILENT_RATE; (seconds to the good mirror of each that arrived, was the peer ready)."""
    block = content(FILE + count)
    with started(peer, rig, remotes, must_be_ready=len(remotes) == 1) as run:
        taken, closed = [], {}  # type: List[float], Dict[int, float]
        begun = time.monotonic()
        deadline = begun + count / SILENT_RATE + min(FILE_LIMIT, setting.limit)
        written = 0
        while (written < count or closed) and time.monotonic() < deadline:
            if written < count and time.monotonic() >= begun + written / SILENT_RATE:
                closed[written] = write_file(os.path.join(rig.source, f"f{written:04d}"), block[written:written + FILE])
                written += 1
            for number in list(closed):
                moment = time.monotonic()
                if holds(os.path.join(rig.one, f"f{number:04d}"), block[number:number + FILE]):
                    taken.append(max(0.0, moment - closed.pop(number)))
            time.sleep(NAP)
        run.check()
        return taken, run.ready


def big(peer: Peer, setting: Setting) -> Numbers:
    """100 small files alone, then small files for as long as one of 2 GB is under way to the same remote."""
    size = setting.times(BIG // PIECE) * PIECE
    if room(setting.fast) < 2 * size:
        raise BenchError(f"no room for {size} bytes twice on {setting.fast}")
    with rig_in(setting.fast) as rig, started(peer, rig, [rig.remote()]) as run:
        usual = follow(Samples(setting.times(100), BESIDE_APART), writing(rig, setting), run.check)
        ready, arrived = os.path.join(rig.scratch, "big"), os.path.join(rig.one, "big")
        block = content(PIECE)
        with open(ready, "wb", buffering=0) as handle:
            for _ in range(size // PIECE):
                handle.write(block)
        os.rename(ready, os.path.join(rig.source, "big"))
        begun, taken = time.monotonic(), []  # type: float, List[float]
        one_file, files = writing(rig, setting), iter(Samples(10000, name="beside").files())
        while not os.path.exists(arrived):
            seconds = one_file(*next(files))
            if seconds is None:
                run.check()
                raise BenchError("a small file was lost beside the big one")
            if not os.path.exists(arrived):
                taken.append(seconds)
            time.sleep(BESIDE_APART)
        return {"count": len(taken), "p50_alone": usual["p50"], "p99_alone": usual["p99"], "under_way":
                time.monotonic() - begun, "p50": percentile(taken, 0.5), "p99": percentile(taken, 0.99),
                "raw_seconds_alone": usual["raw_seconds"], "raw_seconds": taken}


def hot(peer: Peer, setting: Setting) -> Numbers:
    """One file rewritten every 2 ms for 10 s, its size another each time."""
    return _rewrite(peer, setting, lambda number: b"%08d" % number + b"." * (FILE + number % 997))


def hot_fixed(peer: Peer, setting: Setting) -> Numbers:
    """The same with a size that never changes: rsync's quick check (size, whole seconds) then sees no difference."""
    return _rewrite(peer, setting, lambda number: b"%08d" % number + b"." * FILE)


def _rewrite(peer: Peer, setting: Setting, version: Callable[[int], bytes]) -> Numbers:
    """Rewrite one file; sessions until its last version had arrived, and the seconds that took after the last write."""
    with rig_in(setting.disk) as rig, started(peer, rig, [rig.remote()]) as run:
        before, cpu, number = rig.sessions(), run.cpu(), 0
        begun = time.monotonic()
        while time.monotonic() < begun + 10 * setting.scale:
            number += 1
            data = version(number)
            write_file(os.path.join(rig.source, "hot"), data)
            time.sleep(HOT_PAUSE)
        ended = time.monotonic() - HOT_PAUSE
        during, cpu = rig.sessions() - before, run.cpu() - cpu
        seen = await_file(os.path.join(rig.one, "hot"), data, min(FILE_LIMIT, setting.limit), 0.002)
        run.check()
        return {"writes": number, "seconds": ended - begun, "during": during, "cpu": cpu,
                "sessions": rig.sessions() - before, "last": None if seen is None else max(0.0, seen - ended)}
