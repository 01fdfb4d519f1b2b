"""The command line: arguments, messages, exit codes. 0 fine, 1 our fault or the machine's, 2 the user's mistake."""

import argparse
import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import signal
import sys
from typing import IO, AnyStr, Callable, Iterable, List, NoReturn, Optional, TextIO

import daemon

from sersync_py import __version__
from sersync_py.agent import Agent, Options, fewest_open_files, most_open_files
from sersync_py.asking import NoAnswerError, NotRunningError, ask
from sersync_py.config import load
from sersync_py.doctor import Files, examine
from sersync_py.findings import sheet, verdict
from sersync_py.installed import NotUsableError, rsync_version
from sersync_py.language import ENGLISH, ZH, heard, said, spoken
from sersync_py.limits import raise_open_files
from sersync_py.logfile import LogFile, Stderr
from sersync_py.progress import AboveProgress
from sersync_py.settings import Config
from sersync_py.status import from_plain, problems
from sersync_py.systemd import JournalFormatter, is_journal
from sersync_py.table import table
from sersync_py.terminal import UnsaidError, complain, language, say, style, wrapped
from sersync_py.watcher import WatcherError, require_instances
from sersync_py.xmltext import ConfigError

__all__ = ["main"]

log = logging.getLogger(__name__)

PLUGINS = ("refreshCDN", "socket", "http", "command")
_ASK_SECONDS = 8
"""Less than the ten seconds that Nagios gives a check."""
_LEVELS = ("debug", "info", "warning", "error")


class _Formatter(argparse.HelpFormatter):
    """Writes the help in the parser's language; Chinese has no blanks to break lines at."""

    language = ENGLISH

    def add_usage(self, usage: Optional[str], actions: Iterable[argparse.Action],
                  groups: Iterable[argparse._MutuallyExclusiveGroup], prefix: Optional[str] = None) -> None:
        super().add_usage(usage, actions, groups, prefix or spoken(said("usage: "), self.language))

    def _get_help_string(self, action: argparse.Action) -> Optional[str]:
        return spoken(action.help, self.language) if action.help else action.help

    def _split_lines(self, text: str, width: int) -> List[str]:
        return wrapped(text, width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in wrapped(text, width - len(indent)))


class _ChineseFormatter(_Formatter):
    language = ZH


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in the language of the terminal."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        complain(said("{program}: error: {reason}", program=self.prog, reason=heard(message)))
        sys.exit(2)


def _parser(language: str = ENGLISH) -> argparse.ArgumentParser:
    """Return what reads the command line and explains it in a language."""
    about = said("Mirror folder trees to rsync modules the moment they change.")
    signals = said("Signals: TERM end after what is on its way, HUP read the config anew, USR1 compare the whole tree"
                   " now.")
    parser = _Parser(
        prog="sersync-py", description=spoken(about, language), epilog=spoken(signals, language),
        formatter_class=_ChineseFormatter if language == ZH else _Formatter, add_help=False,
    )
    add = parser.add_argument_group(spoken(said("options"), language)).add_argument
    add("-h", "--help", action="help", help=said("show this help and end"))
    add("-d", dest="daemon", action="store_true", help=said("run as a daemon"))
    add("-r", dest="whole_tree", action="store_true", help=said("push the whole tree to every remote at the start"))
    add("-n", dest="workers", type=_positive, default=10, metavar="N",
        help=said("sessions that may run beside the first one of each remote (default 10)"))
    add("-o", dest="config", default="confxml.xml", metavar="FILE", help=said("the config (default confxml.xml)"))
    add("-m", dest="plugin", choices=PLUGINS, metavar="NAME",
        help=said("run one plugin alone: {names}", names=", ".join(PLUGINS)))
    add("--check", action="store_true",
        help=said("say what is wrong with the config, this host and the remotes, and how to mend it; change nothing"))
    add("--status", action="store_true",
        help=said("ask the running agent how it is: exit 0 in step, 1 behind, 2 no answer"))
    add("--json", action="store_true", help=said("with --status: as JSON"))
    add("--dry-run", action="store_true",
        help=said("watch and print each change and rsync command; push nothing"))
    add("--log-file", metavar="FILE", help=said("default: the terminal; with -d a file (see --check)"))
    add("--log-level", choices=_LEVELS, help=said("default info; debug adds each event and command"))
    add("--pid-file", metavar="FILE", help=said("default: in the state folder"))
    add("--state-dir", metavar="DIR",
        help=said("default: /var/lib/sersync-py, or ~/.local/state/sersync-py if not root"))
    add("--version", action="version", version="sersync-py " + __version__, help=said("show the version and end"))
    return parser


