"""Looks whether an agent would work now: at this host, at its files, and at each remote by a push that changes nothing.

Nothing is started that stays, and nothing is changed here or there: remotes are tried with `rsync -n`, this host by
reading. What follows from what was seen is said by `diagnosis` and `reachability`.
"""

import contextlib
import ctypes
import os
import pwd
import re
import socket
import stat
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from sersync_py import clock, diagnosis, inner
from sersync_py.agent import QUEUED_EVENTS, most_open_files
from sersync_py.diagnosis import Limits, Neighbour, Tree
from sersync_py.faillog import FailLog, FailLogError
from sersync_py.filters import Filter
from sersync_py.findings import FAULT, IN_ORDER, WARNING, Finding
from sersync_py.guard import Guard
from sersync_py.installed import NotUsableError, rsync_version
from sersync_py.language import heard, said
from sersync_py.legible import shown_path
from sersync_py.limits import attainable_open_files, binding_limit
from sersync_py.marks import Marks, key_for
from sersync_py.mounts import mount_of, mounts_below, mounts_in
from sersync_py.reachability import reachability
from sersync_py.rehearsals import REMOTE_SECONDS, Rehearsals
from sersync_py.settings import Config
from sersync_py.target import Target
from sersync_py.walk import join
from sersync_py.watcher import WatcherError, require_instances

__all__ = ["Files", "examine"]

_COUNT_SECONDS = 3.0
"""How long folders are counted; a tree of millions must not keep a user waiting."""
_READ_BYTES = 1 << 20
_OTHER_PROGRAMS = ("sersync2", "sersync", "lsyncd")


class Files(NamedTuple):
    """Where the agent would write, as absolute paths."""

    state: str
    """A folder, made if it is not there."""
    lock: str
    pid: str
    log: Optional[str]
    """None: the terminal."""


def examine(config: Config, files: Files, workers: int, seconds: float = REMOTE_SECONDS) -> List[Finding]:
    """Look at everything. `workers`: `-n`; `seconds`: how long each remote may take to answer.

    Takes that long at most, and some seconds where there is very much to count.
    """
    findings = [Finding(WARNING, warning) for warning in config.warnings]
    if not config.has_remotes():
        return findings + _host(config, files, workers)
    try:
        findings.append(Finding(IN_ORDER, said("rsync is {version}", version=rsync_version())))
    except NotUsableError as error:
        mend = said("Install it; until then the remotes cannot be tried:")
        findings.append(Finding(FAULT, error.why, said("Nothing could be sent."), mend, ("yum install rsync",)))
        return findings + _host(config, files, workers)
    rehearsals = Rehearsals(config, seconds)
    findings += _host(config, files, workers)
    return findings + [finding for tried in rehearsals.finish() for finding in reachability(tried)]


def _host(config: Config, files: Files, workers: int) -> List[Finding]:
    return [
        *_folders(config),
        *_kernel(config, workers),
        *_password(config),
        *_files(config, files),
        *_others(config, files),
    ]


# ---- watch folders and the kernel ------------------------------------------------------------------------------------


def _look_through(watch: bytes, passes: Filter, until: float) -> Tree:
    """Count the folders that would be watched, until a moment (monotonic seconds) comes."""
    waiting, folders, unreadable, empty = [b""], 0, [], False
    while waiting and (time.monotonic() < until or not folders):
        folder = waiting.pop()
        folders += 1
        try:
            with os.scandir(watch + b"/" + folder) as entries:
                inside = list(entries)
        except FileNotFoundError:
            continue
        except OSError:
            unreadable.append(join(watch, folder))
            continue
        empty = empty or not (folder or inside)
        for entry in inside:
            path = join(folder, entry.name)
            if entry.is_dir(follow_symlinks=False) and not passes.excludes(path, True):
                waiting.append(path)
    return Tree(watch, folders, not waiting, tuple(unreadable), empty)


def _folders(config: Config) -> Iterator[Finding]:
    mounts = mounts_in(_text_of(b"/proc/self/mountinfo"))
    for mirror in config.mirrors:
        real = os.path.realpath(mirror.watch)
        yield from diagnosis.mounted_on(mirror, mount_of(mounts, real), config)
        yield from diagnosis.mounted_inside(mirror, mounts_below(mounts, real), config)
        for remote in mirror.remotes:
            if config.rsync.ssh and remote.name.startswith("/") and _is_here(remote.host):
                yield from diagnosis.loop(mirror, remote, real, os.path.realpath(os.fsencode(remote.name)))


