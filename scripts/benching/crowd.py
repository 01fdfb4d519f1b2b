"""The workload of many remotes: what each costs, and how soon one change is at all of them."""
import os
import resource
import shutil
import subprocess
import time
from typing import Callable, List, Optional

from .bulk import FILE
from .latency import NODELAY
from .peers import Peer, one_shot, started
from .processes import BenchError, clean_environment, timed
from .rig import GOOD, Remote, Rig, rig_in
from .samples import FILE_LIMIT, percentile
from .setting import Numbers, Setting
from .trees import await_equal, content, write_file

REMOTES = 50
FILES = 1000
CHANGES = 10
APART = 2.0  # seconds from one arrival everywhere to the next change


def _remotes(rig: Rig) -> List[Remote]:
    """Module "one", at which a peer is known to be ready, and the others."""
    return [rig.remote()] + [Remote(GOOD, rig.port, os.path.basename(path)) for path in rig.more]


def _write(rig: Rig, files: int) -> None:
    blocks = content(FILE + files)
    for number in range(files):
        write_file(os.path.join(rig.source, f"f{number:05d}"), blocks[number:number + FILE])


def crowd(peer: Peer, setting: Setting) -> Numbers:
    """10 single changes, then 1,000 files of 4 KB, to 50 remotes."""
    files = setting.times(FILES)
    with rig_in(setting.fast, REMOTES - 1) as rig, started(peer, rig, _remotes(rig)) as run:
        mirrors = [rig.one, *rig.more]
        for mirror in mirrors:
            await_equal(rig.source, mirror, setting.limit, run.alive)
        taken = [_one_change(rig, mirrors, f"change{number:02d}", setting) for number in range(setting.times(CHANGES))]
        cpu, begun = run.cpu(), time.monotonic()
        _write(rig, files)
        for mirror in mirrors:
            if await_equal(rig.source, mirror, setting.limit, run.alive).moment is None:
                run.check()
                raise BenchError(f"{mirror} was not equal in {setting.limit:.0f} s")
        return {"changes": len(taken), "p50": percentile(taken, 0.5), "worst": percentile(taken, 1.0), "files": files,
                "equal": time.monotonic() - begun, "each": (run.cpu() - cpu) * 1e6 / files / REMOTES,
                "raw_seconds": taken}


def _all_at_once(rig: Rig, name: str) -> List[subprocess.Popen]:
    """An rsync of one file for each remote, just started."""
    return [subprocess.Popen(["rsync", "-artuz", "-R", NODELAY, "./" + name, remote.url], cwd=rig.source,
                             stdin=subprocess.DEVNULL, env=clean_environment()) for remote in _remotes(rig)]


def _one_change(rig: Rig, mirrors: List[str], name: str, setting: Setting,
                push: Callable[[Rig, str], List[subprocess.Popen]] = lambda _rig, _name: []) -> float:
    """The seconds from a file's close until it is at each of the mirrors; `push` starts what is to bring it there."""
    time.sleep(APART)
    closed, waiting = write_file(os.path.join(rig.source, name), content(FILE)), list(mirrors)
    pushes = push(rig, name)
    while waiting:
        waiting = [mirror for mirror in waiting if not os.path.exists(os.path.join(mirror, name))]
        if time.monotonic() > closed + min(FILE_LIMIT, setting.limit):
            raise BenchError(f"{len(waiting)} mirrors never got {name}")
        time.sleep(0.001)
    seconds = time.monotonic() - closed
    for process in pushes:
        process.wait()
    return seconds


def crowd_one_shots(_peer: Optional[Peer], setting: Setting) -> Numbers:
    """The limit: one rsync for each remote; of each single change all at once, of the files one after the other."""
    files = setting.times(FILES)
    with rig_in(setting.fast, REMOTES - 1) as rig:
        taken = [_one_change(rig, [rig.one, *rig.more], f"change{number:02d}", setting, _all_at_once)
                 for number in range(setting.times(CHANGES))]
        _write(rig, files)
        before = _children_cpu()
        begun = time.monotonic()
        for _ in range(REMOTES):
            timed(one_shot(rig, "two"), rig.source)
            shutil.rmtree(rig.two)
            os.mkdir(rig.two)
        return {"changes": len(taken), "p50": percentile(taken, 0.5), "worst": percentile(taken, 1.0), "files": files,
                "equal": time.monotonic() - begun, "raw_seconds": taken,
                "each": (_children_cpu() - before) * 1e6 / files / REMOTES}


def _children_cpu() -> float:
    """The processor seconds of all our children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
