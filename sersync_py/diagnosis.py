"""What follows from what was found on this host: facts in, findings out. Pure; `doctor` looks."""

import re
import shlex
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

from sersync_py.findings import FAULT, IN_ORDER, WARNING, Finding
from sersync_py.guard import Root
from sersync_py.language import said
from sersync_py.legible import shown_path
from sersync_py.limits import Limit
from sersync_py.marks import Damaged, Mark
from sersync_py.mounts import Mount, is_shared
from sersync_py.settings import Config, Mirror, Remote

__all__ = [
    "Limits",
    "Neighbour",
    "Tree",
    "clock",
    "fail_log",
    "instances",
    "loop",
    "mark",
    "missing_mounts",
    "mounted_inside",
    "mounted_on",
    "neighbours",
    "never_mirrored",
    "open_files",
    "password_file",
    "queue",
    "running",
    "selinux",
    "space",
    "tree",
    "unwritable",
    "watches",
]

_LEAST_SPACE = 16 << 20
"""Bytes. Marks, pid and lock are small; the log and the fail log may be there too."""
_SYSCTL_FILE = "/etc/sysctl.d/90-sersync-py.conf"
_OTHER_LIMITS_PART = 0.8
"""Other programs watch folders too, so not all that the kernel allows is ours."""
_SHOWN = 3
_BOOLEANS = ("rsync_client", "rsync_full_access")


class Tree(NamedTuple):
    """What was found in a watch folder."""

    watch: bytes
    folders: int
    """Those that would be watched; the watch folder itself is one."""
    complete: bool = True
    """False: there was no time to count all of them."""
    unreadable: Tuple[bytes, ...] = ()
    """Folders that cannot be read, as absolute paths."""
    empty: bool = False


class Limits(NamedTuple):
    """The kernel's limits on inotify, and whether we may raise them."""

    watches: Limit
    queue: Limit
    instances: Limit
    may_raise: bool


class Neighbour(NamedTuple):
    """Another program that mirrors folders."""

    pid: int
    name: str
    text: bytes
    """Its command line, and what the files say that are named there."""


def _quoted(path: bytes) -> str:
    return shlex.quote(shown_path(path))


# ---- watch folders ---------------------------------------------------------------------------------------------------


def tree(found: Tree, user: str) -> Iterator[Finding]:
    """Judge what stands in a watch folder. `user`: the name of who asks."""
    path = shown_path(found.watch)
    let_in = f"setfacl -R -m u:{shlex.quote(user)}:rX {_quoted(found.watch)}"
    if found.watch in found.unreadable:
        yield Finding(
            FAULT, said("watch folder {path} cannot be read", path=path), said("Nothing of it would be sent."),
            said("Run sersync-py as root, or let this user in:"), (let_in,),
        )
        return
    if found.unreadable:
        yield Finding(
            WARNING, said("{number} folders in {path} cannot be read, such as {folder}", number=len(found.unreadable),
                          path=path, folder=shown_path(found.unreadable[0])),
            said("What is in them is not sent."), said("Run sersync-py as root, or let this user in:"), (let_in,),
        )
    if found.empty:
        yield Finding(
            WARNING, said("watch folder {path} is empty", path=path),
            said("Most often its disk is not mounted. As long as it is empty nothing is deleted at the remotes."),
            said("If it should be mounted:"), ("mount -a",),
        )
    number: object = found.folders if found.complete else said("more than {number}", number=found.folders)
    yield Finding(IN_ORDER, said("watch folder {path}: {number} folders to watch", path=path, number=number))


def mounted_on(mirror: Mirror, mount: Optional[Mount], config: Config) -> Iterator[Finding]:
    """Judge the file system of a watch folder."""
    if mount is None:
        return
    path, what = shown_path(mirror.watch), f"{mount.kind} ({shown_path(mount.source)})"
    if is_shared(mount.kind):
        yield _shared(said("watch folder {path} is on {what}", path=path, what=what), config)
    elif mount.kind == "overlay":
        yield Finding(
            WARNING, said("watch folder {path} is on overlay, a container's own layer", path=path),
            said("What is written to the layer from outside is not seen, and it goes with the container."),
            said("Give the container a folder of the host:"), (f"docker run -v {_quoted(mirror.watch)}:...",),
        )


