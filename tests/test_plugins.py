"""Plugins against real counterparts (a script, a TCP server, an HTTP server): what they are told, and that nothing they
do holds a push up.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from urllib.parse import parse_qsl

import pytest
from rig import HOSTILE_NAMES, LOOPBACK, Relay, SilentListener, free_port, wait_equal, wait_for
from test_mirror import write

from sersync_py.announcer import made
from sersync_py.changes import ENTRY
from sersync_py.loop import Loop
from sersync_py.plugins.call import call_for
from sersync_py.settings import Command, Http, RefreshCdn
from sersync_py.walk import GONE

SCRIPT = """#!/usr/bin/python3
import json, os, sys
told = {name: os.fsencode(value).hex() for name, value in os.environ.items() if name.startswith("SERSYNC_")}
line = json.dumps({"argv": [os.fsencode(word).hex() for word in sys.argv[1:]], "environ": told}) + "\\n"
with open(%r, "ab", buffering=0) as file:
    file.write(line.encode())
"""


BESIDE = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(made.__code__.co_filename)), "LC_ALL": "C"}
"""The environment of a command that asks a running agent."""


class Script:
    """An executable that writes down what it is called with."""

    def __init__(self, folder, after=""):
        self.file = str(folder / "script")
        self.record = str(folder / "record")
        with open(self.file, "w") as file:
            file.write(SCRIPT % self.record + after)
        os.chmod(self.file, 0o755)

    def calls(self):
        """Return (argv, environment) of each call so far, as bytes."""
        if not os.path.exists(self.record):
            return []
        with open(self.record) as file:
            # the last line may be under way
            lines = [json.loads(line) for line in file.read().rpartition("\n")[0].splitlines()]
        return [([bytes.fromhex(word) for word in line["argv"]],
                 {name: bytes.fromhex(value) for name, value in line["environ"].items()}) for line in lines]

    def told(self):
        """Return (kind, path) of each call so far."""
        return [(environ["SERSYNC_KIND"].decode(), environ["SERSYNC_PATH"]) for _, environ in self.calls()]

    def paths(self):
        return sorted(argv[0] for argv, _ in self.calls())


class Server:
    """Records the bytes of each connection, and answers with `answer` once a request is complete."""

    def __init__(self, answer=b"", complete=lambda data: False, port=None):
        self.requests, self.answer, self.complete, self._stopped = [], answer, complete, False
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._server.bind((LOOPBACK, port or free_port()))
        self._server.listen(50)
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            with peer:
                data = piece = b""
                while not self.complete(data):
                    piece = peer.recv(65536)
                    if not piece:
                        break
                    data += piece
                if data:
                    self.requests.append(data)
                    self._say(peer)

    def _say(self, peer):
        peer.sendall(self.answer)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stopped = True
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)


class Dripping(Server):
    """Answers without end, a byte at a time."""

    def _say(self, peer):
        try:
            while not self._stopped:
                peer.sendall(b"x")
                time.sleep(0.1)
        except OSError:  # the other end has had enough
            return


def is_whole_post(data):
    head, found, body = data.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    return bool(found) and len(body) >= lengths[0]


def command(prefix, suffix="", ignore="false", more="", seconds=300):
    return (f'<plugin name="command" timeout="{seconds}"><param prefix="{prefix}" suffix="{suffix}"'
            f' ignoreError="{ignore}"/>{more}</plugin>').encode()


def to_socket(port, watch=b"/nowhere"):
    return (b'<plugin name="socket"><localpath watch="%s"><deshost ip="%s" port="%d"/></localpath></plugin>'
            % (watch, LOOPBACK.encode(), port))


def to_http(port, watch=b"/nowhere", url=LOOPBACK):
    return (b'<plugin name="http"><localpath watch="%s"><deshost url="%s" port="%d"/></localpath></plugin>'
            % (watch, url.encode(), port))


def to_cdn(port, watch=b"/nowhere", more=b""):
    return (b'<plugin name="refreshCDN"><localpath watch="%s"><cdninfo domainname="%s" port="%d" username="me"'
            b' passwd="s&amp;cret"/><sendurl base="http://pic.example.com/cms"/>%s</localpath></plugin>'
            % (watch, LOOPBACK.encode(), port, more))


def outcome(plugin_settings):
    """Return how a call ends that is made without an agent."""
    loop = Loop()
    task = made(plugin_settings, loop).begin(call_for(b"/w", b"a", ENTRY, 0.0, GONE), time.monotonic())
    ended = wait_for(lambda: task.step(time.monotonic()))
    loop.close()
    return ended


@pytest.fixture
def script(tmp_path):
    return Script(tmp_path)


def first_push(running, source, mirrors):
    """Start, and wait until the mirrors have what is there, so that all that follows is a change."""
    write(source, b"before", b"")
    running.start()
    wait_equal(source, mirrors)
    return running


# ---- command ---------------------------------------------------------------------------------------------------------


def test_the_command_gets_prefix_path_and_suffix_as_words_and_the_change_in_its_environment(
    source, daemon, agent, script
):
    """A written file, a folder, a deletion of each; each once."""
    write(source, b"there/already")
    running = agent(source, daemon, plugin="command",
                    extra=command(f"{script.file}", "--last 'two words'"))
    first_push(running, source, daemon.mirrors)
    assert script.calls() == []
    write(source, b"a file", b"1")
    wait_for(lambda: len(script.calls()) == 1)
    argv, environ = script.calls()[0]
    assert argv == [source + b"/a file", b"--last", b"two words"]
    assert environ["SERSYNC_PATH"] == source + b"/a file"
    assert environ["SERSYNC_WATCH"] == source
    assert environ["SERSYNC_KIND"] == b"written"
    assert abs(float(environ["SERSYNC_TIME"]) - os.stat(source + b"/a file").st_mtime) < 20
    os.mkdir(source + b"/folder")
    wait_for(lambda: len(script.calls()) == 2)
    os.remove(source + b"/a file")
    wait_for(lambda: len(script.calls()) == 3)
    os.rmdir(source + b"/folder")
    wait_for(lambda: len(script.calls()) == 4)
    assert script.told()[1:] == [("folder", source + b"/folder"), ("deleted", source + b"/a file"),
                                 ("folder-deleted", source + b"/folder")]
    running.stop()
    assert "plugin command: 4 calls, 0 failed, 0 dropped" in running.log()


def test_a_name_that_a_shell_would_trip_over_is_one_argument(source, daemon, agent, script, tmp_path):
    """Quotes, newlines, substitutions, bytes that are no text: nothing is run, nothing is split."""
    running = first_push(agent(source, daemon, plugin="command", extra=command(script.file)), source, daemon.mirrors)
    for name in HOSTILE_NAMES:
        write(source, name, b"x")
    wanted = sorted(source + b"/" + name for name in HOSTILE_NAMES if not name.startswith(b"."))
    wait_for(lambda: script.paths() == wanted, message="each name once")
    assert {environ["SERSYNC_PATH"] for _, environ in script.calls()} == set(wanted)
    for folder, _, names in os.walk(str(tmp_path)):
        assert "owned" not in names, folder
    running.stop()


def test_the_filter_lets_only_whole_matches_through(source, daemon, agent, script):
    """Of the name at the top, and of the path from its slash on."""
    include = (r'<filter start="true"><include expression="(.*)\.php"/><include expression="/deep/[0-9]*"/></filter>')
    running = agent(source, daemon, plugin="command", extra=command(script.file, more=include))
    first_push(running, source, daemon.mirrors)
    for name in (b"a.php", b"a.php5", b"deep/12", b"deep/b.php", b"deep/x"):
        write(source, name)
    wait_equal(source, daemon.mirrors)
    write(source, b"last.php")
    # several calls run at a time, so the last to begin is not the last to be done
    wait_for(lambda: len(set(script.paths())) >= 4)
    running.stop()
    # what was sent while it was still being written is sent again, and told again
    names = (b"/a.php", b"/deep/12", b"/deep/b.php", b"/last.php")
    assert sorted(set(script.paths())) == sorted(source + name for name in names)


@pytest.mark.parametrize("ignore", ["true", "false"])
def test_a_command_that_fails_is_counted_and_said_once_unless_its_errors_are_ignored(
    source, daemon, agent, tmp_path, ignore
):
    """Ten failures are one line, with what it said; the mirrors do not mind."""
    script = Script(tmp_path, 'print("it broke", "\\x1b[31m", file=sys.stderr)\nsys.exit(3)\n')
    running = agent(source, daemon, plugin="command", extra=command(script.file, ignore=ignore))
    first_push(running, source, daemon.mirrors)
    for number in range(10):
        write(source, b"%d" % number)
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: len(script.calls()) == 10)
    words = "plugin command: 0 calls done, 10 failed, 0 dropped, 0 waiting"
    status = running.command("--status")
    wait_for(lambda: words in subprocess.run(status, env=BESIDE, stdout=subprocess.PIPE).stdout.decode())
    running.stop()
    log = running.log()
    assert "plugin command: 10 calls, 10 failed, 0 dropped" in log
    assert 1 <= log.count("calls failed") <= 2 or ignore == "true"
    assert ("exit 3: it broke \\x1b[31m" in log) == (ignore == "false")
    assert "\x1b" not in log


@pytest.mark.parametrize(("word", "why"), [
    ("/no/such/script", "cannot be run: No such file or directory"),
    ("/etc/passwd", "cannot be run: Permission denied"),
    ("false", "exit 1"),
])
def test_a_command_that_cannot_be_run_or_fails_is_an_outcome(word, why):
    """And no exception."""
    assert outcome(Command((word,))).problem == why


def test_a_command_that_is_ended_by_a_signal_says_which():
    """As far as it was not us."""
    assert outcome(Command(("sh", "-c", "kill -9 $$"))).problem == "ended by signal 9"


def test_a_command_that_hangs_delays_no_push_and_is_ended_with_all_it_started_at_its_time_limit(
    source, daemon, agent, tmp_path
):
    """It does not even listen to TERM."""
    script = Script(tmp_path, "import signal, subprocess\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                              "subprocess.call(['sleep', '1000'])\nsignal.pause()\n")
    running = agent(source, daemon, plugin="command", extra=command(script.file, seconds=3))
    first_push(running, source, daemon.mirrors)
    for number in range(5):
        write(source, b"%d" % number)
        wait_equal(source, daemon.mirrors)
    wait_for(lambda: len(script.calls()) == 5, 90, "a call after those that hung")
    wait_for(lambda: "still ran after 3 s and was ended" in running.log())
    running.signal(signal.SIGTERM)
    wait_for(lambda: "told to stop" in running.log())
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    wait_for(lambda: not running.processes(), message="nobody to be left")


def test_ten_thousand_changes_with_a_command_that_hangs_are_mirrored_at_once_and_what_is_too_much_is_dropped(
    source, daemon, agent, tmp_path
):
    """The row is bounded, what is dropped is counted, and said in a few lines."""
    script = Script(tmp_path, "import time\ntime.sleep(1000)\n")
    mirror = daemon.mirrors[0]
    running = agent(source, daemon.remotes[:1], port=daemon.port, plugin="command", extra=command(script.file))
    first_push(running, source, mirror)
    for number in range(50):
        os.mkdir(source + b"/%d" % number)
    for number in range(10200):
        with open(source + b"/%d/x%d" % (number % 50, number), "wb"):
            pass
    wait_equal(source, mirror, 40)
    wait_for(lambda: "calls dropped, for more than 10000 wait" in running.log())
    with open(f"/proc/{running.pid}/status") as file:
        kilobytes = next(int(line.split()[1]) for line in file if line.startswith("VmRSS"))
    assert kilobytes < 150000
    write(source, b"last", b"1")
    wait_equal(source, mirror)
    running.signal(signal.SIGTERM)
    wait_for(lambda: "told to stop" in running.log())
    running.signal(signal.SIGTERM)
    assert running.wait() == 0
    dropped = [line for line in running.log().splitlines() if "dropped" in line]
    assert 2 <= len(dropped) <= 4
    assert "plugin command: 10000 calls were not made any more" in running.log()


def test_a_command_that_never_stops_talking_keeps_nobody_from_anything(source, daemon, agent, tmp_path):
    """It is read a little at a time, and thrown away."""
    script = Script(tmp_path, "sys.stdout.flush()\nos.execvp('yes', ['yes'])\n")
    running = agent(source, daemon, plugin="command", extra=command(script.file, seconds=4))
    first_push(running, source, daemon.mirrors)
    for number in range(4):
        write(source, b"%d" % number)
        wait_equal(source, daemon.mirrors)
    wait_for(lambda: "still ran after 4 s and was ended: y" in running.log())
    running.stop()
    assert len(running.log()) < 20000


def test_what_waits_when_the_agent_is_told_to_stop_is_still_told(source, daemon, agent, tmp_path):
    """As long as it does not take too long."""
    script = Script(tmp_path, "import time\ntime.sleep(0.2)\n")
    running = first_push(agent(source, daemon, plugin="command", extra=command(script.file)), source, daemon.mirrors)
    for number in range(10):
        write(source, b"%d" % number)
    wait_equal(source, daemon.mirrors)
    running.stop()
    assert len(script.calls()) == 10
    assert "plugin command: 10 calls, 0 failed, 0 dropped" in running.log()


@pytest.mark.parametrize("background", [False, True])
def test_when_the_agent_is_killed_no_command_is_left(source, daemon, agent, tmp_path, background):
    """Nor what a command that still runs has started."""
    more = "import subprocess, time\nsubprocess.Popen(['sleep', '1000'])\n" if background else "import time\n"
    script = Script(tmp_path, more + "time.sleep(1000)\n")
    running = first_push(agent(source, daemon, plugin="command", extra=command(script.file)), source, daemon.mirrors)
    for number in range(6):
        write(source, b"%d" % number)
    wait_for(lambda: len(script.calls()) == 4)
    assert len(running.processes()) >= 5
    running.kill()
    wait_for(lambda: not running.processes(), message="nobody to be left")


def test_what_a_finished_command_leaves_in_the_background_lives_on(source, daemon, agent, tmp_path):
    """As it did under sersync2."""
    script = Script(tmp_path, "import subprocess\nprint(subprocess.Popen(['sleep', '1000']).pid, flush=True)\n"
                              "os.rename(__file__ + '.tmp', __file__ + '.done')\n")
    write(os.fsencode(str(tmp_path)), b"script.tmp", b"")
    running = first_push(agent(source, daemon, "--log-level", "debug", plugin="command", extra=command(script.file)),
                         source, daemon.mirrors)
    write(source, b"a")
    found = wait_for(lambda: [line for line in running.log().splitlines() if "plugin command: written" in line])
    pid = int(found[0].rpartition(": ")[2])
    assert pid in running.processes()
    running.stop()
    assert pid in running.processes()


def test_a_reload_takes_the_plugins_as_they_are_now(source, daemon, agent, tmp_path):
    """Another command, then none, then one again; what waits is told by the new one."""
    os.mkdir(str(tmp_path / "one"))
    os.mkdir(str(tmp_path / "two"))
    one, two = Script(tmp_path / "one"), Script(tmp_path / "two")
    running = first_push(agent(source, daemon, plugin="command", extra=command(one.file)), source, daemon.mirrors)
    write(source, b"first")
    wait_for(lambda: one.paths() == [source + b"/first"])

    def reload(count, **options):
        running.configure(daemon, **options)
        running.signal(signal.SIGHUP)
        wait_for(lambda: running.log().count("config reloaded") == count)

    reload(1, plugin="command", extra=command(two.file))
    write(source, b"second")
    wait_for(lambda: two.paths() == [source + b"/second"])
    reload(2)
    write(source, b"third")
    wait_equal(source, daemon.mirrors)
    reload(3, plugin="command", extra=command(one.file))
    write(source, b"fourth")
    wait_for(lambda: one.paths() == [source + b"/first", source + b"/fourth"])
    assert two.paths() == [source + b"/second"]
    running.stop()


def test_a_folder_that_is_renamed_is_told_under_each_name(source, daemon, agent, script):
    """What was in it is not told to be deleted path by path."""
    for number in range(5):
        write(source, b"old/%d" % number)
    running = first_push(agent(source, daemon, plugin="command", extra=command(script.file)), source, daemon.mirrors)
    os.rename(source + b"/old", source + b"/new")
    wait_equal(source, daemon.mirrors)
    write(source, b"last")
    # several calls run at a time, so the last to begin is not the last to be done
    wanted = {("folder", source + b"/new"), ("folder-deleted", source + b"/old"), ("written", source + b"/last")}
    wait_for(lambda: wanted <= set(script.told()))
    told = script.told()
    assert not [path for _, path in told if b"/old/" in path]
    assert len(told) == len(set(told))
    running.stop()


# ---- when a change is told -------------------------------------------------------------------------------------------


def test_what_is_put_right_at_a_mirror_is_no_change(source, daemon, agent, script):
    """Not the first push, not -r, not what a comparison finds."""
    write(source, b"there/already")
    running = first_push(agent(source, daemon, "-r", plugin="command", extra=command(script.file)), source,
                         daemon.mirrors)
    os.remove(daemon.mirrors[0] + b"/there/already")
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)
    write(source, b"a change")
    wait_for(script.calls)
    assert script.told() == [("written", source + b"/a change")]
    running.stop()


def test_what_changed_while_the_agent_was_down_is_told_once(source, daemon, agent, script):
    """Two remotes with marks of the same age; a folder in which names came or went is told too."""
    write(source, b"there/already")
    running = first_push(agent(source, daemon, plugin="command", extra=command(script.file)), source, daemon.mirrors)
    wait_for(lambda: time.time() - os.stat(source).st_ctime > 1.5, message="stamps older than the margin of a scan")
    running.stop()
    write(source, b"there/meanwhile")
    running.start()
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: len(script.calls()) == 2)
    write(source, b"after it")
    wait_for(lambda: source + b"/after it" in script.paths())
    assert sorted(script.told()) == [("folder", source + b"/there"), ("written", source + b"/after it"),
                                     ("written", source + b"/there/meanwhile")]
    running.stop()


SECOND = "127.0.0.2"
PATIENT = "from sersync_py import probe\nprobe.QUIET_SECONDS = 1000\n"
"""However slow the test is, a remote that stands still is not asked whether it is there."""


@pytest.fixture
def two(tmp_path, daemon, source, agent, script):
    """An agent with a remote that is there, and one that can be reached through a relay only."""
    remotes = [(LOOPBACK, "m1"), (SECOND, "m2")]
    running = agent(source, remotes, port=daemon.port, plugin="command", extra=command(script.file))
    running.prelude = PATIENT
    return running


def catches_up(far, source, script):
    """See that a remote gets what it missed, of which nobody is told again, and that what changes next is told."""
    wait_equal(source, far)
    write(source, b"b")
    wait_for(lambda: source + b"/b" in script.paths())
    assert script.paths() == [source + b"/a", source + b"/b"]


def test_a_remote_that_is_away_is_not_waited_for_and_its_catching_up_is_not_told(two, source, daemon, script):
    """The other one has it."""
    near, far = daemon.mirrors
    first_push(two, source, near)
    wait_for(lambda: f"{SECOND}::m2: away" in two.log())
    write(source, b"a")
    wait_for(lambda: script.paths() == [source + b"/a"])
    with Relay(daemon.port, daemon.port, SECOND):
        wait_for(lambda: f"{SECOND}::m2: back" in two.log())
        catches_up(far, source, script)
        two.stop()


def test_what_a_remote_missed_over_a_restart_is_not_told_again(two, source, daemon, script):
    """The other one had it before; their marks are so far apart that each has a scan of its own."""
    near, far = daemon.mirrors
    two.prelude += "from sersync_py import resuming\nresuming.NEAR_SECONDS = 0.5\n"
    with Relay(daemon.port, daemon.port, SECOND):
        first_push(two, source, [near, far])
    write(source, b"a")
    wait_for(lambda: script.paths() == [source + b"/a"])
    wait_for(lambda: time.time() - os.stat(source).st_ctime > 1.5, message="stamps older than the margin of a scan")
    two.stop()
    with Relay(daemon.port, daemon.port, SECOND):
        two.start()
        catches_up(far, source, script)
    two.stop()


def test_a_remote_that_goes_away_while_it_is_waited_for_is_waited_for_no_longer(two, source, daemon, script):
    """It accepts, stalls, and is cut off at last; the change is told then, and not again."""
    near, far = daemon.mirrors
    with Relay(daemon.port, daemon.port, SECOND) as relay:
        first_push(two, source, [near, far])
        relay.stall()
        write(source, b"a")
        wait_equal(source, near)
        assert script.calls() == []
        relay.close()
    wait_for(lambda: script.paths() == [source + b"/a"])
    with Relay(daemon.port, daemon.port, SECOND):
        catches_up(far, source, script)
    two.stop()


def test_a_remote_that_is_slow_is_waited_for(two, source, daemon, script):
    """Told once, when both have it."""
    near, far = daemon.mirrors
    with Relay(daemon.port, daemon.port, SECOND) as relay:
        first_push(two, source, [near, far])
        relay.stall()
        write(source, b"a")
        wait_equal(source, near)
        relay.resume()
        wait_for(script.calls)
        assert os.path.exists(far + b"/a")
        write(source, b"b")
        wait_for(lambda: len(script.calls()) > 1)
        assert script.paths() == [source + b"/a", source + b"/b"]
        two.stop()


# ---- socket ----------------------------------------------------------------------------------------------------------


def test_the_socket_plugin_sends_the_absolute_path_and_nothing_else(source, daemon, agent):
    """One connection a change, no newline, whatever the name is."""
    with Server() as server:
        running = agent(source, daemon, plugin="socket", extra=to_socket(server.port))
        first_push(running, source, daemon.mirrors)
        for name in HOSTILE_NAMES:
            write(source, name, b"x")
        wanted = sorted(source + b"/" + name for name in HOSTILE_NAMES if not name.startswith(b"."))
        wait_for(lambda: sorted(server.requests) == wanted)
        running.stop()
        assert f"plugin socket: {len(wanted)} calls, 0 failed, 0 dropped" in running.log()


def test_the_socket_plugin_fails_after_five_tries_and_goes_on(source, daemon, agent):
    """A server that is not there costs that call, not the next one."""
    port = free_port()
    running = agent(source, daemon, plugin="socket", extra=to_socket(port))
    first_push(running, source, daemon.mirrors)
    write(source, b"lost")
    wait_for(lambda: "calls failed: 1, the last: " in running.log())
    assert f"{os.fsdecode(source)}/lost: Connection refused" in running.log()
    with Server(port=port) as server:
        write(source, b"told")
        wait_for(lambda: server.requests == [source + b"/told"])
    running.stop()


# ---- http ------------------------------------------------------------------------------------------------------------


def test_the_http_plugin_posts_the_form_byte_for_byte(source, daemon, agent):
    """A file with a space, a quote and Chinese in its name."""
    name = "a b'&=中+%".encode()
    with Server(b"HTTP/1.0 200 OK\r\n\r\n", is_whole_post) as server:
        running = agent(source, daemon, plugin="http", extra=to_http(server.port, url=f"http://{LOOPBACK}/hook?x=1"))
        first_push(running, source, daemon.mirrors)
        write(source, name, b"1")
        wait_for(lambda: server.requests)
        root = os.fsdecode(source).replace("/", "%2F").encode()
        body = (b"watchroot=" + root + b"&isdir=0&inotifyPath=" + root
                + b"%2Fa+b%27%26%3D%E4%B8%AD%2B%25&mask=8")
        assert server.requests[0] == (
            b"POST /hook?x=1 HTTP/1.1\r\nHost: " + f"{LOOPBACK}:{server.port}".encode()
            + b"\r\nAccept-Encoding: identity\r\nContent-Length: %d\r\n" % len(body)
            + b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n" + body
        )
        running.stop()


def test_the_http_plugin_tells_folders_and_deletions_by_isdir_and_mask(source, daemon, agent):
    """As inotify would."""
    with Server(b"HTTP/1.0 200 OK\r\n\r\n", is_whole_post) as server:
        write(source, b"stays")
        running = agent(source, daemon, plugin="http", extra=to_http(server.port))
        first_push(running, source, daemon.mirrors)
        os.mkdir(source + b"/d")
        wait_for(lambda: len(server.requests) == 1)
        os.rmdir(source + b"/d")
        wait_for(lambda: len(server.requests) == 2)
        write(source, b"f")
        wait_for(lambda: len(server.requests) == 3)
        os.remove(source + b"/f")
        wait_for(lambda: len(server.requests) == 4)
        forms = [dict(parse_qsl(request.partition(b"\r\n\r\n")[2].decode())) for request in server.requests]
        assert [(form["isdir"], int(form["mask"])) for form in forms] == [
            ("1", 0x40000100), ("1", 0x40000200), ("0", 0x8), ("0", 0x200)]
        running.stop()


@pytest.mark.parametrize(("answer", "why"), [
    (b"HTTP/1.0 500 Oh no\x1b\r\n\r\n", r"answered 500 Oh no\x1b"),
    (b"HTTP/1.0 302 Found\r\nLocation: /\r\n\r\n", "answered 302 Found"),
    (b"what?\r\n\r\n", "answered something that is not HTTP (BadStatusLine)"),
    (b"", "Remote end closed connection"),
])
def test_an_http_server_that_does_not_say_2xx_is_a_failure(answer, why):
    """With its reason, fit for a log."""
    with Server(answer, is_whole_post) as server:
        assert why in outcome(Http(LOOPBACK, server.port)).problem


def test_a_server_that_says_nothing_is_given_up_at_the_time_limit_and_delays_no_push(source, daemon, agent):
    """Four calls wait for it, the others for them."""
    with SilentListener() as silent:
        extra = to_http(silent.port).replace(b'name="http"', b'name="http" timeout="1"')
        running = first_push(agent(source, daemon, plugin="http", extra=extra), source, daemon.mirrors)
        for number in range(8):
            write(source, b"%d" % number)
            wait_equal(source, daemon.mirrors)
        wait_for(lambda: silent.connections == 8, message="calls after those that were given up")
        wait_for(lambda: "no end after 1 s" in running.log())
        running.stop()


@pytest.mark.parametrize("plugin_settings", [
    lambda port: Http(LOOPBACK, port, seconds=1),
    lambda port: RefreshCdn(LOOPBACK, port, "me", "secret", "http://p", seconds=1),
], ids=["http", "refreshCDN"])
def test_a_server_that_never_stops_talking_is_cut_off_at_the_time_limit(plugin_settings):
    """Though there is always something to read."""
    with Dripping(complete=lambda data: b"\r\n\r\n" in data) as server:
        ended = outcome(plugin_settings(server.port))
    assert (ended.problem, ended.late) == ("no end after 1 s", True)


# ---- refreshCDN ------------------------------------------------------------------------------------------------------


def is_whole_head(data):
    return b"\r\n\r\n" in data


def test_the_cdn_is_asked_as_sersync2_asked_it_and_its_word_is_logged(source, daemon, agent):
    """A file, a folder; the password is in no log."""
    answer = b"HTTP/1.0 200 OK\r\nServer: x\r\nwhatsup: content=\"succeed\"\r\n\r\n"
    with Server(answer, is_whole_head) as server:
        running = agent(source, daemon, "--log-level", "debug", plugin="refreshCDN", extra=to_cdn(server.port))
        first_push(running, source, daemon.mirrors)
        os.mkdir(source + b"/d")
        wait_for(lambda: len(server.requests) == 1)
        write(source, "d/a b\u4e2d%.jpg".encode())
        wait_for(lambda: len(server.requests) == 2)
        start, end = b"HEAD /index.jsp?user=me&pswd=s%26cret&ok=ok&", b" HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n"
        assert server.requests == [
            start + b"dirs=http://pic.example.com/cms/d/" + end,
            start + b"urls=http://pic.example.com/cms/d/a%20b%E4%B8%AD%25.jpg" + end,
        ]
        wait_for(lambda: running.log().count('whatsup: content="succeed"') == 2)
        running.stop()
        assert "cret" not in running.report()


def test_with_a_regex_the_url_is_base_and_group_and_rest_and_what_it_does_not_find_is_not_told(
    source, daemon, agent
):
    """As in the sample: what is looked for begins above the watch folder."""
    name = os.path.basename(source)
    regex = b'<regexurl regex="true" match="%s([/a-z]*).example/images"/>' % name
    with Server(b"HTTP/1.0 200 OK\r\n\r\n", is_whole_head) as server:
        running = agent(source, daemon, plugin="refreshCDN", extra=to_cdn(server.port, more=regex))
        first_push(running, source, daemon.mirrors)
        write(source, b"other/a.jpg")
        write(source, b"jx.example/images/a.jpg")
        wait_for(lambda: len(asked_for(server)) == 2)
        running.stop()
        # what is in a new folder may be seen, sent and told twice
        assert asked_for(server) == {b"dirs=http://pic.example.com/cms/jx/", b"urls=http://pic.example.com/cms/jx/a.jpg"}


def asked_for(server):
    """Return what the cdn was asked to refresh, each once."""
    return {request.partition(b"ok=ok&")[2].partition(b" ")[0] for request in server.requests}


@pytest.mark.parametrize(("answer", "why"), [
    (b"HTTP/1.0 403 No\r\nwhatsup: content=\"failed\"\r\n\r\n", 'answered 403 whatsup: content="failed"'),
    (b"", "no answer"),
    (b"x" * 100000, "answered something that is not HTTP"),
])
def test_a_cdn_that_refuses_is_a_failure(answer, why):
    """Said with its word."""
    with Server(answer, is_whole_head) as server:
        assert outcome(RefreshCdn(LOOPBACK, server.port, "me", "secret", "http://p")).problem == why


# ---- -m: a plugin alone ----------------------------------------------------------------------------------------------


NOBODY = [(LOOPBACK, "nobody")]


@pytest.fixture
def no_rsync(tmp_path):
    """An environment without an rsync."""
    os.mkdir(str(tmp_path / "bin"))
    return {"PATH": str(tmp_path / "bin")}


def alone(agent, source, no_rsync, name, extra, *arguments, **options):
    """Return an agent that runs one plugin on the folder and mirrors nothing; in the config it is not started."""
    return agent(source, NOBODY, "-m", name, *arguments, env=no_rsync, extra=extra, **options).start()


def test_the_command_alone_is_called_for_each_change_and_needs_no_rsync(source, agent, script, no_rsync):
    """A command has no watch folder of its own: those of sersync count, and their remotes do not."""
    write(source, b"there/already")
    running = alone(agent, source, no_rsync, "command", command(script.file), excludes=["(.*)\\.tmp"])
    write(source, b"there/a")
    write(source, b"excluded.tmp")
    os.remove(source + b"/there/already")
    wait_for(lambda: len(script.calls()) == 2)
    assert sorted(script.told()) == [("deleted", source + b"/there/already"), ("written", source + b"/there/a")]
    running.stop()
    assert [name for name in os.listdir(running.state_dir) if name.endswith(".mark")] == []


def test_the_socket_plugin_alone_watches_its_own_folder(source, agent, tmp_path, no_rsync):
    """And not that of sersync."""
    own = os.fsencode(str(tmp_path / "own"))
    os.mkdir(own)
    with Server() as server:
        running = alone(agent, source, no_rsync, "socket", to_socket(server.port, own))
        write(source, b"elsewhere")
        write(own, b"here")
        wait_for(lambda: server.requests)
        assert server.requests == [own + b"/here"]
        running.stop()


def test_the_http_plugin_alone(source, agent, no_rsync):
    """On its own folder."""
    with Server(b"HTTP/1.0 200 OK\r\n\r\n", is_whole_post) as server:
        running = alone(agent, source, no_rsync, "http", to_http(server.port, source))
        write(source, b"here")
        wait_for(lambda: server.requests)
        assert server.requests[0].endswith(b"here&mask=8")
        running.stop()


def test_the_cdn_plugin_alone_with_whatever_flags_sersync2_took(source, agent, no_rsync):
    """-r has nothing to push; urls start at the plugin's own folder."""
    with Server(b"HTTP/1.0 200 OK\r\n\r\n", is_whole_head) as server:
        running = alone(agent, source, no_rsync, "refreshCDN", to_cdn(server.port, source), "-r", "-n", "3")
        write(source, b"here")
        wait_for(lambda: server.requests)
        assert b"urls=http://pic.example.com/cms/here " in server.requests[0]
        running.stop()


def test_a_plugin_alone_runs_beside_the_agent_that_mirrors_by_the_same_config(source, daemon, agent, script):
    """And leaves its fail log and marks alone; a second one of the same plugin is refused."""
    running = first_push(agent(source, daemon, extra=command(script.file)), source, daemon.mirrors)
    beside = agent(source, daemon, "-m", "command", "--state-dir", running.state_dir, "-o", running.config_file)
    beside.start()
    write(source, b"a")
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: script.paths() == [source + b"/a"])
    second = agent(source, daemon, "-m", "command", "--state-dir", running.state_dir, "-o", running.config_file)
    second.start(watching=0)
    assert second.wait() == 2
    assert "already running" in second.output()
    beside.stop()
    running.stop()


def test_a_dry_run_says_what_would_be_called_and_calls_nothing(source, daemon, agent, script):
    """With the mirroring, and alone."""
    for arguments in ((), ("-m", "command")):
        running = agent(source, daemon, "--dry-run", *arguments, plugin="command", extra=command(script.file)).start()
        write(source, b"a\x1b")
        wait_for(lambda run=running: "would call plugin command: written" in run.output())
        assert "\x1b" not in running.output()
        running.stop()
    assert script.calls() == []
