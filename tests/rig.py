"""What the end-to-end tests stand on: real rsync daemons, the agent as a process, and a merciless comparison of trees.

Nothing here is a double. A test writes files, and the rig tells whether they arrived, by the bytes on the disk. Only
the standard library is used, so that `scripts/demo` can drive the same machinery.
"""

import fcntl
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Set, Tuple, Union

__all__ = [
    "HOSTILE_NAMES",
    "LOOPBACK",
    "Agent",
    "Daemon",
    "Relay",
    "SilentListener",
    "confxml",
    "differences",
    "free_port",
    "wait_equal",
    "wait_for",
]

LOOPBACK = "127.0.0.1"
Text = Union[str, bytes]
Remotes = Sequence[Tuple[str, str]]

HOSTILE_NAMES = (
    b"new\nline",
    b"\nfirst",
    b"it's",
    b'say "hi"',
    b"`touch owned`",
    b"$(touch owned)",
    b"$HOME",
    b"*",
    b"**",
    b"star*x",
    b"[a]",
    b"a[1]",
    b"?",
    b"what?",
    b"-dash",
    b"--delete",
    b"-e sh",
    b"#hash",
    b";semicolon",
    b":",
    b"a:b",
    b"a::b",
    b"host:x",
    b"trailing ",
    b" leading",
    b" ",
    b"in the middle",
    b"back\\slash",
    b"\\#012",
    b"\\",
    b"\xff\xfe\x80",
    b"caf\xe9",
    "\u4e2d\u6587".encode("gbk"),
    "\u4e2d\u6587".encode(),
    b"n" * 255,
    ("\u957f" * 85).encode(),
    b"tab\there",
    b"\rreturn",
    b"\x1b[31mred",
    b"...",
    b"%s%n",
    b"{}",
    b"{a,b}",
    b"a&b",
    b"a|b",
    b"a>b",
    b"<a",
    b"wow!",
    b"~x",
    b"+ plus",
    b"- minus",
    b"a=b",
    b"@at",
    b"(",
    b"x,y",
)
"""Names that are legal on disk and that a shell, rsync, XML or a strict decoder would trip over.

Those that start with a dot are not pushed in real time unless `hiddenFiles` is on, as with sersync2.
"""


# ---- waiting ---------------------------------------------------------------------------------------------------------


