"""One remote of one watch folder, and how each rsync command for it begins. Pure."""

import os
import re
from typing import List, NamedTuple, Optional

from sersync_py.guard import Root
from sersync_py.settings import Remote, Rsync

__all__ = ["CANARY_SECONDS", "CONNECT_SECONDS", "Target", "encoded", "opening"]

CONNECT_SECONDS = 10
"""How long a remote may take to accept, unless the user's params say otherwise."""
CANARY_SECONDS = 2
"""Likewise, while it is known to be away: the kernel asks again after one second and then after three."""


class Target(NamedTuple):
    """One remote of one watch folder, and how it is spoken to."""

    watch: bytes
    remote: Remote
    rsync: Rsync
    delete: bool
    nanoseconds: bool = True
    """False: the receiver is older than 3.1.3 and cannot compare times more finely than to the second."""
    connect_seconds: int = CONNECT_SECONDS
    missing_args: bool = True
    """False: the receiver does not know --delete-missing-args, or aborts on it as 3.4.3 does; deletions go as rules."""
    root: Optional[Root] = None
    """Which folder the watch folder is: no session may run in another one that has taken its place."""

    def destination(self) -> bytes:
        """Return the last word of the command: `[user@]host::module`, or `host:path` with ssh."""
        if self.rsync.ssh:
            return encoded(self.address() + ":" + self.remote.name)
        user = self.rsync.user + "@" if self.rsync.user else ""
        return encoded(user + self.address() + "::" + self.remote.name)

    def address(self) -> str:
        """Return the host as rsync takes it: an IPv6 address in brackets."""
        host = self.remote.host
        return "[" + host + "]" if ":" in host and not host.startswith("[") else host

    def within(self) -> bytes:
        """Return the folder of the module, or with ssh of the host, that the paths are below at the remote."""
        name = self.remote.name if self.rsync.ssh else self.remote.name.partition("/")[2]
        return encoded(name).strip(b"/")

    def user_sets(self, *options: str) -> bool:
        """Say whether one of these long options is among the user's params."""
        return any(word == option or word.startswith(option + "=") for word in self.rsync.params for option in options)

    def user_sets_shell(self) -> bool:
        """Say whether the user's params name a remote shell."""
        return any(_RSH.match(word) for word in self.rsync.params)


_RSH = re.compile(r"(-[a-zA-Z]*?e|--rsh(?:=|$))(.*)", re.DOTALL)


def encoded(text: str) -> bytes:
    """Return a text of the config as the bytes that rsync is to be given."""
    return text.encode("utf-8", "surrogateescape")


def opening(target: Target) -> List[bytes]:
    """Return how every command for a target begins: the user's params, -R, and what its connection needs."""
    words = [b"rsync"] + [encoded(word) for word in _params(target)] + [b"-R"]
    words += _ssh_words(target) if target.rsync.ssh else _daemon_words(target)
    if target.rsync.timeout:
        # only if the user wants it: it costs each session 40 ms; a silent one is ended by `session` in any case
        words.append(encoded(f"--timeout={target.rsync.timeout}"))
    return words


def _params(target: Target) -> List[str]:
    """Return the user's params; an ssh that they name is given the port, unless it has one already."""
    words = list(target.rsync.params)
    if not target.rsync.ssh or not target.rsync.port:
        return words
    for index, word in enumerate(words):
        option = _RSH.match(word)
        if option is None:
            continue
        place = index if option.group(2) or index + 1 == len(words) else index + 1
        command = option.group(2) if place == index else words[place]
        if os.path.basename(command.split(" ")[0]) == "ssh":
            words[place] += f" -p {target.rsync.port}"
        break
    return words


def _ssh_words(target: Target) -> List[bytes]:
    """Return what an ssh session needs: nobody answers a question, and names never reach the remote's shell."""
    words = [b"-s"]
    if not target.user_sets_shell():
        port = f"-p {target.rsync.port} " if target.rsync.port else ""
        options = f"-oBatchMode=yes -oConnectTimeout={target.connect_seconds} -oServerAliveInterval=3"
        words += [b"-e", encoded("ssh " + port + options)]
    return words


def _daemon_words(target: Target) -> List[bytes]:
    words = []
    if not target.user_sets("--sockopts"):
        # spares up to three delayed ACKs of 40 ms in the handshake
        words.append(b"--sockopts=TCP_NODELAY")
    if not target.user_sets("--contimeout"):
        words.append(encoded(f"--contimeout={target.connect_seconds}"))
    if target.rsync.port:
        words.append(encoded(f"--port={target.rsync.port}"))
    if target.rsync.password_file:
        words.append(b"--password-file=" + target.rsync.password_file)
    return words
