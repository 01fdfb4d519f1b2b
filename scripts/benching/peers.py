"""The programs that are measured: how each is started on a rig, and when it is known to be ready."""
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import Callable, Iterator, List, NamedTuple, Tuple
from xml.sax.saxutils import quoteattr

from .processes import BenchError, clean_environment, cpu_seconds, running, tail
from .rig import Remote, Rig
from .trees import same_entry, write_file

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
READY_LIMIT = 30.0  # seconds from a peer's start until its first file must have arrived
PROBE_EVERY = 2.0  # seconds after which an unseen probe is written again: the first may have been too early
PROBE_PAUSE = 0.01
WARM = 30  # seconds for which a session of sersync-py waits for the next change; its default
SETTLE = 0.5  # seconds between the probe's arrival and the workload
ONE_SHOT, SERSYNC_PY, LSYNCD = "one-shot", "sersync-py", "lsyncd"
OUTPUT, AGENT_LOG, LSYNCD_LOG = "peer.out", "agent.log", "lsyncd.log"


class Peer(NamedTuple):
    """One program: `missing` says why it cannot run here (or ""), `argv` writes its config and returns its call.

    The last argument of `argv` is for how many seconds after a push a session may wait for the next, if it has such.
    """

    name: str
    missing: Callable[[], str]
    argv: Callable[[Rig, List[Remote], int], List[str]]
    python_path: str = ""


# attrib is on for every peer: cp -a sets a folder's mode after its content, and equality includes modes
CONFIG = """<?xml version="1.0" encoding="UTF-8"?>
<head version="2.5">
  <host hostip="localhost" port="8008"/>
  <debug start="false"/>
  <fileSystem xfs="false"/>
  <filter start="false"/>
  <inotify>
    <delete start="true"/><createFolder start="true"/><createFile start="false"/><closeWrite start="true"/>
    <moveFrom start="true"/><moveTo start="true"/><attrib start="true"/><modify start="false"/>
  </inotify>
  <sersync>
    <localpath watch={source}>
{remotes}
    </localpath>
    <rsync>
      <commonParams params="-artuz"/>
      <auth start="false" users="root" passwordfile="/etc/rsync.pas"/>
      <userDefinedPort start="true" port="{port}"/>
      <timeout start="false" time="100"/>
      <ssh start="false"/>
      <warm start="true" idle="{warm}"/>
    </rsync>
    <failLog path={fail_log} timeToExecute="60"/>
    <crontab start="false" schedule="600"/>
    <plugin start="false" name="command"/>
  </sersync>
</head>
"""


def _sersync_py(python: str) -> Peer:
    """The agent of this repository under the interpreter `python`."""

    def missing() -> str:
        answer = subprocess.run([python, "-m", "sersync_py", "-h"], cwd="/", stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=clean_environment(REPOSITORY))
        words = answer.stdout.decode("utf-8", "replace").strip().splitlines() or [""]
        return f"{python} -m sersync_py does not start: {words[-1]}" if answer.returncode else ""

    def argv(rig: Rig, remotes: List[Remote], warm: int) -> List[str]:
        conf = os.path.join(rig.scratch, "confxml.xml")
        rows = [f"      <remote ip={quoteattr(one.host)} name={quoteattr(one.module)}/>" for one in remotes]
        with open(conf, "w") as handle:
            handle.write(CONFIG.format(source=quoteattr(rig.source), remotes="\n".join(rows), warm=warm,
                                       port=remotes[0].port, fail_log=quoteattr(rig.scratch + "/rsync_fail_log.sh")))
        return [python, "-m", "sersync_py", "-r", "-o", conf, "--state-dir", os.path.join(rig.scratch, "state"),
                "--log-file", os.path.join(rig.scratch, AGENT_LOG), "--pid-file", os.path.join(rig.scratch, "pid")]

    return Peer(SERSYNC_PY, missing, argv, REPOSITORY)


def _needs(program: str, package: str) -> Callable[[], str]:
    """A `missing` for a program that comes in a Debian package."""
    return lambda: "" if shutil.which(program) else f"{program} is not here: apt install {package}"