def wait_for(condition: Callable[[], Any], seconds: float = 60, message: str = "the condition") -> Any:
    """Poll until the condition returns something true, and return that.

    A condition that raises AssertionError is not met yet, and its words are the reason given when the time is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        begun = time.monotonic()
        reason = ""
        try:
            value = condition()
            if value:
                return value
        except AssertionError as error:
            reason = f": {error}"
        now = time.monotonic()
        if now >= deadline:
            raise AssertionError(f"waited {seconds:g} s for {message}{reason}")
        time.sleep(max(0.02, min(0.5, now - begun)))  # a costly look shall not take the CPU from what it waits for


_claims = open(os.path.join(tempfile.gettempdir(), f"sersync-py-rig.{os.getuid()}"), "ab")  # noqa: SIM115
"""A byte a number: who tests holds a lock on those that it was given, for a port is not in use all the time."""
_given: Set[int] = set()


def _claim(numbers: range) -> int:
    """Return one of some numbers that nobody else who tests is given before this process ends."""
    while True:
        number = random.choice(numbers)
        if number in _given:
            continue
        try:
            fcntl.lockf(_claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError:
            continue
        _given.add(number)
        return number


def free_port() -> int:
    """Find a port nobody listens on, below those the kernel gives to clients, so that a restart finds it free too."""
    while True:
        port = _claim(range(10000, 32000))
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
        return port


def _answers(port: int, address: str = LOOPBACK) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


# ---- processes -------------------------------------------------------------------------------------------------------


class _Family:
    """A process and all that it starts, found again by group and by a mark in their environment.

    The mark also finds what has left the group, such as an agent that detached.
    """

    def __init__(self, command: Sequence[Text], output: str, env: Optional[Mapping[str, Optional[str]]] = None,
                 cwd: Optional[str] = None) -> None:
        self._mark = "RIG_FAMILY=" + uuid.uuid4().hex
        with open(output, "ab") as out:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, cwd=cwd,
                env=self._environment(env or {}), start_new_session=True)

    def _environment(self, changes: Mapping[str, Optional[str]]) -> Dict[str, str]:
        """Return our environment, changed; a value of None takes the variable out."""
        env = dict(os.environ)
        env.update([self._mark.split("=")])
        for name, value in changes.items():
            env.pop(name, None)
            if value is not None:
                env[name] = value
        return env

    def members(self) -> List[int]:
        """Return the ids of those that live; a zombie does not."""
        return [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and self._has(pid)]

    def _has(self, pid: str) -> bool:
        try:
            state, _, group = _stat(pid)[:3]
            if state in b"ZX":
                return False
            environment = Path("/proc", pid, "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            return False
        return int(group) == self.process.pid or self._mark.encode() in environment

    def signal(self, number: int) -> None:
        """Send a signal to everyone."""
        for pid in self.members():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def end(self) -> None:
        """See that nobody is left."""

        def nobody_left() -> bool:
            self.signal(signal.SIGKILL)
            return not self.members()

        wait_for(nobody_left, 30, f"the processes of {self.process.args} to end")
        self.process.wait(10)


def _stat(pid: object) -> List[bytes]:
    """Return what the kernel says of a process, from its state on. Raise OSError if it is gone."""
    return Path("/proc", str(pid), "stat").read_bytes().rpartition(b")")[2].split()


def _stands_still(pid: int) -> bool:
    """Say whether a process was stopped, or does nothing any more."""
    try:
        return _stat(pid)[0] in (b"T", b"Z", b"X")
    except OSError:
        return True


def _text(file: str) -> str:
    """Return what a log says; nothing if it is not there."""
    try:
        return Path(file).read_text(encoding="utf-8", errors="backslashreplace")
    except FileNotFoundError:
        return ""


# ---- the receiving end -----------------------------------------------------------------------------------------------


class Host:
    """A host of its own on this machine: a network namespace behind a link, with an address that is not the loopback's.

    Only for root, with ip and nft; `possible` says whether there can be one.
    """

    def __init__(self) -> None:
        number = _claim(range(1 << 16, (1 << 16) + (1 << 14))) - (1 << 16)
        self.name = f"rig{number:04x}"
        network = f"198.18.{number >> 6}.{(number & 63) * 4}".rsplit(".", 1)
        self._ours, self.address = (f"{network[0]}.{int(network[1]) + last}" for last in (1, 2))

    @staticmethod
    def possible() -> bool:
        """Say whether this user on this machine can make one."""
        if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("nft"):
            return False
        name = f"rigtry{os.getpid()}"
        made = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.DEVNULL).returncode == 0
        return made and subprocess.run(["ip", "netns", "del", name]).returncode == 0

    def command(self, *words: Text) -> List[Text]:
        """Return a command that runs there."""
        return ["ip", "netns", "exec", self.name, *words]

    def link(self, other: "Host") -> None:
        """Lay a line to another host, so that the two reach each other."""
        away, back = "to" + other.name, "to" + self.name
        for host, words in (
            (self, ["link", "add", away, "type", "veth", "peer", "name", back, "netns", other.name]),
            (self, ["link", "set", away, "up"]),
            (other, ["link", "set", back, "up"]),
            (self, ["route", "add", other.address, "dev", away]),
            (other, ["route", "add", self.address, "dev", back]),
        ):
            subprocess.run(["ip", "-n", host.name, *words], check=True)

    def go_dark(self) -> None:
        """Drop every packet from now on, without a word to anybody."""
        rules = "add table inet dark; add chain inet dark in { type filter hook input priority 0; policy drop; }"
        subprocess.run([*self.command("nft"), rules], check=True)

    def come_back(self) -> None:
        """Drop nothing any more."""
        subprocess.run([*self.command("nft"), "delete table inet dark"], check=True)

    def __enter__(self) -> "Host":
        for words in (
            ["ip", "netns", "add", self.name],
            ["ip", "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", self.name],
            ["ip", "addr", "add", self._ours + "/30", "dev", self.name],
            ["ip", "link", "set", self.name, "up"],
            ["ip", "-n", self.name, "addr", "add", self.address + "/30", "dev", "eth0"],
            ["ip", "-n", self.name, "link", "set", "eth0", "up"],
            ["ip", "-n", self.name, "link", "set", "lo", "up"],
        ):
            subprocess.run(words, check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["ip", "link", "del", self.name])
        subprocess.run(["ip", "netns", "del", self.name], check=True)


class Daemon:
    """A real `rsync --daemon` with a free port, on the loopback or on a host; its modules are folders of ours."""

    def __init__(self, folder: str, modules: Mapping[str, bytes], users: Optional[Mapping[str, str]] = None,
                 read_only: bool = False, max_connections: int = 0, extra_global: str = "", extra_module: str = "",
                 rsync: str = "rsync", host: Optional[Host] = None) -> None:
        os.makedirs(folder, exist_ok=True)
        self.address = LOOPBACK if host is None else host.address
        self._host = host
        self.modules = dict(modules)
        self.users = dict(users or {})
        self.read_only = read_only
        self.max_connections = max_connections
        self.extra_global = extra_global
        self.extra_module = extra_module
        self.port = free_port()
        self.log_file = os.path.join(folder, "rsyncd.log")
        self._rsync = rsync
        self._folder = folder
        self._family: Optional[_Family] = None

    @property
    def remotes(self) -> List[Tuple[str, str]]:
        """The modules as `confxml` wants its remotes."""
        return [(self.address, name) for name in self.modules]

    @property
    def mirrors(self) -> List[bytes]:
        """The folders of the modules, in their order."""
        return list(self.modules.values())

    def url(self, module: str) -> str:
        """Return the address that a plain rsync takes."""
        return f"rsync://{self.address}:{self.port}/{module}/"

    def start(self) -> "Daemon":
        """Write the config anew, start, and come back when the port answers."""
        assert self._family is None, "the daemon runs already"
        config = os.path.join(self._folder, "rsyncd.conf")
        with open(config, "wb") as file:
            file.write(self._config())
        output = os.path.join(self._folder, "rsyncd.out")
        command: List[Text] = [self._rsync, "--daemon", "--no-detach", "--config=" + config]
        self._family = _Family(command if self._host is None else self._host.command(*command), output)
        wait_for(lambda: self._up(output), 30, f"the rsync daemon on port {self.port}")
        return self

    def _up(self, output: str) -> bool:
        assert self._family is not None
        if self._family.process.poll() is not None:
            self._family = None
            raise RuntimeError(f"the rsync daemon ended: {_text(output)}{self.log()}")
        return _answers(self.port, self.address)

    def _config(self) -> bytes:
        lines = ["address = " + self.address, f"port = {self.port}", "use chroot = no",
                 "munge symlinks = no", "reverse lookup = no", "log file = " + self.log_file,
                 f"uid = {os.getuid()}", f"gid = {os.getgid()}",
                 "read only = {}".format("yes" if self.read_only else "no")]
        if self.max_connections:
            lines += [f"max connections = {self.max_connections}",
                      "lock file = " + os.path.join(self._folder, "rsyncd.lock")]
        lines += [self._auth(), self.extra_global]
        config = "\n".join(lines).encode()
        for name, folder in self.modules.items():
            os.makedirs(folder, exist_ok=True)
            config += b"\n[%s]\npath = %s\n%s\n" % (name.encode(), folder, self.extra_module.encode())
        return config

    def _auth(self) -> str:
        if not self.users:
            return ""
        secrets = os.path.join(self._folder, "rsyncd.secrets")
        with open(os.open(secrets, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.writelines("{}:{}\n".format(*item) for item in self.users.items())
        return "auth users = {}\nsecrets file = {}".format(", ".join(self.users), secrets)

    def stop(self) -> None:
        """End the daemon and the sessions it serves; start() brings it back on the same port."""
        self._halt(signal.SIGTERM)

    def kill(self) -> None:
        """Let the daemon and its sessions die without a last word."""
        self._halt(signal.SIGKILL)

    def _halt(self, number: int) -> None:
        if self._family is not None:
            self._family.signal(number)
            self._family.signal(signal.SIGCONT)  # a frozen one would not hear
            self._family.process.wait(10)
            self._family.end()
            self._family = None

    def restart(self) -> None:
        """Stop and start on the same port."""
        self.stop()
        self.start()

    def freeze(self) -> None:
        """Let it and its sessions stand still: the port still accepts, nothing answers."""
        family = self._family
        assert family is not None

        def stands_still() -> bool:
            # with what it has begun to serve meanwhile
            family.signal(signal.SIGSTOP)
            return all(map(_stands_still, family.members()))

        wait_for(stands_still, 20, "the rsync daemon to stand still")

    def thaw(self) -> None:
        """Let it go on after freeze()."""
        assert self._family is not None
        self._family.signal(signal.SIGCONT)

    def log(self) -> str:
        """Return what the daemon logged, over all its lives."""
        return _text(self.log_file)

    def sessions(self) -> int:
        """Return how many clients have begun a transfer so far; a mere connection is none."""
        return sum(" rsync to " in line or " rsync on " in line for line in self.log().splitlines())

    def connections(self) -> int:
        """Return how many connections there have been so far, probes of the port and warm sessions included."""
        return sum(" connect from " in line for line in self.log().splitlines())

    def __enter__(self) -> "Daemon":
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()


# ---- the sending end -------------------------------------------------------------------------------------------------

INOTIFY = ("delete", "createFolder", "createFile", "closeWrite", "moveFrom", "moveTo", "attrib", "modify",
           "hiddenFiles")


def _attribute(value: object) -> bytes:
    """Return a value as it stands between double quotes in XML."""
    data = value if isinstance(value, bytes) else str(value).encode()
    for char, entity in ((b"&", b"&amp;"), (b"<", b"&lt;"), (b'"', b"&quot;"), (b"\n", b"&#10;"), (b"\t", b"&#9;")):
        data = data.replace(char, entity)
    return data


def _element(tag: str, children: Iterable[bytes] = (), **attributes: object) -> bytes:
    """Return an element; attributes of None are left out, truth values are said as sersync2 says them."""
    head = tag.encode()
    for key, value in attributes.items():
        if value is not None:
            said = str(value).lower() if isinstance(value, bool) else value
            head += b' %s="%s"' % (key.encode(), _attribute(said))
    body = b"".join(children)
    return b"<%s>\n%s</%s>\n" % (head, body, tag.encode()) if body else b"<%s/>\n" % head


def _rsync(params: str, user: Optional[str], password_file: Optional[Text], port: Optional[int],
           timeout: Optional[int], ssh: bool, warm: Optional[int]) -> bytes:
    return _element("rsync", [
        _element("commonParams", params=params),
        _element("auth", start=user is not None, users=user or "", passwordfile=password_file or ""),
        _element("userDefinedPort", start=port is not None, port=port or 874),
        _element("timeout", start=timeout is not None, time=timeout or 100),
        _element("ssh", start=ssh),
        _element("warm", start=warm is None or warm > 0, idle=warm or None),
    ])


def _excludes(name: str, patterns: Sequence[str]) -> bytes:
    return _element(name, [_element("exclude", expression=each) for each in patterns], start=bool(patterns))


def _localpath(watch: Text, remotes: Remotes) -> bytes:
    return _element("localpath", [_element("remote", ip=ip, name=name) for ip, name in remotes], watch=watch)


def confxml(watch: Text, remotes: Remotes, *, params: str = "-artuz", user: Optional[str] = None,
            password_file: Optional[Text] = None, port: Optional[int] = None, timeout: Optional[int] = None,
            ssh: bool = False, warm: Optional[int] = None, excludes: Sequence[str] = (), crontab: Optional[int] = None,
            crontab_excludes: Sequence[str] = (), fail_log: Text = "/tmp/rsync_fail_log.sh", fail_minutes: float = 60,
            plugin: Optional[str] = None, page: Optional[int] = None, debug: bool = False, xfs: bool = False,
            more: Sequence[Tuple[Text, Remotes]] = (), extra: bytes = b"", **inotify: bool) -> bytes:
    """Return a confxml.xml in sersync2's shape.

    `remotes` are pairs of ip and name; `more` are further localpaths; `crontab` is in minutes, `warm` in seconds,
    0 for none; `extra` is XML at the end of `head`, for plugins. What INOTIFY names is switched with true and
    false, and left out when not given.
    """
    strange = set(inotify) - set(INOTIFY)
    if strange:
        raise TypeError("no such option: {}".format(", ".join(sorted(strange))))
    sersync = [_localpath(watch, remotes)]
    sersync += [_localpath(*each) for each in more]
    sersync += [_rsync(params, user, password_file, port, timeout, ssh, warm),
                _element("failLog", path=fail_log, timeToExecute=fail_minutes),
                _element("crontab", [_excludes("crontabfilter", crontab_excludes)], start=crontab is not None,
                         schedule=crontab or 600),
                _element("plugin", start=plugin is not None, name=plugin or "command")]
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + _element("head", [
        _element("host", hostip="localhost", port=page or 8008, status=None if page is None else True),
        _element("debug", start=debug),
        _element("fileSystem", xfs=xfs),
        _excludes("filter", excludes),
        _element("inotify", [_element(kind, start=inotify[kind]) for kind in INOTIFY if kind in inotify]),
        _element("sersync", sersync),
        extra,
    ], version="2.5")


class Agent:
    """The agent as a process of its own, in the foreground, with all its files in one folder.

    `to` is a Daemon (all its modules, its port), or pairs of ip and name; options are those of `confxml`. What the
    tests import is what runs, so a wheel is tested when a wheel is installed.
    """

    def __init__(self, folder: str, watch: bytes, to: Union[Daemon, Remotes], *arguments: str,
                 python: str = sys.executable, env: Optional[Mapping[str, Optional[str]]] = None,
                 host: Optional[Host] = None, **options: Any) -> None:
        os.makedirs(folder, exist_ok=True)
        self.folder = folder
        self._host = host
        self.watch = watch
        self.arguments = arguments
        self.python = python
        self.env = dict(env or {})
        self.prelude = ""
        """Python to be run in the agent's process before it starts, for what no option or signal can bring about."""
        self.config_file = os.path.join(folder, "confxml.xml")
        self.state_dir = os.path.join(folder, "state")
        self.log_file = os.path.join(folder, "agent.log")
        self.pid_file = os.path.join(folder, "agent.pid")
        self.output_file = os.path.join(folder, "agent.out")
        self.fail_log = os.path.join(folder, "rsync_fail_log.sh")
        self._family: Optional[_Family] = None
        self.configure(to, **options)

    def configure(self, to: Union[Daemon, Remotes], **options: Any) -> None:
        """Write the confxml.xml anew; a running agent reads it on SIGHUP."""
        remotes = to
        if isinstance(to, Daemon):
            remotes = to.remotes
            options.setdefault("port", to.port)
        options.setdefault("fail_log", self.fail_log)
        options.setdefault("timeout", None)
        with open(self.config_file, "wb") as file:
            file.write(confxml(self.watch, remotes, **options))

    def command(self, *arguments: str) -> List[str]:
        """Return the command line, with arguments beyond the usual ones."""
        files = ["-o", self.config_file, "--state-dir", self.state_dir, "--log-file", self.log_file,
                 "--pid-file", self.pid_file]
        start = self.prelude + "\nimport runpy; runpy.run_module('sersync_py', run_name='__main__')"
        program = ["-c", start] if self.prelude else ["-m", "sersync_py"]
        return [self.python, *program, *files, *self.arguments, *arguments]

    def environment(self) -> Dict[str, Optional[str]]:
        """Return the changes to the environment that let the agent import what the tests import."""
        found = find_spec("sersync_py")
        assert found is not None, "sersync_py cannot be imported"
        assert found.origin is not None
        changes: Dict[str, Optional[str]] = {"PYTHONPATH": os.path.dirname(os.path.dirname(found.origin))}
        changes.update(self.env)
        return changes

    def start(self, *arguments: str, watching: Optional[int] = None) -> "Agent":
        """Start, and come back when it watches as many folders as `watching` says: all by default, 0 to not wait."""
        assert self._family is None or not self.running(), "the agent runs already"
        if self._family is not None:
            self._family.end()
        command: Sequence[Text] = self.command(*arguments)
        if self._host is not None:
            command = self._host.command(*command)
        self._family = _Family(command, self.output_file, self.environment(), cwd=self.folder)
        wanted = sum(1 for _ in os.walk(self.watch)) if watching is None else watching
        wait_for(lambda: self._watches(wanted), 60, f"the agent to watch {wanted} folders")
        return self

    def _watches(self, wanted: int) -> bool:
        if wanted and not self.running():
            raise RuntimeError(f"the agent ended with {self.process.returncode}:\n{self.report()}")
        return not wanted or self.watches() >= wanted

    def watches(self) -> int:
        """Return how many inotify watches the process holds, as the kernel counts them."""
        folder = f"/proc/{self.process.pid}/fdinfo"
        lines: List[str] = []
        try:
            for name in os.listdir(folder):
                lines += _text(os.path.join(folder, name)).splitlines()
        except OSError:  # it is ending
            return 0
        return sum(line.startswith("inotify wd:") for line in lines)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process that was started last."""
        assert self._family is not None, "the agent was never started"
        return self._family.process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def running(self) -> bool:
        """Say whether the process lives."""
        return self.process.poll() is None

    def processes(self) -> List[int]:
        """Return the ids of the agent and of all it started that live."""
        return self._family.members() if self._family is not None else []

    def signal(self, number: int) -> None:
        """Send it a signal; come back from a SIGSTOP when it stands still, for until then it may see and do more."""
        self.process.send_signal(number)
        if number == signal.SIGSTOP:
            wait_for(lambda: _stands_still(self.pid), 20, "the agent to stand still")

    def stop(self, seconds: float = 20) -> None:
        """Ask it to end, and expect that it does so with exit 0."""
        self.signal(signal.SIGTERM)
        assert self.wait(seconds) == 0, f"the agent ended with {self.process.returncode}:\n{self.report()}"

    def wait(self, seconds: float = 20) -> int:
        """Wait for its end; return its exit code."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the agent still runs after {seconds:g} s:\n{self.report()}") from None

    def kill(self) -> None:
        """Let it die as in a crash; the rsync sessions it had started are not touched."""
        self.process.kill()
        self.process.wait(10)

    def end(self) -> None:
        """See that neither it nor anything it started is left."""
        if self._family is not None:
            self._family.end()

    def log(self) -> str:
        """Return its log."""
        return _text(self.log_file)

    def output(self) -> str:
        """Return what it wrote to stdout and stderr."""
        return _text(self.output_file)

    def marks(self) -> List[float]:
        """Return the moments of the marks it has saved, in seconds of the wall clock, the youngest last."""
        texts = [_text(os.path.join(self.state_dir, name)) for name in os.listdir(self.state_dir)
                 if name.endswith(".mark")]
        return sorted(json.loads(text)["since_ns"] / 1e9 for text in texts)

    def report(self) -> str:
        """Return all it said, for a person who asks why a test failed."""
        return f"{self.output()}{self.log()}"

    def __enter__(self) -> "Agent":
        if self._family is None:
            self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


