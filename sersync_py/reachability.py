"""What follows from a rehearsed push to a remote: how it ended in, findings out. Pure; `doctor` rehearses."""

import re
import shlex
from typing import Iterator, Match, NamedTuple, Optional, Tuple

from sersync_py.findings import FAULT, IN_ORDER, WARNING, Finding
from sersync_py.language import heard, said
from sersync_py.legible import shown, shown_path
from sersync_py.outcomes import DONE, Outcome, protocol
from sersync_py.target import Target

__all__ = ["Rehearsed", "SILENT", "reachability"]

SILENT = "no answer"
"""The message of a session that was ended because it took too long."""


class Rehearsed(NamedTuple):
    """A push that was tried without changing anything."""

    target: Target
    """As it had to be spoken to in the end."""
    outcome: Outcome
    seconds: float
    """The time that it was given."""
    names_user: bool = False
    """True: the password file begins with the user and a colon, as the daemon's secrets do."""


class _Remote(NamedTuple):
    """The words that sentences are made of."""

    name: str
    host: str
    port: int
    module: str
    folder: str
    """What is behind the module, or with ssh all of the path."""
    ssh: bool


def _remote(target: Target) -> _Remote:
    ssh = target.rsync.ssh
    module, _, folder = target.remote.name.partition("/")
    return _Remote(
        name=shown(target.destination().decode("utf-8", "surrogateescape"), 4096), host=shown(target.remote.host),
        port=target.rsync.port or (22 if ssh else 873), module="" if ssh else shown(module),
        folder=shown(target.remote.name if ssh else folder), ssh=ssh,
    )


def reachability(tried: Rehearsed) -> Iterator[Finding]:
    """Judge a rehearsed push: one finding about the remote, and others about what its rsync cannot do."""
    remote, outcome = _remote(tried.target), tried.outcome
    if outcome.verdict != DONE:
        yield _trouble(remote, tried)
        return
    release = _release(protocol(outcome.output))
    if release:
        yield Finding(IN_ORDER, said("{remote} takes pushes (rsync {release} there)", remote=remote.name,
                                     release=release))
    else:
        yield Finding(IN_ORDER, said("{remote} takes pushes", remote=remote.name))
    yield from _shortcomings(remote, tried.target)


def _release(number: Optional[int]) -> str:
    """Return which releases of rsync speak a protocol."""
    if number is None:
        return ""
    return {30: "3.0", 31: "3.1 - 3.3"}.get(number, said("3.4 or later") if number > 31 else said("before 3.0"))


def _shortcomings(remote: _Remote, target: Target) -> Iterator[Finding]:
    newer = said("A newer rsync on {host} mends it:", host=remote.host), ("yum update rsync",)
    if not target.nanoseconds:
        yield Finding(
            WARNING, said("the rsync of {remote} is older than 3.1.3", remote=remote.name),
            said("It knows the times of files to the second only, so changed files are compared by content."), *newer,
        )
    if not target.missing_args:
        yield Finding(
            WARNING, said("the rsync of {remote} cannot take deletions by name", remote=remote.name),
            said("They go as rules, which takes longer, and the commands of the fail log do not work by hand."), *newer,
        )


def _trouble(remote: _Remote, tried: Rehearsed) -> Finding:
    text = tried.outcome.message
    for judge in (_not_reached, _not_let_in, _not_taken, _not_by_ssh, _not_said_right):
        finding = judge(remote, tried, text)
        if finding is not None:
            return finding
    return _fault(
        said("{remote}: {reason}", remote=remote.name, reason=heard(shown(tried.outcome.why(), 300))),
        said("What a push by hand says may tell more:"), _by_hand(tried.target),
    )


def _fault(what: str, mend: str, *command: str) -> Finding:
    why = said("Nothing is sent there until that is mended; changes wait and are not lost.")
    return Finding(FAULT, what, why, mend, command)


def _by_hand(target: Target) -> str:
    words = ["rsync", "-n", "-d", "-v"]
    words += ["-e", f"ssh -p {target.rsync.port or 22}"] if target.rsync.ssh else [f"--port={target.rsync.port or 873}"]
    if target.rsync.password_file and not target.rsync.ssh:
        words.append("--password-file=" + shown_path(target.rsync.password_file))
    words += [shown_path(target.watch) + "/", shown_path(target.destination()) + "/"]
    return " ".join(shlex.quote(word) for word in words)