def _lsyncd() -> Peer:
    """The lsyncd that Debian ships: delay 1, the same rsync options as the others, all else at its defaults."""

    def argv(rig: Rig, remotes: List[Remote], _warm: int) -> List[str]:
        conf = os.path.join(rig.scratch, "lsyncd.lua")
        log = os.path.join(rig.scratch, LSYNCD_LOG)
        text = f'settings {{ nodaemon = true, logfile = "{log}" }}\n'
        for one in remotes:
            text += (f'sync {{ default.rsync, source = "{rig.source}", target = "{one.url}", delay = 1,\n'
                     "       rsync = { archive = true, update = true, compress = true } }\n")
        with open(conf, "w") as handle:
            handle.write(text)
        return ["lsyncd", conf]

    return Peer(LSYNCD, _needs("lsyncd", "lsyncd"), argv)


def _loop() -> Peer:
    """The classic: inotifywait and one rsync an event; it knows one remote."""

    def argv(_rig: Rig, remotes: List[Remote], _warm: int) -> List[str]:
        return [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "loop.py"), remotes[0].url]

    return Peer("loop", _needs("inotifywait", "inotify-tools"), argv)


def all_peers(python: str) -> List[Peer]:
    """Every peer that stays running, in the table's order."""
    return [_sersync_py(python), _lsyncd(), _loop()]


class Running(NamedTuple):
    """A started peer: `alive()` until its process ends, `cpu()` the seconds of processor time that it and what it
    started have used, `logs` its log files, `ready` whether its probe arrived, `pid` its process.
    """

    alive: Callable[[], bool]
    cpu: Callable[[], float]
    logs: Tuple[str, ...]
    ready: bool
    pid: int

    def last_words(self) -> str:
        """The ends of its logs on one line."""
        return " ".join(filter(None, map(tail, self.logs)))

    def check(self) -> None:
        """BenchError if the peer's process has ended."""
        if not self.alive():
            raise BenchError("ended by itself: " + self.last_words())


@contextmanager
def launched(peer: Peer, rig: Rig, remotes: List[Remote], warm: int = WARM) -> Iterator[Running]:
    """The peer on the rig's source, just started, as long as the block runs."""
    logs = tuple(os.path.join(rig.scratch, name) for name in (OUTPUT, AGENT_LOG, LSYNCD_LOG))
    argv = peer.argv(rig, remotes, warm)
    with running(argv, rig.source, logs[0], clean_environment(peer.python_path)) as process:
        yield Running(lambda: process.poll() is None, lambda: cpu_seconds(process), logs, False, process.pid)


@contextmanager
def started(peer: Peer, rig: Rig, remotes: List[Remote], must_be_ready: bool = True,
            warm: int = WARM) -> Iterator[Running]:
    """The peer on the rig's source, ready, as long as the block runs. The probe file stays in both trees."""
    with launched(peer, rig, remotes, warm) as run:
        run = run._replace(ready=_probe(rig, run.alive))
        if must_be_ready and not run.ready:
            raise BenchError(f"not ready in {READY_LIMIT:.0f} s: {run.last_words()}")
        time.sleep(SETTLE)
        yield run


def _probe(rig: Rig, alive: Callable[[], bool]) -> bool:
    """Write a probe file until it is at the mirror: whether that was so in READY_LIMIT seconds."""
    here, there = os.path.join(rig.source, "probe"), os.path.join(rig.one, "probe")
    deadline, again, number = time.monotonic() + READY_LIMIT, 0.0, 0
    while time.monotonic() < deadline:
        if not alive():
            return False
        if time.monotonic() >= again:
            number += 1
            write_file(here, b"x" * number)  # another size each time: rsync looks at size and whole seconds
            again = time.monotonic() + PROBE_EVERY
        time.sleep(PROBE_PAUSE)
        if os.path.exists(there) and same_entry(here, there):
            return True
    return False


def one_shot(rig: Rig, module: str = "two", delete: bool = False) -> List[str]:
    """The single rsync of the whole source (the working folder) that is the limit for everybody."""
    return ["rsync", "-artuz"] + (["--delete"] if delete else []) + ["./", rig.remote(module).url]