# ---- comparing -------------------------------------------------------------------------------------------------------

Found = Dict[bytes, os.stat_result]


def _tree(root: bytes, ignore: Callable[[bytes], bool]) -> Found:
    """Return what stands below a folder, itself excluded, by path relative to it; never through a symlink."""
    found: Found = {}
    waiting = [b""]
    while waiting:
        folder = waiting.pop()
        try:
            names = os.listdir(os.path.join(root, folder))
        except (FileNotFoundError, NotADirectoryError):  # gone while we look; its own entry will tell
            continue
        for path in (os.path.join(folder, name) for name in names):
            if ignore(path):
                continue
            try:
                found[path] = os.lstat(os.path.join(root, path))
            except (FileNotFoundError, NotADirectoryError):
                continue
            if stat.S_ISDIR(found[path].st_mode):
                waiting.append(path)
    return found


def differences(source: bytes, mirror: bytes, *, times: bool = True, folder_times: bool = False, owners: bool = False,
                content: bool = True, ignore: Callable[[bytes], bool] = lambda path: False) -> List[str]:
    """Return a sentence for each difference between two trees, sorted by path; none if they are equal.

    Compared are names, types, modes, content, symlink targets and the mtimes of files to the nanosecond. `ignore` takes
    a path relative to either tree; a folder it ignores is not entered.
    """
    left, right = _tree(source, ignore), _tree(mirror, ignore)
    found: List[str] = []
    for path in sorted(set(left) | set(right)):
        if path not in right:
            found.append(f"{path!r} is missing in {mirror!r}")
        elif path not in left:
            found.append(f"{path!r} is too much in {mirror!r}")
        else:
            wanted = folder_times if stat.S_ISDIR(left[path].st_mode) else times
            found += [f"{path!r}: {reason}" for reason in _unlike(left[path], right[path], wanted, owners)]
            if content and stat.S_IFMT(left[path].st_mode) == stat.S_IFMT(right[path].st_mode):
                found += [f"{path!r}: {reason}" for reason in _other_content(
                    os.path.join(source, path), os.path.join(mirror, path), left[path].st_mode)]
    return found


