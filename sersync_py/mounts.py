"""What is mounted where: /proc/self/mountinfo, read. Pure."""

import re
from typing import List, Match, NamedTuple, Optional, Sequence

__all__ = ["Mount", "is_shared", "lines_about", "mount_of", "mounts_below", "mounts_in"]


class Mount(NamedTuple):
    """A file system at its place."""

    point: bytes
    """The folder it is mounted on."""
    kind: str
    """`ext4`, `nfs4`, `fuse.sshfs`, ..."""
    source: bytes
    """A device, or `server:/path`."""


_SHARED = {
    "9p", "afs", "beegfs", "ceph", "cifs", "davfs", "drvfs", "fuse", "gfs2", "glusterfs", "gpfs", "lustre", "ncpfs",
    "nfs", "nfs4", "ocfs2", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs",
}


def is_shared(kind: str) -> bool:
    """Say whether others than this kernel may write to a file system, which inotify does not tell of."""
    return kind in _SHARED or kind.startswith("fuse.")


def _byte(found: Match[bytes]) -> bytes:
    return bytes([int(found.group(1), 8)])


def mounts_in(mountinfo: bytes) -> List[Mount]:
    """Return what the lines of mountinfo say, in their order; lines that are not understood are left out."""
    mounts = []
    # not splitlines: a carriage return in a name is not escaped
    for line in mountinfo.split(b"\n"):
        before, _, behind = line.partition(b" - ")
        words, rest = before.split(b" "), behind.split(b" ")
        if len(words) >= 6 and len(rest) >= 2:
            point, source = (re.sub(rb"\\([0-7]{3})", _byte, word) for word in (words[4], rest[1]))
            mounts.append(Mount(point, rest[0].decode("ascii", "replace"), source))
    return mounts


def lines_about(mountinfo: bytes, folder: bytes) -> bytes:
    """Return the lines that may be about what is mounted below a folder: many hosts have thousands of others."""
    escaped = re.sub(rb"[ \t\n\\]", lambda found: b"\\%03o" % ord(found.group()), folder.rstrip(b"/"))
    return b"\n".join(line for line in mountinfo.split(b"\n") if b" " + escaped + b"/" in line)


def mount_of(mounts: Sequence[Mount], path: bytes) -> Optional[Mount]:
    """Return the mount that a path without symlinks lies in: the deepest, and of those on one folder the last."""
    found: Optional[Mount] = None
    for mount in mounts:
        inside = mount.point == b"/" or path == mount.point or path.startswith(mount.point + b"/")
        if inside and (found is None or len(mount.point) >= len(found.point)):
            found = mount
    return found


def mounts_below(mounts: Sequence[Mount], folder: bytes) -> List[Mount]:
    """Return what can be seen of the mounts below a folder, itself not included; the upmost of each place."""
    above = folder.rstrip(b"/") + b"/"
    upmost = {mount.point: mount for mount in mounts if mount.point.startswith(above) and mount.point != above}
    return list(upmost.values())