def mounted_inside(mirror: Mirror, mounts: Sequence[Mount], config: Config) -> Iterator[Finding]:
    """Judge the file systems that are mounted below a watch folder."""
    for mount in mounts:
        if is_shared(mount.kind):
            what = f"{mount.kind} ({shown_path(mount.source)})"
            yield _shared(said("{point} in watch folder {path} is on {what}", point=shown_path(mount.point),
                               path=shown_path(mirror.watch), what=what), config)


def _shared(what: str, config: Config) -> Finding:
    why = said("inotify tells of what this host writes there, not of what other hosts write.")
    if config.crontab is not None:
        mend = said("The comparison every {minutes} minutes finds it; on the file server it would be seen at once.",
                    minutes=config.crontab.minutes)
        return Finding(WARNING, what, why, mend)
    mend = said("Run sersync-py on the file server, or have the whole tree compared regularly (minutes):")
    return Finding(WARNING, what, why, mend, ('<crontab start="true" schedule="60"/>',))


def loop(mirror: Mirror, remote: Remote, real: bytes, real_remote: bytes) -> Iterator[Finding]:
    """Judge a remote that is a folder of this host. Both paths come without symlinks."""
    if (real_remote + b"/").startswith(real + b"/") or real.startswith(real_remote.rstrip(b"/") + b"/"):
        yield Finding(
            FAULT, said("{remote} is watch folder {path} itself, lies in it, or holds it",
                        remote=f"{remote.host}:{remote.name}", path=shown_path(mirror.watch)),
            said("Each push would be a change that is to be pushed."), said("Name another folder in name= of remote."),
        )


# ---- the kernel ------------------------------------------------------------------------------------------------------


def watches(trees: Sequence[Tree], limits: Limits) -> Finding:
    """Judge the number of folders against the number of watches."""
    needed, limit = sum(each.folders for each in trees), limits.watches.value
    if needed <= limit * _OTHER_LIMITS_PART:
        return Finding(IN_ORDER, said("the kernel allows {limit} watches", limit=limit))
    counted = all(each.complete for each in trees)
    number: object = needed if counted else said("more than {number}", number=needed)
    what = said("{number} folders to watch, and the kernel allows {limit} watches for all programs of a user",
                number=number, limit=limit)
    if limits.may_raise:
        return Finding(IN_ORDER, what, said("The agent raises the limit when it starts."))
    return Finding(
        WARNING, what, said("Folders without a watch are looked through once a minute only."), said("As root:"),
        _sysctl(limits.watches, 2 * max(needed, limit)),
    )


def instances(wanted: int, had: bool, limits: Limits) -> Finding:
    """Judge whether as many inotify instances as there are watch folders can be had."""
    if had:
        return Finding(IN_ORDER, said("inotify can be used"))
    if not limits.instances.value:
        return Finding(
            FAULT, said("this kernel has no inotify"), said("The agent would end at once."),
            said("Run sersync-py on Linux, outside of the sandbox that hides it."),
        )
    return Finding(
        FAULT, said("{wanted} more inotify instances are needed; the kernel allows a user {limit}, and other programs"
                    " hold them", wanted=wanted, limit=limits.instances.value),
        said("The agent would end at once."), said("As root:"),
        _sysctl(limits.instances, 2 * limits.instances.value + wanted),
    )


def queue(wanted: int, limits: Limits) -> Finding:
    """Judge how many events the kernel keeps for the agent."""
    limit = limits.queue.value
    if limit >= wanted:
        return Finding(IN_ORDER, said("the kernel keeps up to {limit} events", limit=limit))
    if limits.may_raise:
        return Finding(IN_ORDER, said("the kernel keeps up to {limit} events; the agent raises that to {wanted}",
                                      limit=limit, wanted=wanted))
    return Finding(
        WARNING, said("the kernel keeps up to {limit} events, {wanted} would be better", limit=limit, wanted=wanted),
        said("When very much changes at once it drops some. Nothing is lost, but the tree has to be looked through."),
        said("As root:"), _sysctl(limits.queue, wanted),
    )