def _unlike(left: os.stat_result, right: os.stat_result, times: bool, owners: bool) -> Iterator[str]:
    """Compare what stat says; the type alone counts for symlinks, fifos, sockets and devices."""
    if stat.S_IFMT(left.st_mode) != stat.S_IFMT(right.st_mode):
        yield f"type {stat.filemode(left.st_mode)} became {stat.filemode(right.st_mode)}"
        return
    if owners and (left.st_uid, left.st_gid) != (right.st_uid, right.st_gid):
        yield f"owner {left.st_uid}:{left.st_gid} became {right.st_uid}:{right.st_gid}"
    if not (stat.S_ISREG(left.st_mode) or stat.S_ISDIR(left.st_mode)):
        return
    if stat.S_IMODE(left.st_mode) != stat.S_IMODE(right.st_mode):
        yield f"mode {stat.S_IMODE(left.st_mode):o} became {stat.S_IMODE(right.st_mode):o}"
    if stat.S_ISREG(left.st_mode) and left.st_size != right.st_size:
        yield f"size {left.st_size} became {right.st_size}"
    if times and left.st_mtime_ns != right.st_mtime_ns:
        yield f"mtime {left.st_mtime_ns} became {right.st_mtime_ns}"


def _other_content(left: bytes, right: bytes, mode: int) -> Iterator[str]:
    try:
        if stat.S_ISLNK(mode) and os.readlink(left) != os.readlink(right):
            yield f"symlink to {os.readlink(left)!r} became one to {os.readlink(right)!r}"
        if stat.S_ISREG(mode) and not _same_bytes(left, right):
            yield "content differs"
    except OSError as error:
        yield f"changed while it was compared ({error})"


