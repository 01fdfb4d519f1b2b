"""The workloads of many files at once: burst, tree. Each returns numbers by column name; None means never."""
import os
import subprocess
import time
from typing import Optional, Tuple

from .peers import Peer, Running, one_shot, started
from .processes import BenchError, status_number, timed
from .rig import Rig, rig_in
from .setting import Numbers, Setting, ratio, room, since
from .trees import Arrival, await_equal, content, count_below, differences, write_file

FILE = 4 << 10  # bytes of a burst's files


def remark(arrival: Arrival, peer: Running) -> str:
    """What to say under the table of a peer that was never equal; "" for one that was."""
    if arrival.moment is not None:
        return ""
    peer.check()
    examples = ", ".join(arrival.differing[:3])
    return f"{len(arrival.differing)} paths still differ, such as {examples}"


def push_once(rig: Rig, delete: bool = False) -> float:
    """Seconds that the single rsync takes into the mirror `two`; BenchError unless that is equal then."""
    seconds = timed(one_shot(rig, "two", delete), rig.source)
    left = differences(rig.source, rig.two)
    if left:
        raise BenchError(f"one rsync left {len(left)} paths different, such as {left[0]}")
    return seconds


def write_burst(source: str, files: int, folders: int) -> Tuple[float, float]:
    """Write the burst; (moment of the first write, moment after the last), in monotonic seconds."""
    blocks = content(FILE + files)
    begun = time.monotonic()
    for number in range(folders):
        os.mkdir(os.path.join(source, f"d{number:03d}"))
    for number in range(files):
        write_file(os.path.join(source, f"d{number % folders:03d}", f"f{number:05d}"), blocks[number:number + FILE])
    return begun, time.monotonic()


def burst(peer: Optional[Peer], setting: Setting) -> Numbers:
    """10,000 files of 4 KB in 100 folders, as fast as they can be written."""
    return _burst(peer, setting, setting.times(10000), setting.times(100))


def flood(peer: Optional[Peer], setting: Setting) -> Numbers:
    """200,000 of them in 1,000 folders."""
    return _burst(peer, setting, setting.times(200000), setting.times(1000))


def _burst(peer: Optional[Peer], setting: Setting, files: int, folders: int) -> Numbers:
    """What `burst` says, with so many files and folders."""
    if room(setting.fast) < 3 * files * 2 * FILE:
        raise BenchError(f"no room for {files} files three times on {setting.fast}")
    with rig_in(setting.fast) as rig:
        if peer is None:
            begun, written = write_burst(rig.source, files, folders)
            alone = push_once(rig)
            return {"files": files, "writing": written - begun, "one_shot": alone, "after": alone, "ratio": 1.0}
        with started(peer, rig, [rig.remote()]) as run:
            cpu = run.cpu()
            begun, written = write_burst(rig.source, files, folders)
            arrival = await_equal(rig.source, rig.one, setting.limit, run.alive)
            cpu, memory = run.cpu() - cpu, status_number(run.pid, "VmHWM") / 1024
            note = remark(arrival, run)
        alone = push_once(rig)
        after = since(arrival.moment, written)
        return {"files": files, "writing": written - begun, "equal": since(arrival.moment, begun), "after": after,
                "one_shot": alone, "ratio": ratio(after, alone), "cpu": cpu, "memory": memory, "note": note}


def call(*argv: str) -> None:
    """Run a program to its end; BenchError if it fails."""
    answer = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if answer.returncode:
        raise BenchError("{}: {}".format(argv[0], answer.stderr.decode("utf-8", "replace").strip()[-300:]))


def tree_alone(rig: Rig, tree: str) -> Tuple[float, float]:
    """Seconds that one rsync takes for the tree copied in, and for its removal."""
    copy = os.path.join(rig.source, "lib")
    call("cp", "-a", "--", tree, copy)
    copied = push_once(rig)
    call("rm", "-rf", "--", copy)
    return copied, push_once(rig, delete=True)


def tree(peer: Optional[Peer], setting: Setting) -> Numbers:
    """A library copied in with cp -a, and when that has arrived removed with rm -rf."""
    numbers = {}  # type: Numbers
    with rig_in(setting.disk) as rig:
        if peer is not None:
            with started(peer, rig, [rig.remote()]) as run:
                numbers = _tree_followed(run, rig, setting)
        call("rm", "-rf", "--", os.path.join(rig.source, "lib"))
        copied, removed = tree_alone(rig, setting.tree)
    numbers.update(entries=count_below(setting.tree) + 1, copy_one_shot=copied, remove_one_shot=removed)
    if peer is None:
        numbers.update(copy_after=copied, copy_ratio=1.0, remove_after=removed, remove_ratio=1.0)
        return numbers
    for key, alone in (("copy", copied), ("remove", removed)):
        if key + "_after" in numbers:
            numbers[key + "_ratio"] = ratio(numbers[key + "_after"], alone)
    return numbers


def _tree_followed(run: Running, rig: Rig, setting: Setting) -> Numbers:
    """What a running peer makes of the copying and the removal (left out if the copy never arrived)."""
    copy = os.path.join(rig.source, "lib")
    steps = (("copy", ("cp", "-a", "--", setting.tree, copy), ""), ("remove", ("rm", "-rf", "--", copy), "lib"))
    numbers = {"note": ""}  # type: Numbers
    for key, argv, gone in steps:
        begun = time.monotonic()
        call(*argv)
        ended = time.monotonic()
        arrival = await_equal(rig.source, rig.one, setting.limit, run.alive, gone)
        numbers.update({key + "_equal": since(arrival.moment, begun), key + "_after": since(arrival.moment, ended)})
        if arrival.moment is None:
            numbers["note"] = f"{key}: {remark(arrival, run)}"
            break
    return numbers
