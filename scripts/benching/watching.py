"""The workloads of the watches: events taken from the kernel, folders watched at a start."""
import json
import os
import re
import subprocess
import tempfile
import time
from contextlib import contextmanager
from typing import Iterator, Optional

from .peers import AGENT_LOG, Peer, launched
from .processes import BenchError, clean_environment, running, status_number, tail
from .rig import Rig, await_true, rig_in
from .setting import Numbers, Setting
from .trees import names_below

FILES = 150000  # each gives two events: created, closed
FOLDERS, MANY_FOLDERS = 100000, 1000000
FOLDER_BYTES = 3 << 10  # memory that the kernel needs for a folder on tmpfs, its twin at the mirror, and two watches
ESTABLISHED = "Watches established"
WATCHED = re.compile(r": (\d+) folders watched")
SETTLED = 5.0  # seconds from the equality of the mirror until a peer counts as idle


@contextmanager
def kernel_limit(name: str, wanted: int) -> Iterator[None]:
    """fs.inotify.`name` is at least `wanted` as long as the block runs, then what it was. BenchError unless root."""
    path = "/proc/sys/fs/inotify/" + name
    with open(path) as handle:
        found = int(handle.read())
    try:
        _set(path, max(found, wanted))
        yield
    finally:
        _set(path, found)


def _set(path: str, value: int) -> None:
    try:
        with open(path, "w") as handle:
            handle.write(str(value))
    except OSError as error:
        raise BenchError(f"cannot set {path}: {error.strerror}") from None


def events(peer: Peer, setting: Setting) -> Numbers:
    """A queue of 300,000 events of 150,000 new files, taken by a bare loop and by sersync-py with 20 filters."""
    files = setting.times(FILES)
    program = os.path.join(os.path.dirname(os.path.abspath(__file__)), "decoding.py")
    with tempfile.TemporaryDirectory(prefix="sersync-bench-", dir=setting.fast) as folder, \
            kernel_limit("max_queued_events", 3 * files):
        answer = subprocess.run([setting.python, program, folder, str(files)], stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, env=clean_environment(peer.python_path))
    if answer.returncode:
        raise BenchError("decoding.py: " + answer.stderr.decode("utf-8", "replace").strip()[-300:])
    numbers = json.loads(answer.stdout.decode())
    return dict(numbers, ratio=numbers["watcher"] / numbers["bare"])


def make_folders(root: str, folders: int) -> None:
    """Make so many folders below `root`: sites with 30 months of 32 each."""
    made = 0
    for site in range(folders):
        for month in range(31):
            for number in range(33):
                if made == folders:
                    return
                steps = [f"site{site:04d}"] + [f"2026-{month:02d}"] * bool(month) + [f"{number:05d}"] * bool(number)
                if month or not number:
                    os.mkdir(os.path.join(root, *steps))
                    made += 1


@contextmanager
def _folders(setting: Setting, folders: int) -> Iterator[Rig]:
    """A rig with so many folders in its source, and watches enough for two."""
    with open("/proc/meminfo") as handle:
        available = next(int(line.split()[1]) << 10 for line in handle if line.startswith("MemAvailable:"))
    if available < 2 * FOLDER_BYTES * folders:
        raise BenchError(f"{folders} folders need {2 * FOLDER_BYTES * folders >> 20} MB of memory")
    with kernel_limit("max_user_watches", 3 * folders), rig_in(setting.fast) as rig:
        make_folders(rig.source, folders)
        yield rig


def start(peer: Optional[Peer], setting: Setting) -> Numbers:
    """A start over 100,000 folders, and what it comes to rest at."""
    return _start(peer, setting, setting.times(FOLDERS))


def start_million(peer: Optional[Peer], setting: Setting) -> Numbers:
    """A start over 1,000,000 folders."""
    return _start(peer, setting, setting.times(MANY_FOLDERS))


def _start(peer: Optional[Peer], setting: Setting, folders: int) -> Numbers:
    with _folders(setting, folders) as rig:
        return _inotifywait(rig, folders, setting) if peer is None else _agent(peer, rig, folders, setting)


def _inotifywait(rig: Rig, folders: int, setting: Setting) -> Numbers:
    """The limit: what inotifywait needs to set its watches, in seconds and MB."""
    output, begun = os.path.join(rig.scratch, "inotifywait.out"), time.monotonic()
    with running(["inotifywait", "-m", "-r", rig.source], rig.source, output) as process:
        await_true(lambda: ESTABLISHED in tail(output), lambda: process.poll() is None, lambda: tail(output),
                   setting.limit)
        return {"folders": folders, "watched": time.monotonic() - begun,
                "memory": status_number(process.pid, "VmHWM") / 1024}


def _agent(peer: Peer, rig: Rig, folders: int, setting: Setting) -> Numbers:
    """What the agent needs for that, Python's start included; then its memory after the first push."""
    log, begun = os.path.join(rig.scratch, AGENT_LOG), time.monotonic()
    with launched(peer, rig, [rig.remote()]) as run:
        await_true(lambda: bool(WATCHED.search(_text(log))), run.alive, run.last_words, setting.limit)
        watched, memory = time.monotonic() - begun, status_number(run.pid, "VmHWM") / 1024
        found = int(WATCHED.search(_text(log)).group(1))
        if found != folders + 1:
            raise BenchError(f"{found} folders watched instead of {folders + 1}")
        await_true(lambda: len(names_below(rig.one)) == folders + 1, run.alive, run.last_words, setting.limit)
        time.sleep(SETTLED)
        return {"folders": folders, "watched": watched, "memory": memory,
                "idle": status_number(run.pid, "VmRSS") / 1024}


def _text(path: str) -> str:
    try:
        with open(path, errors="replace") as handle:
            return handle.read()
    except FileNotFoundError:
        return ""
