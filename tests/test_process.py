"""The agent as a process: detaching, pid file and lock, signals, reload, limits of the kernel, log, progress."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
from rig import LOOPBACK, SilentListener, wait_equal, wait_for
from test_command_line import environment
from test_mirror import fill, started, write

from sersync_py import limits

IGNORED_SIGNALS = re.compile(r"^SigIgn:\s+([0-9a-f]+)$", re.MULTILINE)


def text(*parts):
    with open(os.path.join(*map(str, parts))) as file:
        return file.read()


def pid_in(file):
    """Return the pid that a pid file names, None while it names none."""
    try:
        return int(text(file) or 0) or None
    except FileNotFoundError:
        return None


def alive(pid):
    try:
        return text("/proc", pid, "stat").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def detached(running, *more, cwd="/", config=None):
    """Start with -d in the working folder given; return the daemon's pid."""
    command = running.command("-d", *more)
    if config is not None:
        command[command.index("-o") + 1] = config
    env = environment(**running.environment())
    done = subprocess.run(command, cwd=cwd, env=env, timeout=60, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    return wait_for(lambda: pid_in(running.pid_file))


def ended(pid, running):
    """Ask a daemon to end; come back when it has."""
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not alive(pid))
    assert running.log().rstrip().endswith("ended")


def refused(running, *more, config=None):
    """Start a second agent in the foreground; return what it says and its exit code."""
    command = running.command(*more)
    if config is not None:
        command[command.index("-o") + 1] = config
    env = environment(**running.environment())
    done = subprocess.run(command, cwd=running.folder, env=env, timeout=60, check=False, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout.decode()


@pytest.fixture
def one(source, daemon, agent):
    """An agent that mirrors to one module, not started."""
    write(source, b"from the start")
    return agent(source, [daemon.remotes[0]], "-r", port=daemon.port)


@pytest.fixture
def ending():
    """A list of pids of daemons that are killed with the test."""
    pids = []
    yield pids
    for pid in pids:
        if alive(pid):
            os.kill(pid, signal.SIGKILL)


# ---- detaching -------------------------------------------------------------------------------------------------------


def test_a_daemon_leaves_everything_behind(one, source, daemon, ending):
    """Parent init, working folder /, no terminal, streams at /dev/null, SIGINT ignored; and it mirrors."""
    pid = detached(one)
    ending.append(pid)
    fields = text("/proc", pid, "stat").rpartition(")")[2].split()
    parent, terminal = int(fields[1]), int(fields[4])
    assert parent != os.getpid()
    assert not os.path.exists(f"/proc/{parent}/environ") or "sersync_py" not in text("/proc", parent, "cmdline")
    assert terminal == 0
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    for number in range(3):
        assert os.readlink(f"/proc/{pid}/fd/{number}") == os.devnull
    ignored = int(IGNORED_SIGNALS.search(text("/proc", pid, "status")).group(1), 16)
    assert ignored & 1 << (signal.SIGINT - 1)
    os.kill(pid, signal.SIGINT)
    wait_equal(source, daemon.mirrors[0])
    write(source, b"later")
    wait_equal(source, daemon.mirrors[0])
    ended(pid, one)
    assert not os.path.exists(one.pid_file)


def test_relative_names_hold_after_detaching_and_at_a_reload(one, source, daemon, ending, tmp_path):
    """Config, log, pid file, state folder, fail log: all are meant from where the command was given."""
    one.configure([daemon.remotes[0]], port=daemon.port, fail_log="failed.sh")
    one.command = lambda *more: [one.python, "-m", "sersync_py", "-r", "-o", "confxml.xml", "--log-file", "agent.log",
                                 "--pid-file", "agent.pid", "--state-dir", "state", *more]
    pid = detached(one, cwd=one.folder)
    ending.append(pid)
    wait_equal(source, daemon.mirrors[0])
    daemon.stop()
    write(source, b"not now")
    wait_for(lambda: os.path.exists(os.path.join(one.folder, "failed.sh")))
    os.kill(pid, signal.SIGHUP)
    wait_for(lambda: "config reloaded" in one.log())
    daemon.start()
    wait_equal(source, daemon.mirrors[0])
    wait_for(lambda: any(name.endswith(".mark") for name in os.listdir(one.state_dir)))
    ended(pid, one)


# ---- one agent a config ----------------------------------------------------------------------------------------------


def test_a_second_agent_on_the_same_config_is_refused_by_whatever_name(one, tmp_path):
    """With another log, through a symlink, by a relative path, as a daemon: exit 2, naming the first one's pid."""
    one.start()
    link = str(tmp_path / "link.xml")
    os.symlink(one.config_file, link)
    wait_for(lambda: pid_in(one.pid_file))
    for more, config in (((), None), (("--log-file", str(tmp_path / "other.log")), None), ((), link),
                         ((), "confxml.xml"), (("-d",), None), (("--pid-file", str(tmp_path / "other.pid")), None)):
        code, said = refused(one, *more, config=config)
        assert code == 2
        assert f"already running for {config if config == link else one.config_file} (pid {one.pid})" in said
    assert pid_in(one.pid_file) == one.pid
    assert not os.path.exists(str(tmp_path / "other.pid"))
    one.stop()


def test_another_config_may_run_beside_it(one, source, daemon, agent):
    """With the same state folder too."""
    one.start()
    other = agent(source, [daemon.remotes[1]], "-r", port=daemon.port)
    other.state_dir = one.state_dir
    other.start()
    wait_equal(source, daemon.mirrors)
    other.stop()
    one.stop()


def held_open(pid):
    """Return the names of the files that a process holds open."""
    names = []
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            names.append(os.readlink(f"/proc/{pid}/fd/{number}"))
        except FileNotFoundError:
            continue
    return names


def test_after_a_kill_the_next_start_works(one, daemon):
    """The pid file that is left is stale; a session in flight never had the lock."""
    with SilentListener() as silent:
        one.configure([(LOOPBACK, "m1")], port=silent.port)
        one.start()
        wait_for(lambda: silent.connections and pid_in(one.pid_file))
        sessions = [pid for pid in one.processes() if pid != one.pid]
        assert sessions
        assert any(name.endswith(".lock") for name in held_open(one.pid))
        assert not [name for pid in sessions for name in held_open(pid) if name.endswith(".lock")]
        first = one.pid
        one.kill()
        assert pid_in(one.pid_file) == first
        one.configure([daemon.remotes[0]], port=daemon.port)
        one.start()
        wait_for(lambda: pid_in(one.pid_file) == one.pid)
        one.stop()
    assert not os.path.exists(one.pid_file)


def test_the_same_config_by_another_name_goes_on_from_its_mark(one, source, daemon, tmp_path):
    """What was deleted while the agent was down goes at the mirror, though it is started through a symlink."""
    started(one, source, daemon.mirrors[:1])
    write(source, b"to go")
    wait_equal(source, daemon.mirrors[0])
    one.stop()
    os.remove(os.path.join(source, b"to go"))
    link = str(tmp_path / "link.xml")
    os.symlink(one.config_file, link)
    one.arguments = ("-o", link)
    one.start()
    wait_equal(source, daemon.mirrors[0])
    assert "never mirrored before" not in one.log().rpartition("pid")[2]
    one.stop()


# ---- the end ---------------------------------------------------------------------------------------------------------


def test_a_burst_just_before_the_end_arrives(one, source, daemon):
    """SIGTERM reads the kernel's queue a last time and sends what is in it; exit 0, no pid file left."""
    started(one, source, daemon.mirrors[:1])
    for number in range(500):
        write(source, b"burst %d" % number, b"%d" % number)
    one.stop()
    wait_equal(source, daemon.mirrors[0], 0)
    assert not os.path.exists(one.pid_file)
    assert one.processes() == []


def test_a_remote_that_hangs_holds_the_end_up_no_longer_than_the_bound(one, source):
    """Ten seconds; the session that hangs is ended, exit 0."""
    with SilentListener() as silent:
        one.configure([(LOOPBACK, "m1")], port=silent.port)
        one.start()
        wait_for(lambda: silent.connections)
        begun = time.monotonic()
        one.stop(40)
        assert 8 < time.monotonic() - begun < 40
        wait_for(lambda: not one.processes())


def test_the_second_sigterm_ends_it_at_once(one, source):
    """For a person who does not want to wait."""
    with SilentListener() as silent:
        one.configure([(LOOPBACK, "m1")], port=silent.port)
        one.start()
        wait_for(lambda: silent.connections)
        one.signal(signal.SIGTERM)
        wait_for(lambda: "told to stop" in one.log())
        assert one.running()
        one.stop(8)
        wait_for(lambda: not one.processes())


def test_sigint_ends_it_in_the_foreground(one):
    """Ctrl-C is as good as SIGTERM."""
    # a shell starts what it runs in the background with SIGINT ignored, the tests perhaps included
    one.prelude = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    one.start()
    one.signal(signal.SIGINT)
    assert one.wait() == 0


def test_a_burst_of_signals_is_answered_in_order(one, source, daemon):
    """A hundred reloads and pushes of the whole tree, then the end: none is lost that counts, none does harm."""
    started(one, source, daemon.mirrors[:1])
    write(source, b"last")
    for _ in range(50):
        one.signal(signal.SIGHUP)
        one.signal(signal.SIGUSR1)
    wait_for(lambda: "SIGUSR1" in one.log())
    one.stop()
    wait_equal(source, daemon.mirrors[0], 0)
    assert "Traceback" not in one.report()


def test_signals_while_it_ends_do_no_harm(one, source, daemon):
    """A reload or a whole-tree push is not begun any more; the missing watch folder that comes back neither."""
    with SilentListener() as silent:
        one.configure([(LOOPBACK, "m1")], port=silent.port)
        one.start()
        wait_for(lambda: silent.connections)
        os.rename(source, source + b".away")
        wait_for(lambda: "is gone" in one.log())
        one.signal(signal.SIGTERM)
        wait_for(lambda: "told to stop" in one.log())
        one.signal(signal.SIGHUP)
        one.signal(signal.SIGUSR1)
        os.rename(source + b".away", source)
        wait_for(lambda: "is back" in one.log())
        one.stop()
    assert "reloaded" not in one.log()
    assert "SIGUSR1" not in one.log()


# ---- reload ----------------------------------------------------------------------------------------------------------


def reload(running):
    """Send SIGHUP and wait until it is through."""
    before = running.log().count("config reloaded") + running.log().count("config not reloaded")
    running.signal(signal.SIGHUP)
    wait_for(lambda: running.log().count("config reloaded") + running.log().count("config not reloaded") > before)


def test_a_remote_that_is_added_gets_the_tree_and_one_that_is_removed_nothing_more(source, daemon, agent):
    """SIGHUP, no restart."""
    running = started(agent(source, [daemon.remotes[0]], port=daemon.port), source, daemon.mirrors[:1])
    running.configure(daemon)
    reload(running)
    wait_equal(source, daemon.mirrors)
    write(source, b"for both")
    wait_equal(source, daemon.mirrors)
    running.configure([daemon.remotes[1]], port=daemon.port)
    reload(running)
    write(source, b"for the second")
    wait_equal(source, daemon.mirrors[1])
    assert not os.path.exists(os.path.join(daemon.mirrors[0], b"for the second"))
    assert f"{LOOPBACK}::m1: no longer mirrored to" in running.log()
    running.stop()


def test_excludes_take_effect_at_a_reload_and_what_is_no_longer_excluded_is_sent(source, daemon, agent):
    """Nothing excluded is sent or deleted; a rule that goes lets in what it kept out."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    write(source, b"a.log")
    wait_equal(source, daemon.mirrors)
    running.configure(daemon, excludes=[r"(.*)\.log"])
    reload(running)
    os.remove(os.path.join(source, b"a.log"))
    write(source, b"b.log")
    write(source, b"seen")
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"seen"): os.path.exists(path))
        assert sorted(os.listdir(mirror)) == [b"a.log", b"from the start", b"seen"]
    running.configure(daemon)
    reload(running)
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"b.log"): os.path.exists(path))
    running.stop()


def test_a_watch_folder_that_changes_is_taken_from_then_on(source, daemon, agent, tmp_path):
    """The old one is no longer watched, the new one is mirrored."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    other = os.fsencode(str(tmp_path / "other"))
    fill(other, 2)
    running.watch = other
    running.configure(daemon)
    reload(running)
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"deeper/still/1.txt"): os.path.exists(path))
    write(source, b"no longer")
    write(other, b"now")
    for mirror in daemon.mirrors:
        wait_for(lambda path=os.path.join(mirror, b"now"): os.path.exists(path))
        assert not os.path.exists(os.path.join(mirror, b"no longer"))
    assert running.watches() == 3
    running.stop()