def _positive(text: str) -> int:
    if not re.match(r"0*[1-9][0-9]{0,5}\Z", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 999999")
    return int(text)


class _LostError(Exception):
    """The folder that it was started in has been removed, so that a relative path leads nowhere."""


def _absolute(path: AnyStr) -> AnyStr:
    """Return a path as an absolute one. Raise _LostError."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError as error:
        raise _LostError from error


class _Places:
    """The files that the agent writes, absolute: a daemon leaves the folder that it was started in."""

    def __init__(self, arguments: argparse.Namespace, config_file: bytes) -> None:
        root = os.geteuid() == 0
        home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
        usual = "/var/lib/sersync-py" if root else os.path.join(home, "sersync-py")
        self.state = _absolute(arguments.state_dir or usual)
        # a plugin alone may run beside the agent that mirrors by the same config
        self.name = _readable(config_file) + (f"-{arguments.plugin}" if arguments.plugin else "")
        self.pid = _absolute(arguments.pid_file or os.path.join(self.state, self.name + ".pid"))
        self.log: Optional[str] = None
        if arguments.log_file:
            self.log = _absolute(arguments.log_file)
        elif arguments.daemon:
            self.log = "/var/log/sersync-py.log" if root else os.path.join(self.state, "sersync-py.log")

    def lock(self) -> str:
        return os.path.join(self.state, self.name + ".lock")

    def socket(self) -> str:
        return os.path.join(self.state, self.name + ".sock")


def _readable(config_file: bytes) -> str:
    """Return a file name of its own for each config, that a person recognizes."""
    real = os.path.realpath(config_file)
    stem = re.sub(rb"[^A-Za-z0-9._-]", b"_", os.path.basename(real)).decode("ascii")
    return f"{stem}-{hashlib.sha256(real).hexdigest()[:12]}"


def _fail(text: str, code: int) -> int:
    complain(said("sersync-py: {text}", text=text))
    return code


def main(argv: Optional[List[str]] = None) -> int:
    """Run the command line; return the exit code."""
    _open_standard_streams()
    try:
        return _main(argv)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except _LostError:
        return _last_words(said("the folder that this was started in is gone; change to one that is there"), 2)
    except BrokenPipeError:
        # who read what we said has gone
        _silence(sys.stdout)
        return 128 + signal.SIGPIPE
    except UnsaidError as error:
        _silence(sys.stdout)
        return _last_words(said("what is to be said cannot be written: {reason}", reason=heard(str(error))), 1)


def _silence(stream: TextIO) -> None:
    """Let a stream lead nowhere, for Python would try at exit to write what it could not."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _last_words(text: str, code: int) -> int:
    try:
        return _fail(text, code)
    except (BrokenPipeError, UnsaidError):
        _silence(sys.stderr)
        return code


def _open_standard_streams() -> None:
    """Give a process that was started with some of them closed (`>&-` in a boot script) streams that lead nowhere."""
    handle = os.open(os.devnull, os.O_RDWR)
    while handle <= 2:
        # the lowest number that is free is given out, until none of the first three is
        handle = os.open(os.devnull, os.O_RDWR)
    os.close(handle)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - it stays open


def _main(argv: Optional[List[str]]) -> int:
    arguments = _parser(language(sys.stdout)).parse_args(argv)
    if arguments.dry_run and arguments.daemon:
        return _fail(said("--dry-run says on the terminal what it would do, and -d leaves the terminal: give one of"
                          " them"), 2)
    if arguments.json and not arguments.status:
        return _fail(said("--json goes with --status"), 2)
    if arguments.status:
        return _status(arguments)
    try:
        config = load(_absolute(os.fsencode(arguments.config)), arguments.plugin)
    except ConfigError as error:
        for fault in error.faults:
            complain(fault.sentence())
        return 2
    if arguments.check:
        return _check(config, arguments)
    try:
        # a plugin alone mirrors nothing
        if not arguments.plugin:
            rsync_version()
    except NotUsableError as error:
        return _fail(error.why, 1)
    try:
        _require_of_machine(config, arguments.workers)
    except WatcherError as error:
        return _fail(error.why, 1)
    places = _Places(arguments, config.file)
    return _dry_run(config, arguments, places) if arguments.dry_run else _run(config, arguments, places)


def _require_of_machine(config: Config, workers: int) -> None:
    """Make sure of what is needed to watch, while somebody is there to be told. Raise WatcherError."""
    fewest = fewest_open_files(config)
    limit = raise_open_files(fewest)
    if limit < fewest:
        raise WatcherError(said(
            "no more than {limit} files may be open, and at least {fewest} are needed: run `ulimit -n {wanted}` first",
            limit=limit, fewest=fewest, wanted=most_open_files(config, workers),
        ))
    require_instances(len(config.mirrors))


def _status(arguments: argparse.Namespace) -> int:
    """Print how the running agent is; return 0 if all is in step, 1 if something is behind, 2 if nobody answers."""
    file = _absolute(os.fsencode(arguments.config))
    places = _Places(arguments, file)
    try:
        text = ask(places.socket(), _ASK_SECONDS).decode("utf-8")
        status = from_plain(json.loads(text))
    except NotRunningError:
        return _fail(said("not running for {config}", config=_text(file)), 2)
    except NoAnswerError:
        return _fail(said("running for {config} (pid {pid}), but there is no answer within {seconds} s: it is starting,"
                          " or it hangs", config=_text(file), pid=_holder(places.lock()), seconds=_ASK_SECONDS), 2)
    except OSError as error:
        return _fail(said("cannot ask {file}: {reason}", file=places.socket(),
                          reason=heard(error.strerror or str(error))), 2)
    except (KeyError, TypeError, ValueError):
        return _fail(said("what {file} says is no status", file=places.socket()), 2)
    if arguments.json:
        say(text.strip())
    else:
        on_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if on_terminal else 0
        coloured = on_terminal and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
        say(table(status, language(sys.stdout), width, coloured))
    return 1 if problems(status) else 0


def _dry_run(config: Config, arguments: argparse.Namespace, places: _Places) -> int:
    """Say what would be done: beside a running agent too, so nothing is locked and nothing written."""
    try:
        _try_to_write(places.log)
    except OSError as error:
        return _fail(_cannot_write(error), 1)
    _set_up_log(config, arguments, places)
    # a lane would say "pushed" of what was only shown
    logging.getLogger("sersync_py.lane").setLevel(logging.WARNING)
    return _mirror(config, _options(arguments, places)._replace(dry_run=True))


def _options(arguments: argparse.Namespace, places: _Places) -> Options:
    whole_tree = arguments.whole_tree and not arguments.plugin
    return Options(
        os.fsencode(places.state), whole_tree, arguments.workers, plugin=arguments.plugin,
        progress=whole_tree and not arguments.daemon and not arguments.dry_run and sys.stderr.isatty(),
    )


def _run(config: Config, arguments: argparse.Namespace, places: _Places) -> int:
    try:
        os.makedirs(places.state, 0o700, exist_ok=True)
        lock = _lock(places.lock())
        _try_to_write(places.log)
        _try_to_write(places.pid)
    except BlockingIOError:
        return _fail(said("already running for {config} (pid {pid})", config=_text(config.file),
                          pid=_holder(places.lock())), 2)
    except OSError as error:
        return _fail(_cannot_write(error), 1)
    options = _options(arguments, places)._replace(socket=places.socket())
    if not arguments.daemon:
        return _hold(config, options, arguments, places, lock)
    with daemon.DaemonContext(
        files_preserve=[lock], umask=0o022, working_directory="/", signal_map={signal.SIGINT: signal.SIG_IGN},
        detach_process=True, initgroups=False,
    ):
        return _hold(config, options, arguments, places, lock)


def _hold(config: Config, options: Options, arguments: argparse.Namespace, places: _Places, lock: IO[str]) -> int:
    """Mirror, with a pid file for as long as signals are answered."""
    _set_up_log(config, arguments, places, options.progress)
    try:
        return _mirror(config, options, lambda: _write_pid(lock, places.pid))
    finally:
        _remove_pid(places.pid)


def _mirror(config: Config, options: Options, ready: Callable[[], None] = lambda: None) -> int:
    for warning in config.warnings:
        log.warning("%s", warning)
    log.info("sersync-py %s, pid %d, config %s", __version__, os.getpid(), _text(config.file))
    try:
        Agent(config, options).run(ready)
    except (BrokenPipeError, UnsaidError):
        raise
    except (WatcherError, OSError) as error:
        log.error("ended: %s", error)
        return 1
    except Exception:
        # a daemon has no terminal where a traceback could be seen
        log.exception("ended by a fault of its own")
        return 1
    return 0


def _lock(path: str) -> IO[str]:
    """Take the lock of a config. Raise BlockingIOError if another process has it."""
    lock = open(path, "a+")  # noqa: SIM115 - held until the process ends
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # until our own stands in it, no pid is better than that of one who was killed
    lock.truncate(0)
    return lock


def _holder(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip() or "unknown"
    except OSError:
        return "unknown"


def _write_pid(lock: IO[str], pid_file: str) -> None:
    """Say who we are, in the lock and in the pid file. Raise OSError if the disk is full."""
    text = f"{os.getpid()}\n"
    try:
        with open(pid_file, "w") as file:
            file.write(text)
        # past its buffer, which would keep what could not be written
        os.ftruncate(lock.fileno(), 0)
        os.write(lock.fileno(), text.encode("ascii"))
    except OSError as error:
        raise OSError(error.errno, error.strerror, pid_file) from error


def _remove_pid(pid_file: str) -> None:
    try:
        os.remove(pid_file)
    except OSError as error:
        log.warning("cannot remove %s: %s", pid_file, error.strerror)


def _try_to_write(path: Optional[str]) -> None:
    """Make sure that a file can be written, while somebody is there to be told. Raise OSError."""
    if path is not None:
        with open(path, "a"):
            pass


def _cannot_write(error: OSError) -> str:
    reason = heard(error.strerror or str(error))
    if not error.filename:
        return said("cannot write the state folder: {reason}", reason=reason)
    return said("cannot write {file}: {reason}", file=os.fsdecode(error.filename), reason=reason)


def _set_up_log(config: Config, arguments: argparse.Namespace, places: _Places, progress: bool = False) -> None:
    level = arguments.log_level or ("debug" if config.debug else "info")
    handler: logging.Handler = AboveProgress() if progress else Stderr()
    if places.log is not None:
        handler = LogFile(places.log)
    if places.log is None and is_journal(sys.stderr.fileno(), os.environ):
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.getLogger("schedule").setLevel(logging.WARNING)


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def _check(config: Config, arguments: argparse.Namespace) -> int:
    """Say what would be done, and whether it would work. The faults of the config have been said already."""
    places = _Places(arguments, config.file)
    _say_plan(config, places)
    files = Files(places.state, places.lock(), places.pid, places.log)
    findings = examine(config, files, arguments.workers)
    for line in sheet(findings, style(sys.stdout)):
        say(line)
    sentence, code = verdict(findings)
    say("")
    say(sentence)
    return code


def _say_plan(config: Config, places: _Places) -> None:
    """Say what goes where, how, and which files are written."""
    say(said("{config}: good", config=_text(config.file)))
    for mirror in config.mirrors:
        for remote in mirror.remotes:
            there = f"{remote.host}:{remote.name} (ssh)" if config.rsync.ssh else str(remote)
            say(f"  {_text(mirror.watch)} -> {there}")
        for plugin in config.plugins:
            say(said("  {watch} -> plugin {name}; a call may take {seconds} s", watch=_text(mirror.watch),
                     name=plugin.name, seconds=plugin.seconds))
    if config.has_remotes():
        _say_mirroring(config)
    say(said("  state {state}, log {log}", state=places.state, log=places.log or said("on the terminal")))


def _say_mirroring(config: Config) -> None:
    params = " ".join(config.rsync.params)
    say(said("  rsync {params}; deletions on", params=params) if config.inotify.delete
        else said("  rsync {params}; deletions off", params=params))
    say(said("  {number} exclude rules; fail log {path}, replayed every {minutes} minutes", number=len(config.excludes),
             path=_text(config.fail_log.path), minutes=config.fail_log.minutes))
    if config.crontab is not None:
        say(said("  whole tree every {minutes} minutes, {number} patterns left out", minutes=config.crontab.minutes,
                 number=len(config.crontab.excludes)))
    if config.page is not None:
        say(said("  status page http://{page}/", page=config.page))