def _sysctl(limit: Limit, value: int) -> Tuple[str, ...]:
    setting = f"{limit.name}={value}"
    return f"sysctl -w {setting}", f"echo '{setting}' >> {_SYSCTL_FILE}"


def open_files(needed: int, limit: int) -> Finding:
    """Judge the limit of open files that the agent can set for itself."""
    if limit >= needed:
        return Finding(IN_ORDER, said("enough files may be open at a time"))
    return Finding(
        WARNING, said("{limit} files may be open at a time, {needed} may be needed", limit=limit, needed=needed),
        said("Sessions that cannot be started wait."), said("Before the start, or as LimitNOFILE= of the service:"),
        (f"ulimit -n {max(needed, 65536)}",),
    )


def clock(synchronised: Optional[bool]) -> Iterator[Finding]:
    """Judge whether the clock is kept right; None: it cannot be told."""
    if synchronised:
        yield Finding(IN_ORDER, said("the clock is kept right"))
    elif synchronised is not None:
        yield Finding(
            WARNING, said("the clock is not synchronized"),
            said("-u keeps what is newer at the mirror, and marks are moments: both need clocks that agree."),
            said("Start chronyd, ntpd or systemd-timesyncd, such as with:"), ("timedatectl set-ntp true",),
        )


def selinux(enforcing: Optional[bool], booleans: Dict[str, bool]) -> Iterator[Finding]:
    """Judge SELinux; None: there is none."""
    if enforcing is None:
        return
    off = [name for name in _BOOLEANS if booleans.get(name) is False]
    if not enforcing:
        yield Finding(IN_ORDER, said("SELinux is permissive"))
    elif not off:
        yield Finding(IN_ORDER, said("SELinux is enforcing and lets rsync through"))
    else:
        yield Finding(
            WARNING, said("SELinux is enforcing, and off are: {names}", names=", ".join(off)),
            said("An rsync that was started by a service may not be let connect or read, even if it works by hand."),
            said("As root; on the receivers rsync_full_access too:"),
            ("setsebool -P " + " ".join(name + "=1" for name in off),),
        )


# ---- files -----------------------------------------------------------------------------------------------------------


def password_file(path: bytes, mode: int, owner: str) -> Finding:
    """Judge a password file that rsync takes; one that it would not is a fault of the config."""
    shown = shown_path(path)
    if mode & 0o077:
        return Finding(
            WARNING, said("password file {path} has mode {mode}, owner {owner}", path=shown, mode=f"{mode:04o}",
                          owner=owner),
            said("The group can read the password."), command=(f"chmod 600 {_quoted(path)}",),
        )
    return Finding(IN_ORDER, said("password file {path}: mode {mode}, owner {owner}", path=shown, mode=f"{mode:04o}",
                                  owner=owner))


def unwritable(path: bytes, reason: str, option: str) -> Finding:
    """Judge a file or folder that cannot be written. `option`: the one that names another place."""
    return Finding(
        FAULT, said("{path} cannot be written: {reason}", path=shown_path(path), reason=reason),
        said("The agent would end at once."), said("Mend that, or name another place with {option}.", option=option),
    )


def space(path: bytes, free: int) -> Finding:
    """Judge the bytes that are free where the state folder is or would be."""
    if free >= _LEAST_SPACE:
        return Finding(IN_ORDER, said("state folder {path} can be written", path=shown_path(path)))
    return Finding(
        WARNING, said("{free} KB are free where the state folder {path} is", free=free >> 10, path=shown_path(path)),
        said("Marks that cannot be saved make the next start look through more."),
        said("Make room, or name another place with {option}.", option="--state-dir"), (f"df -h {_quoted(path)}",),
    )