def test_a_faulty_config_is_not_taken_and_the_log_says_why(source, daemon, agent):
    """The old one stays in force; file and line are named."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    running.configure(daemon, excludes=["(unclosed"])
    reload(running)
    line = text(running.config_file)[:text(running.config_file).index("(unclosed")].count("\n") + 1
    assert "config not reloaded, the old one stays" in running.log()
    assert f"{running.config_file}:{line}" in running.log()
    os.remove(running.config_file)
    reload(running)
    write(source, b"still mirrored")
    wait_equal(source, daemon.mirrors)
    running.stop()


def test_nothing_that_happens_around_a_reload_is_lost(source, daemon, agent):
    """Files are written and folders made without a pause while the config is reloaded again and again."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    for number in range(400):
        write(source, b"%d/file" % number, b"%d" % number)
        if number % 20 == 0:
            running.signal(signal.SIGHUP)
    wait_equal(source, daemon.mirrors)
    running.stop()


def test_what_waits_for_a_remote_that_is_away_survives_a_reload(source, daemon, agent):
    """Deletions too; and the crontab's patterns stay protected."""
    running = started(agent(source, daemon), source, daemon.mirrors)
    daemon.stop()
    write(source, b"new")
    os.remove(os.path.join(source, b"from the start"))
    wait_for(lambda: running.log().count("away") >= 2)
    reload(running)
    daemon.start()
    wait_equal(source, daemon.mirrors)
    running.stop()