def _same_bytes(left: bytes, right: bytes) -> bool:
    with open(left, "rb") as one, open(right, "rb") as two:
        while True:
            chunk = one.read(1 << 20)
            if chunk != two.read(1 << 20):
                return False
            if not chunk:
                return True


def wait_equal(source: bytes, mirrors: Union[bytes, Sequence[bytes]], seconds: float = 60, **options: Any) -> None:
    """Wait until each mirror equals the source; `options` are those of `differences`."""

    def equal() -> bool:
        for mirror in [mirrors] if isinstance(mirrors, bytes) else mirrors:
            # content is read only once all else agrees, so that polling a large tree stays cheap
            found = (differences(source, mirror, **{**options, "content": False})
                     or differences(source, mirror, **options))
            assert not found, "{} differences:\n{}".format(len(found), "\n".join(found[:10]))
        return True

    wait_for(equal, seconds, "equal trees")


# ---- bad networks ----------------------------------------------------------------------------------------------------


class _Listener:
    """Accepts on a loopback port in a thread and counts; what becomes of a connection is for the subclass to say."""

    def __init__(self, port: Optional[int] = None, address: str = LOOPBACK) -> None:
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind((address, port or free_port()))
        self._server.listen(50)
        self.port = int(self._server.getsockname()[1])
        self.connections = 0
        self._lock = threading.Lock()
        self._open: List[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:  # closed
                return
            self._keep(client)
            self.connections += 1
            self._take(client)

    def _take(self, client: socket.socket) -> None:
        """Do something with a new connection."""

    def _keep(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open += sockets

    def cut(self) -> None:
        """Break all connections; new ones are accepted again."""
        with self._lock:
            broken, self._open = self._open, []
        for each in broken:
            _shut(each)
            each.close()

    def close(self) -> None:
        """Refuse all connections from now on."""
        _shut(self._server)
        self._server.close()
        self._thread.join(10)
        self.cut()

    def __enter__(self) -> "Any":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _shut(connection: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    """Wake whoever waits on a socket, whatever state it is in."""
    try:
        connection.shutdown(how)
    except OSError:
        return


class SilentListener(_Listener):
    """Accepts, and never says a word."""


class Relay(_Listener):
    """Passes bytes on to a port, and can stall, cut and delay them; counts connections and bytes."""

    def __init__(self, target: int, port: Optional[int] = None, address: str = LOOPBACK) -> None:
        self.target = target
        self.delay = 0.0
        """Seconds that each chunk of bytes is held back, in both directions."""
        self.bytes_sent = 0
        """Bytes that went to the target so far."""
        self._flowing = threading.Event()
        self._flowing.set()
        super().__init__(port, address)

    def stall(self) -> None:
        """Let nothing through any more, while connections stay open and new ones are accepted."""
        self._flowing.clear()

    def resume(self) -> None:
        """Let through what was held back, and all that follows."""
        self._flowing.set()

    def close(self) -> None:
        """Refuse all connections from now on."""
        super().close()
        self._flowing.set()

    def _take(self, client: socket.socket) -> None:
        try:
            target = socket.create_connection((LOOPBACK, self.target), timeout=5)
        except OSError:  # the target is down; so are we
            _shut(client)
            return
        target.settimeout(None)
        self._keep(target)
        for pair in ((client, target), (target, client)):
            threading.Thread(target=self._pump, args=(*pair, pair[1] is target), daemon=True).start()

    def _pump(self, giver: socket.socket, taker: socket.socket, onwards: bool) -> None:
        try:
            chunk = giver.recv(65536)
            while chunk:
                time.sleep(self.delay)
                self._flowing.wait()
                taker.sendall(chunk)
                with self._lock:
                    self.bytes_sent += len(chunk) if onwards else 0
                chunk = giver.recv(65536)
        except OSError:  # cut, or the other side is gone
            pass
        _shut(taker, socket.SHUT_WR)