def _is_here(host: str) -> bool:
    bare = host.rpartition("@")[2].strip("[]")
    return bare in ("localhost", "::1", socket.gethostname()) or bare.startswith("127.")


def _kernel(config: Config, workers: int) -> Iterator[Finding]:
    until, passes = time.monotonic() + _COUNT_SECONDS, Filter(config.excludes)
    trees = [_look_through(mirror.watch, passes, until) for mirror in config.mirrors]
    limits = _limits()
    for each in trees:
        yield from diagnosis.tree(each, _user(os.geteuid()))
    yield diagnosis.instances(len(trees), _can_have_instances(len(trees)), limits)
    if limits.instances.value:
        yield diagnosis.watches(trees, limits)
        yield diagnosis.queue(QUEUED_EVENTS, limits)
    yield diagnosis.open_files(most_open_files(config, workers), attainable_open_files())
    yield from diagnosis.clock(_is_synchronised())
    yield from diagnosis.selinux(*_selinux())


def _limits() -> Limits:
    watches, queue, instances = map(binding_limit, ("max_user_watches", "max_queued_events", "max_user_instances"))
    return Limits(watches, queue, instances, os.access(watches.path, os.W_OK, effective_ids=True))


def _can_have_instances(count: int) -> bool:
    """Say whether inotify can be opened as often as there are watch folders."""
    try:
        require_instances(count)
    except WatcherError:
        return False
    return True


_CLOCK_ERROR = 5
_TIMEX_BYTES = 512
"""More than the kernel's struct timex has on any machine."""


def _is_synchronised() -> Optional[bool]:
    """Ask the kernel whether somebody keeps its clock right; None if that cannot be asked."""
    try:
        state = int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))
    except (OSError, AttributeError):
        return None
    return state != _CLOCK_ERROR if state >= 0 else None


def _selinux() -> Tuple[Optional[bool], Dict[str, bool]]:
    """Return whether SELinux enforces (None: there is none), and its booleans about rsync."""
    mode = _text_of(b"/sys/fs/selinux/enforce").strip()
    folder = "/sys/fs/selinux/booleans"
    if not mode:
        return None, {}
    names = [name for name in os.listdir(folder) if name.startswith("rsync_")] if os.path.isdir(folder) else []
    return mode == b"1", {name: _text_of(os.fsencode(f"{folder}/{name}"))[:1] == b"1" for name in names}


# ---- files -----------------------------------------------------------------------------------------------------------


def _text_of(path: bytes) -> bytes:
    """Return the beginning of a file; nothing if it cannot be read or is none."""
    try:
        # NONBLOCK: a FIFO must not hold us up
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC), "rb") as file:
            return file.read(_READ_BYTES) or b"" if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else b""
    except OSError:
        return b""


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _password(config: Config) -> Iterator[Finding]:
    path = config.rsync.password_file
    if path is None:
        return
    try:
        found = os.stat(path)
    except OSError:
        # gone since the config was read; the remotes will say so
        return
    yield diagnosis.password_file(path, stat.S_IMODE(found.st_mode), _user(found.st_uid))