# ---- the kernel's limits ---------------------------------------------------------------------------------------------


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """Stands in for /proc/sys/fs/inotify."""
    monkeypatch.setattr(limits, "_FOLDER", str(tmp_path) + "/")
    return tmp_path / "max_queued_events"


def test_a_limit_that_is_too_low_is_raised_and_both_values_are_said(kernel, caplog):
    """sersync2 raised it unasked and unsaid."""
    caplog.set_level("INFO")
    kernel.write_text("16384\n")
    assert limits.raise_limit("max_queued_events", 327679)
    assert kernel.read_text() == "327679"
    assert caplog.messages == ["fs.inotify.max_queued_events raised from 16384 to 327679"]


@pytest.mark.parametrize("value", ["327679\n", "50000000"])
def test_a_limit_that_is_high_enough_is_not_touched(kernel, caplog, value):
    """Above all not lowered."""
    caplog.set_level("INFO")
    kernel.write_text(value)
    assert limits.raise_limit("max_queued_events", 327679)
    assert kernel.read_text() == value
    assert caplog.messages == []


@pytest.mark.parametrize("value", ["16384", None])
def test_who_may_not_raise_a_limit_is_warned_and_goes_on(kernel, caplog, monkeypatch, value):
    """Not root, a container, no such file: one line that says what to run."""
    monkeypatch.setattr(limits, "_FOLDER", "/proc/self/")
    monkeypatch.setattr(limits, "read_limit", lambda name: int(value or 0))
    assert not limits.raise_limit("no_such_limit", 327679)
    assert len(caplog.records) == 1
    assert caplog.records[0].levelname == "WARNING"
    assert "sysctl -w fs.inotify.no_such_limit=327679" in caplog.text