def _open_port(port: int) -> Tuple[str, str]:
    return f"firewall-cmd --permanent --add-port={port}/tcp", "firewall-cmd --reload"


def _not_reached(remote: _Remote, tried: Rehearsed, text: str) -> Optional[Finding]:
    """Judge whether a daemon was spoken to at all."""
    host, port = remote.host, remote.port
    if text == SILENT and not remote.ssh:
        return _fault(
            said("{host}: no answer on port {port} within {seconds} s", host=host, port=port,
                 seconds=f"{tried.seconds:.0f}"),
            said("See on {host} what listens there, and whether it hangs:", host=host), f"ss -lntp 'sport = :{port}'",
        )
    if text == SILENT:
        return _fault(
            said("{remote}: no answer by ssh within {seconds} s", remote=remote.name, seconds=f"{tried.seconds:.0f}"),
            said("See what it waits for:"), _by_hand(tried.target),
        )
    if re.search("Name or service not known|Temporary failure in name|No address associated|nodename nor", text):
        return _fault(said("{host}: this name has no address", host=host),
                      said("Mend the name in ip= of remote, or give it an address:"),
                      f"echo 'ADDRESS {host}' >> /etc/hosts")
    if tried.outcome.code == 35 or re.search("timed out|[Nn]o route to host|unreachable|Host is down", text):
        return _fault(said("{host}: cannot be reached on port {port}", host=host, port=port),
                      said("If the host is up, let the port through its firewall, on {host}:", host=host),
                      *_open_port(port))
    if "Connection refused" in text and remote.ssh:
        return _fault(said("{host}: nobody listens on port {port}", host=host, port=port),
                      said("Start sshd on {host}:", host=host), "systemctl enable --now sshd")
    if "Connection refused" in text:
        return _fault(said("{host}: nobody listens on port {port}", host=host, port=port),
                      said("Start the rsync daemon on {host} (its service is called rsync on Debian):", host=host),
                      "systemctl enable --now rsyncd")
    if "rather than greeting" in text or "did not see server greeting" in text:
        return _fault(said("{host}: what listens on port {port} is no rsync daemon", host=host, port=port),
                      said("Mend port= of userDefinedPort, or see on {host} what listens there:", host=host),
                      f"ss -lntp 'sport = :{port}'")
    return None


_NO_SUCH_FOLDER = 3
"""How rsync exits when it cannot go to the folder that it is to write to."""
_RSYNCD = "/etc/rsyncd.conf"


def _not_let_in(remote: _Remote, tried: Rehearsed, text: str) -> Optional[Finding]:
    """Judge what a daemon says before it looks at what it is sent."""
    name, host, module = remote.name, remote.host, remote.module
    if re.search("@ERROR: [Uu]nknown module", text):
        return _fault(said("{host}: the rsync daemon has no module [{module}]", host=host, module=module),
                      said("Mend name= of remote, or add the module to {file} on {host}:", file=_RSYNCD, host=host),
                      f"[{module}]", "path = /...", "read only = no")
    if "@ERROR: auth failed" in text or "auth failed on module" in text:
        return _login(remote, tried)
    if "@ERROR: access denied" in text:
        return _fault(said("{remote}: the daemon does not let this host in", remote=name),
                      said("Add its address to the module in {file} on {host}:", file=_RSYNCD, host=host),
                      "hosts allow = ADDRESS")
    if "@ERROR: max connections" in text:
        return Finding(
            WARNING, said("{remote}: the daemon has no connection free", remote=name),
            said("Changes wait until one is. Comparisons, big files and backlogs take connections of their own."),
            said("Allow more in {file} on {host}:", file=_RSYNCD, host=host), ("max connections = 50",),
        )
    if re.search("@ERROR: (chdir|chroot) failed", text):
        return _fault(said("{remote}: the folder of the module is not there, or may not be entered", remote=name),
                      said("Make what path= of [{module}] in {file} names, on {host}; with SELinux let rsync in, too:",
                           module=module, file=_RSYNCD, host=host),
                      "mkdir -p /...", "setsebool -P rsync_full_access=1")
    return None