def _existing(path: str) -> str:
    """Return a path if it is there, otherwise the deepest folder above it that is."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return path


def _refusal(path: str) -> str:
    """Return why a file or folder that is there may not be written, or nothing."""
    mode = os.W_OK | os.X_OK if os.path.isdir(path) else os.W_OK
    if os.access(path, mode, effective_ids=True):
        return ""
    read_only = os.path.exists(path) and os.statvfs(path).f_flag & os.ST_RDONLY
    return heard("Read-only file system" if read_only else "Permission denied")


def _why_not_folder(path: str) -> str:
    """Return why a folder cannot be written or made, or nothing."""
    existing = _existing(path)
    return _refusal(existing) if os.path.isdir(existing) else heard("Not a directory")


def _why_not_file(path: str) -> str:
    """Return why a file cannot be written or made, or nothing."""
    if os.path.isdir(path):
        return heard("Is a directory")
    if os.path.exists(path):
        return _refusal(path)
    folder = os.path.dirname(path)
    if not os.path.lexists(folder):
        return heard("No such file or directory")
    return _refusal(folder) if os.path.isdir(folder) else heard("Not a directory")


def _files(config: Config, files: Files) -> Iterator[Finding]:
    state = os.fsencode(files.state)
    reason = _why_not_folder(files.state)
    if reason:
        yield diagnosis.unwritable(state, reason, "--state-dir")
    else:
        free = os.statvfs(_existing(files.state))
        yield diagnosis.space(state, free.f_bavail * free.f_frsize)
    for path, option in ((files.log, "--log-file"), (files.pid, "--pid-file")):
        # what stands in the state folder is made with it
        reason = _why_not_file(path) if path and os.path.dirname(path) != files.state else ""
        if path and reason:
            yield diagnosis.unwritable(os.fsencode(path), reason, option)
    yield from _fail_log(config, state)
    yield from _marks(config, files)


def _fail_log(config: Config, state: bytes) -> Iterator[Finding]:
    path, entries = config.fail_log.path, 0
    folder = os.path.dirname(path)
    reason = _why_not_file(os.fsdecode(path))
    trouble = ""
    if reason:
        trouble = said("fail log {path} cannot be written: {reason}", path=shown_path(path), reason=reason)
    try:
        entries = len(FailLog(path).read().owed)
    except FailLogError as error:
        trouble = error.sentence
    open_to_all = os.path.isdir(folder) and bool(os.stat(folder).st_mode & stat.S_IWOTH)
    yield from diagnosis.fail_log(path, state, open_to_all, entries, trouble)


def _marks(config: Config, files: Files) -> Iterator[Finding]:
    marks, now = Marks(os.fsencode(files.state)), clock.now()
    unmarked: List[str] = []
    for mirror in config.mirrors:
        root = Guard(mirror.watch).root
        for remote in mirror.remotes:
            target = Target(mirror.watch, remote, config.rsync, config.inotify.delete)
            name = target.destination().decode("utf-8", "backslashreplace")
            found = marks.load(key_for(os.path.realpath(config.file), mirror.watch, name), now)
            yield from diagnosis.mark(mirror, name, found, root, files.pid)
            unmarked += [name] if found is None else []
    yield from diagnosis.never_mirrored(unmarked)
    yield from _missing_mounts(config, files)


def _missing_mounts(config: Config, files: Files) -> Iterator[Finding]:
    for mirror in config.mirrors:
        passes = Filter(config.excludes)
        try:
            known = inner.load(inner.mounts_file(os.fsencode(files.state), config.file, mirror.watch))
            there = inner.below(mirror.watch)
        except (OSError, ValueError):
            # the agent does not know them either, and says so
            continue
        missing = [path for path in known if path not in there and not passes.hides(path)]
        yield from diagnosis.missing_mounts(mirror, missing)


# ---- other programs --------------------------------------------------------------------------------------------------


def _others(config: Config, files: Files) -> Iterator[Finding]:
    yield from diagnosis.running(_holder(files.lock))
    yield from diagnosis.neighbours(list(_neighbours()), config)


def _holder(lock: str) -> Optional[int]:
    """Return the process that holds the lock of this config, without asking for it: that could refuse a start."""
    text = _text_of(os.fsencode(lock)).strip()
    if not re.match(rb"[0-9]{1,9}\Z", text):
        return None
    pid = int(text)
    try:
        return pid if _has_open(pid, os.stat(lock)) else None
    except FileNotFoundError:
        return None
    except OSError:
        # another user's: its name must do
        return pid if b"sersync" in _proc(pid, "cmdline") else None


def _has_open(pid: int, wanted: os.stat_result) -> bool:
    """Say whether a process has a file open. Raise OSError if that cannot be looked at, or the process is gone."""
    folder = f"/proc/{pid}/fd"
    for name in os.listdir(folder):
        # what is closed meanwhile is none of our business
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.stat(f"{folder}/{name}"), wanted):
                return True
    return False


def _proc(pid: int, name: str) -> bytes:
    """Return what a file of /proc says of a process; nothing if that has ended."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""


def _neighbours() -> Iterator[Neighbour]:
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        words = _proc(pid, "cmdline").split(b"\0")
        name = os.path.basename(words[0]).decode("ascii", "replace")
        if name in _OTHER_PROGRAMS:
            texts = [_text_of(os.path.join(os.fsencode(f"/proc/{pid}/cwd"), word)) for word in _words_of(name, words)]
            yield Neighbour(pid, name, b"\0".join([*words[1:], *texts, b""]))


def _words_of(name: str, words: Sequence[bytes]) -> List[bytes]:
    """Return the words of a command line that may be files; sersync2 reads confxml.xml if it is given none."""
    named = [re.sub(rb"\A-[drn0-9]*o", b"", word) for word in words[1:] if word]
    return named if name == "lsyncd" or any(word.endswith(b".xml") for word in named) else [*named, b"confxml.xml"]