def test_a_limit_that_cannot_be_read_counts_as_0(kernel):
    """Not there, or not a number."""
    assert limits.read_limit("max_user_watches") == 0
    kernel.write_text("many")
    assert limits.read_limit("max_queued_events") == 0


# ---- log and progress ------------------------------------------------------------------------------------------------


def test_each_push_is_one_line_with_remote_count_bytes_and_seconds(one, source, daemon):
    """And nothing of the single events, at the usual level."""
    started(one, source, daemon.mirrors[:1])
    write(source, b"single")
    wait_for(lambda: "pushed 1 (single)" in one.log())
    one.stop()
    pushed = [line for line in one.log().splitlines() if "pushed" in line]
    assert len(pushed) == 2
    form = re.compile(r" INFO +127\.0\.0\.1::m1: pushed (the whole tree|\d+) \(.*\), [1-9]\d* bytes, \d+\.\d{3} s$")
    for line in pushed:
        assert form.search(line), line
    assert "event" not in one.log()
    assert "run: " not in one.log()


def test_debug_in_the_config_adds_events_and_commands(one, source, daemon):
    """As sersync2 did; --log-level overrides it."""
    one.configure([daemon.remotes[0]], port=daemon.port, debug=True)
    started(one, source, daemon.mirrors[:1])
    write(source, b"new")
    wait_equal(source, daemon.mirrors[0])
    one.stop()
    assert "close write b'new'" in one.log()
    assert f"run: cd {os.fsdecode(source)} && rsync -artuz -R" in one.log()
    before = len(one.log())
    one.start("--log-level", "info")
    one.stop()
    assert "run: " not in one.log()[before:]