def fail_log(path: bytes, state: bytes, open_to_all: bool, entries: int, trouble: str) -> Iterator[Finding]:
    """Judge the fail log. `open_to_all`: everyone may write in its folder; `trouble`: why it cannot be used, or ""."""
    shown = shown_path(path)
    better = f'<failLog path="{shown_path(state)}/rsync_fail_log.sh" timeToExecute="60"/>'
    if trouble:
        yield Finding(WARNING, trouble, said("What fails again and again would stand in the log only."),
                      said("If nothing of that can be changed, name another place in the config:"), (better,))
    if open_to_all:
        yield Finding(
            WARNING, said("fail log {path} is in a folder where everyone can write", path=shown),
            said("Another user can take its name first, and what cleans up there removes it."),
            said("Name a place of its own in the config:"), (better,),
        )
    if entries:
        yield Finding(IN_ORDER, said("fail log {path} has {number} entries to be made up for", path=shown,
                                     number=entries))


def mark(
    mirror: Mirror, remote: str, found: Union[Mark, Damaged, None], root: Root, pid_file: str
) -> Iterator[Finding]:
    """Judge the mark of a remote. `root`: the watch folder as it is now."""
    is_about_time = isinstance(found, Mark) and found.reason
    if found is not None and found.reason:
        mend, command = (said("See whether the clock is right:"), ("timedatectl",)) if is_about_time else ("", ())
        yield Finding(WARNING, said("the mark of {remote} {reason}", remote=remote, reason=found.reason),
                      said("The next start compares the whole tree."), mend, command)
    elif isinstance(found, Mark) and found.root is not None and not root.may_be(found.root):
        yield Finding(
            WARNING, said("watch folder {path} is another folder than was mirrored to {remote}",
                          path=shown_path(mirror.watch), remote=remote),
            said("Perhaps its disk is not mounted. What it has is sent, and nothing is deleted on its account."),
            said("If it is meant to be so, once the agent runs:"), (f"kill -USR1 $(cat {shlex.quote(pid_file)})",),
        )


def missing_mounts(mirror: Mirror, missing: Sequence[bytes]) -> Iterator[Finding]:
    """Judge what was mounted below a watch folder and is not now. `missing`: paths relative to it."""
    if missing:
        folders = ", ".join(shown_path(path) for path in missing[:_SHOWN]) + (", ..." if len(missing) > _SHOWN else "")
        yield Finding(
            WARNING, said("{folders} in watch folder {path}: not mounted as before", folders=folders,
                          path=shown_path(mirror.watch)),
            said("Nothing there is sent or deleted at the remotes."), said("If it should be mounted:"), ("mount -a",),
        )


def never_mirrored(remotes: Sequence[str]) -> Iterator[Finding]:
    """Say which remotes have no mark."""
    if remotes:
        yield Finding(IN_ORDER, said("not mirrored to before: {remotes}; the first start should have -r",
                                     remotes=", ".join(remotes)))


# ---- other programs --------------------------------------------------------------------------------------------------


def running(pid: Optional[int]) -> Iterator[Finding]:
    """Say that an agent already runs for this config."""
    if pid is not None:
        yield Finding(
            IN_ORDER, said("sersync-py runs for this config already, as process {pid}", pid=pid), "",
            said("A second one would be refused. It reads a changed config with:"), (f"kill -HUP {pid}",),
        )


def neighbours(found: Sequence[Neighbour], config: Config) -> Iterator[Finding]:
    """Judge other programs that mirror folders."""
    for each in found:
        same: List[bytes] = [mirror.watch for mirror in config.mirrors if _names(each.text, mirror.watch)]
        if not same and each.name == "lsyncd":
            continue
        why = said("Both would send each change, and delete.")
        stop = said("Stop it before sersync-py starts, and take it out of what starts at boot:"), (f"kill {each.pid}",)
        if same:
            what = said("{name} runs on {path}, as process {pid}", name=each.name, path=shown_path(same[0]),
                        pid=each.pid)
        else:
            what = said("{name} runs as process {pid}; on which folders cannot be told", name=each.name, pid=each.pid)
            why = said("If it is on one of these, both would send each change, and delete.")
        yield Finding(WARNING, what, why, *stop)


def _names(text: bytes, path: bytes) -> bool:
    """Say whether a text names just this path, with or without a slash behind it."""
    return re.search(re.escape(path) + rb"/?(?![^\s\"'<>,;)\0])", text) is not None