def _login(remote: _Remote, tried: Rehearsed) -> Finding:
    rsync = tried.target.rsync
    if not rsync.user:
        return _fault(said("{remote}: the module wants a login, and the config has none", remote=remote.name),
                      said("Add it below rsync in the config:"),
                      '<auth start="true" users="USER" passwordfile="/etc/rsync.pas"/>')
    secret = shown_path(rsync.password_file or b"")
    if tried.names_user:
        return _fault(said("{remote}: the login as {user} fails", remote=remote.name, user=rsync.user),
                      said("{file} begins with {user}: but must hold the password alone:", file=secret,
                           user=rsync.user),
                      f"sed -i 's/^[^:]*://' {shlex.quote(secret)}")
    return _fault(
        said("{remote}: the login as {user} fails", remote=remote.name, user=rsync.user),
        said("On {host} the user must stand in auth users of the module, and in its secrets file with the password that"
             " {file} has here; that file must be of mode 600:", host=remote.host, file=secret),
        f"echo '{rsync.user}:PASSWORD' >> /etc/rsyncd.secrets", "chmod 600 /etc/rsyncd.secrets",
    )


def _not_taken(remote: _Remote, tried: Rehearsed, text: str) -> Optional[Finding]:
    """Judge what a receiver says that will not do what it is asked; its reason may be lost with the connection."""
    name, host = remote.name, remote.host
    is_unexplained = tried.outcome.code == _NO_SUCH_FOLDER and not re.search(r"failed: .*\(\d+\)", text)
    if "module is read only" in text:
        return _fault(said("{remote}: the module is read only", remote=name),
                      said("Write into [{module}] of {file} on {host}:", module=remote.module, file=_RSYNCD, host=host),
                      "read only = no")
    refused: Optional[Match[str]] = re.search(r"configured to refuse (\S+)", text)
    if refused:
        return _fault(said("{remote}: the daemon refuses {option}", remote=name, option=refused.group(1)),
                      said("Take it out of refuse options in {file} on {host}, or out of the config.", file=_RSYNCD,
                           host=host))
    if is_unexplained or re.search(r"(change_dir|mkdir).*No such file or directory", text):
        return _fault(said("{remote}: the folder above {folder} is not there", remote=name, folder=remote.folder),
                      said("Make it on {host}, in the folder of the module:", host=host) if not remote.ssh
                      else said("Make it on {host}:", host=host), f"mkdir -p {shlex.quote(remote.folder)}")
    if "Permission denied (13)" in text or "Operation not permitted" in text:
        return _fault(said("{remote}: the receiver may not enter or write its folder", remote=name),
                      said("Give the folder to the uid of the module, or have uid = root; with SELinux, on {host}:",
                           host=host), "setsebool -P rsync_full_access=1")
    if "No space left on device" in text or "quota exceeded" in text:
        return _fault(said("{host}: its disk is full", host=host), said("Make room on {host}:", host=host), "df -h")
    return None


def _not_by_ssh(remote: _Remote, tried: Rehearsed, text: str) -> Optional[Finding]:
    """Judge what ssh says."""
    if not remote.ssh:
        return None
    login = f"-p {remote.port} {remote.host}"
    if re.search("Host key verification failed|host key is known|HOST IDENTIFICATION HAS CHANGED", text):
        return _fault(said("{host}: its ssh key is not known here, or is another one than was known", host=remote.host),
                      said("Log in by hand once, as the user that sersync-py runs as:"), f"ssh {login}")
    if re.search(r"Permission denied \(|Too many authentication failures", text):
        return _fault(said("{host}: ssh does not let this user in", host=remote.host),
                      said("Bring this user's key there:"), f"ssh-copy-id {login}")
    if re.search("rsync: (command )?not found|rsync: No such file|subsystem request failed", text):
        return _fault(said("{host}: has no rsync", host=remote.host),
                      said("Install it on {host}:", host=remote.host), "yum install rsync")
    if "Failed to exec" in text or tried.outcome.code == 127:
        return _fault(said("the command of ssh cannot be run here: {reason}", reason=shown(text, 300)),
                      said("Install it, or mend -e in params:"), "yum install openssh-clients")
    return None


def _not_said_right(remote: _Remote, tried: Rehearsed, text: str) -> Optional[Finding]:
    """Judge params that rsync does not understand, here or there."""
    if tried.outcome.code not in (1, 4):
        return None
    reason = shown(text, 300)
    return _fault(said("{remote}: rsync does not take the params: {reason}", remote=remote.name, reason=reason),
                  said("Mend params= of commonParams, or update the older of the two rsyncs."))