def test_a_log_that_is_rotated_is_begun_anew(one, source, daemon):
    """logrotate needs no signal."""
    started(one, source, daemon.mirrors[:1])
    os.rename(one.log_file, one.log_file + ".1")
    write(source, b"later")
    wait_for(lambda: "later" in one.log())
    one.stop()


def on_a_terminal(command, env, until, seconds=40):
    """Run a command on a terminal of 100 columns until what it shows satisfies a condition; return all it showed."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.chdir("/")
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
            os.execvpe(command[0], command, env)
        finally:
            os._exit(99)
    shown, deadline, told = b"", time.monotonic() + seconds, False
    while True:
        if not told and (until(shown) or time.monotonic() > deadline):
            os.kill(pid, signal.SIGTERM)
            told = True
        if not select.select([terminal], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(terminal, 65536)
        except OSError:  # nobody is at the other end any more
            break
        if not piece:
            break
        shown += piece
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.WIFEXITED(status), shown
    assert os.WEXITSTATUS(status) == 0, shown
    return shown.decode()


@pytest.mark.parametrize("excludes", [(), ("never",)], ids=["without filters", "with filters"])
def test_on_a_terminal_the_whole_tree_push_shows_its_progress(source, daemon, agent, excludes):
    """A line a remote: how many entries, how many bytes; the log stands above them, whole."""
    for number in range(200):
        write(source, b"%d" % number, b"x" * 1000)
    running = agent(source, daemon, excludes=excludes)
    command = [sys.executable, "-m", "sersync_py", "-r", "-o", running.config_file, "--state-dir", running.state_dir]
    whole = [name + r": 100%\|[^|]+\| \d{3}/\d{3} \[.* 200000 bytes\]" for name in ("m1", "m2")]
    # the one's line is drawn anew with each of the other's: each must have been seen to be full
    shown = on_a_terminal(
        command, environment(), lambda seen: all(re.search(each, seen.decode("utf-8", "replace")) for each in whole))
    for name, each in zip(("m1", "m2"), whole):
        assert re.search(each, shown), shown
        assert re.search(rf"INFO +127\.0\.0\.1::{name}: pushed the whole tree \(\./\), \d+ bytes, [\d.]+ s *\r", shown)
    wait_equal(source, daemon.mirrors, 0)
