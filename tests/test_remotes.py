"""What a remote can do to us, and that it costs only itself."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time

import pytest
from rig import LOOPBACK, Daemon, Relay, SilentListener, differences, free_port, wait_equal, wait_for
from test_mirror import EXACT, fill, started, write

ELSEWHERE = "127.0.0.2"
"""A second loopback address: remotes of one config share their port."""


class Pair:
    """Two remotes: a daemon with the module `good`, and another with `bad` behind a relay, which the test breaks."""

    def __init__(self, folder, **bad):
        self.good = Daemon(os.path.join(folder, "good daemon"), {"good": os.fsencode(os.path.join(folder, "good"))})
        self.bad = Daemon(os.path.join(folder, "bad daemon"), {"bad": os.fsencode(os.path.join(folder, "bad"))}, **bad)
        self.port = self.good.port
        self.remotes = [(LOOPBACK, "good"), (ELSEWHERE, "bad")]
        self.mirrors = self.good.mirrors + self.bad.mirrors
        self.relay = None

    def connect(self):
        self.relay = Relay(self.bad.port, self.port, ELSEWHERE)

    def __enter__(self):
        self.good.start()
        self.bad.start()
        self.connect()
        return self

    def __exit__(self, *_):
        self.relay.close()
        self.bad.kill()
        self.good.kill()


@pytest.fixture
def pair(tmp_path):
    with Pair(str(tmp_path)) as made:
        yield made


@contextlib.contextmanager
def refuses(pair):
    pair.relay.close()
    yield
    pair.connect()


@contextlib.contextmanager
def accepts_and_says_nothing(pair):
    pair.relay.close()
    with SilentListener(pair.port, ELSEWHERE) as silent:
        yield
        wait_for(lambda: silent.connections)
    pair.connect()


@contextlib.contextmanager
def stalls_in_mid_session(pair):
    pair.relay.stall()
    yield
    pair.relay.resume()


@contextlib.contextmanager
def cuts_every_session(pair):
    pair.relay.close()
    with SilentListener(pair.port, ELSEWHERE) as listener:
        listener._take = lambda client: listener.cut()
        yield
        wait_for(lambda: listener.connections)
    pair.connect()


@contextlib.contextmanager
def stands_still(pair):
    pair.bad.freeze()
    yield
    pair.bad.thaw()


@contextlib.contextmanager
def cannot_be_reached(pair):
    """A listener whose queue is full lets the kernel drop what comes: as if the host was not there."""
    pair.relay.close()
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.closing(socket.socket()))
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind((ELSEWHERE, pair.port))
        server.listen(0)
        while True:
            client = stack.enter_context(contextlib.closing(socket.socket()))
            client.settimeout(0.3)
            try:
                client.connect((ELSEWHERE, pair.port))
            except OSError:
                break
        yield
    pair.connect()


FAULTS = [refuses, accepts_and_says_nothing, stalls_in_mid_session, cuts_every_session, stands_still, cannot_be_reached]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_bad_remote_holds_up_no_other_and_gets_everything_once_it_is_back(pair, source, agent, fault):
    """The other mirror is equal while this one is still bad, several times over; then both are."""
    running = agent(source, pair.remotes, "-r", params=EXACT + " --contimeout=2", port=pair.port, timeout=3)
    fill(os.path.join(source, b"old"))
    started(running, source, pair.mirrors)
    with fault(pair):
        for number in range(3):
            write(source, b"new/%d" % number, b"%d" % number)
            write(source, b"old/%d.txt" % number, b"written again")
            wait_equal(source, pair.good.mirrors)
        os.remove(os.path.join(source, b"old/0.txt"))
        os.rename(os.path.join(source, b"old/deeper"), os.path.join(source, b"new/deeper"))
        wait_equal(source, pair.good.mirrors)
        assert differences(source, pair.bad.mirrors[0])
    wait_equal(source, pair.mirrors)
    # and changes go through as before
    write(source, b"last")
    wait_equal(source, pair.mirrors)


def change_many(source):
    """Make 300 changes: 100 files each are written, deleted and renamed."""
    for number in range(100):
        write(source, b"new/%d/%d" % (number % 5, number), b"%d" % number)
        os.remove(os.path.join(source, b"old/%d" % number))
        os.rename(os.path.join(source, b"old/%d" % (100 + number)), os.path.join(source, b"old/renamed %d" % number))


def test_what_changed_while_a_daemon_was_stopped_arrives_by_itself_when_it_is_started(source, daemon, agent):
    """300 changes, and nobody touches the agent."""
    for number in range(200):
        write(source, b"old/%d" % number)
    running = started(agent(source, daemon, "-r", params=EXACT), source, daemon.mirrors)
    daemon.stop()
    change_many(source)
    wait_for(lambda: "away" in running.log())
    shutil.rmtree(os.path.join(source, b"new/3"))
    daemon.start()
    wait_equal(source, daemon.mirrors)


def sparse(source, name, megabytes):
    """Make a file that is big from its first close on: one that grows later may go with the small ones."""
    with open(os.path.join(source, name), "wb") as file:
        file.write(b"big")
        file.truncate(megabytes << 20)


def parts(mirror, name=b"big"):
    """Return the temporary files of a big file under way."""
    return [entry for entry in os.listdir(mirror) if entry.startswith(b"." + name + b".")]


def test_a_daemon_killed_in_the_middle_of_a_big_file_gets_it_when_it_is_back(source, daemon, agent):
    """What the killed session left at the remote is swept away by the next whole-tree push, at the latest."""
    running = agent(source, daemon, "-r", params=EXACT + " --no-z --bwlimit=12000")
    started(running, source, daemon.mirrors)
    sparse(source, b"big", 80)
    mirror = daemon.mirrors[0]
    wait_for(lambda: parts(mirror))
    daemon.kill()
    assert not os.path.exists(os.path.join(mirror, b"big"))
    write(source, b"meanwhile")
    daemon.start()
    wait_equal(source, daemon.mirrors, ignore=lambda path: path.startswith(b".big."))
    running.signal(signal.SIGUSR1)
    wait_equal(source, daemon.mirrors)


def test_a_big_file_under_way_does_not_hold_small_ones_up(source, daemon, agent):
    """Small files arrive, are changed and deleted while the big one is still on its way."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT + " --no-z --bwlimit=1000")
    mirror = daemon.mirrors[0]
    started(running, source, [mirror])
    sparse(source, b"big", 100)
    wait_for(lambda: parts(mirror))
    for number in range(5):
        write(source, b"small/%d" % number, b"%d" % number)
        wait_for(lambda path=os.path.join(mirror, b"small/%d" % number): os.path.exists(path))
    shutil.rmtree(os.path.join(source, b"small"))
    wait_for(lambda: not os.path.exists(os.path.join(mirror, b"small")))
    assert parts(mirror), "the big file was through before the small ones: it must be bigger"


def test_a_failed_session_beside_a_big_file_does_not_let_small_ones_wait_for_the_big_one(pair, source, agent):
    """One connection that breaks is tried again at once, however long the big file takes."""
    running = agent(source, pair.remotes, "-r", port=pair.port, params=EXACT + " --no-z --bwlimit=1000", warm=0)
    started(running, source, pair.mirrors)
    mirror = pair.bad.mirrors[0]
    sparse(source, b"big", 100)
    wait_for(lambda: parts(mirror))
    # the session of the big file lives on, new ones are refused
    pair.relay._server.shutdown(socket.SHUT_RDWR)
    pair.relay._server.close()
    write(source, b"small")
    wait_for(lambda: "away" in running.log())
    again = Relay(pair.bad.port, pair.port, ELSEWHERE)
    wait_for(lambda: os.path.exists(os.path.join(mirror, b"small")))
    assert parts(mirror), "the big file was through before the small one: it must be bigger"
    again.close()


# ---- passwords and other refusals -----------------------------------------------------------------------------------


def secret_file(tmp_path, text):
    path = str(tmp_path / "rsync.pass")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text + "\n")
    return path


def command_lines(running):
    """Return what the agent and all it started have on their command lines and in their environment."""
    found = b""
    for pid in running.processes():
        for name in ("cmdline", "environ"):
            with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
                found += file.read()
    return found


def lines_with(text, word):
    return [line for line in text.splitlines() if word in line]


def test_a_wrong_password_is_said_in_one_line_holds_up_no_other_remote_and_is_shown_nowhere(tmp_path, source, agent):
    """Once the secrets at the daemon are corrected, everything arrives there too."""
    users = {"backup": "Open-Sesame-77"}
    with Pair(str(tmp_path), users={"backup": "something else"}) as pair:
        running = agent(
            source, pair.remotes, "-r", port=pair.port, user="backup", params=EXACT, debug=True,
            password_file=secret_file(tmp_path, users["backup"]),
        )
        write(source, b"first")
        running.start()
        wait_equal(source, pair.good.mirrors)
        shown = b""
        for number in range(20):
            write(source, b"%d" % number)
            shown += command_lines(running)
        wait_equal(source, pair.good.mirrors)
        wait_for(lambda: os.path.exists(running.fail_log) and os.path.getsize(running.fail_log))
        wait_for(lambda: pair.bad.log().count("auth failed") > 2)
        said = lines_with(running.log(), "WARNING")
        assert len(lines_with("\n".join(said), "auth failed")) == 1, said
        with open(running.fail_log) as file:
            shown += file.read().encode()
        pair.bad.users.update(users)
        pair.bad._auth()
        wait_equal(source, pair.mirrors)
        shown += command_lines(running) + running.report().encode()
        assert users["backup"].encode() not in shown
        assert b"--password-file=" in shown
        running.stop()


def test_an_unknown_module_is_said_in_one_line_and_holds_up_no_other_remote(source, daemon, agent):
    """The line names the module."""
    remotes = [daemon.remotes[0], (LOOPBACK, "nosuch")]
    running = agent(source, remotes, "-r", port=daemon.port)
    write(source, b"first")
    running.start()
    wait_equal(source, [daemon.mirrors[0]])
    wait_for(lambda: daemon.log().count("unknown module 'nosuch'") > 2)
    write(source, b"second")
    wait_equal(source, [daemon.mirrors[0]])
    assert len(lines_with(running.log(), "Unknown module 'nosuch'")) == 1


def occupy(port):
    """Begin a session and leave it there; return its socket, or None if the daemon is busy."""
    hog = socket.create_connection((LOOPBACK, port))
    hog.sendall(b"@RSYNCD: 30.0\nm1\n")
    answer, piece = b"", hog.recv(1000)
    while piece and b"OK" not in answer + piece:
        answer, piece = answer + piece, hog.recv(1000)
    if piece:
        return hog
    hog.close()
    return None


def test_a_daemon_that_allows_one_connection_at_a_time_is_served_as_well(tmp_path, source, agent):
    """Both modules of it, and also after somebody else held the only connection for a while."""
    modules = {name: os.fsencode(str(tmp_path / name)) for name in ("m1", "m2")}
    with Daemon(str(tmp_path / "daemon"), modules, max_connections=1) as narrow:
        running = agent(source, narrow, "-r", params=EXACT)
        fill(source)
        running.start()
        wait_equal(source, narrow.mirrors)
        before = running.log().count("max connections")
        hog = wait_for(lambda: occupy(narrow.port))
        write(source, b"while somebody else was there")
        wait_for(lambda: running.log().count("max connections") > before)
        hog.close()
        wait_equal(source, narrow.mirrors)


def test_a_read_only_module_gets_everything_once_it_is_writable(tmp_path, source, agent):
    """It is said that the module is read only, and tried again without spinning."""
    with Daemon(str(tmp_path / "daemon"), {"m1": os.fsencode(str(tmp_path / "m1"))}, read_only=True) as daemon:
        running = agent(source, daemon, "-r")
        fill(source)
        running.start()
        wait_for(lambda: "read only" in running.log())
        before, begun = daemon.connections(), time.monotonic()
        time.sleep(2)
        assert daemon.connections() - before < 4 + 1.5 * (time.monotonic() - begun)
        daemon.read_only = False
        daemon.restart()
        wait_equal(source, daemon.mirrors)


# ---- what the remote's disk can do -----------------------------------------------------------------------------------


@contextlib.contextmanager
def immutable(folder):
    """Make a folder one that not even root can write to."""
    done = subprocess.run(["chattr", "+i", os.fsdecode(folder)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        pytest.skip(f"chattr +i does not work here: {done.stdout!r}")
    try:
        yield
    finally:
        subprocess.run(["chattr", "-i", os.fsdecode(folder)], check=True)


@pytest.mark.parametrize("excludes", [(), (r".*\.excluded",)], ids=["without filters", "with filters"])
def test_a_folder_that_cannot_be_written_at_the_remote_costs_only_the_paths_in_it(source, daemon, agent, excludes):
    """The others go on, the failed paths are named, are in the fail log, and arrive when the folder can be written."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT, excludes=excludes)
    mirror = daemon.mirrors[0]
    write(source, b"locked/old")
    write(source, b"locked/goes")
    started(running, source, [mirror])
    with immutable(os.path.join(mirror, b"locked")):
        write(source, b"locked/new")
        write(source, b"locked/old", b"written again")
        os.remove(os.path.join(source, b"locked/goes"))
        for number in range(50):
            write(source, b"open/%d" % number)
        others = {"ignore": lambda path: path.startswith(b"locked")}
        wait_equal(source, [mirror], **others)
        wait_for(lambda: "failed twice" in running.log())
        write(source, b"later")
        wait_equal(source, [mirror], **others)
        wait_for(lambda: all(word in owed(running) for word in ("./locked/new", "./locked/old", "./locked/goes")))
        assert "./open" not in owed(running)
        assert "away" not in running.log()
    wait_equal(source, [mirror])
    wait_for(lambda: owed(running) == "")


def owed(running):
    with open(running.fail_log) as file:
        return file.read()


@contextlib.contextmanager
def tiny_disk(folder, options="size=64k"):
    """Put a file system on a folder, of 64 KiB if nothing else is said."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", os.fsdecode(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stdout!r}")
    try:
        yield
    finally:
        subprocess.run(["umount", os.fsdecode(folder)], check=True)


def test_a_full_disk_at_the_remote_keeps_other_paths_from_nothing_and_is_made_up_for(source, daemon, agent):
    """A file that does not fit arrives once there is room; what fits elsewhere need not wait for it."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT)
    mirror = daemon.mirrors[0]
    os.makedirs(os.path.join(mirror, b"tiny"))
    with tiny_disk(os.path.join(mirror, b"tiny")):
        write(source, b"tiny/small")
        started(running, source, [mirror])
        full = write(mirror, b"tiny/ballast", b"x" * 30000)
        write(source, b"tiny/large", os.urandom(50000))
        wait_for(lambda: "No space left" in running.log())
        for number in range(20):
            write(source, b"elsewhere/%d" % number)
        wait_equal(source, [mirror], ignore=lambda path: path.startswith(b"tiny"))
        os.remove(full)
        wait_equal(source, [mirror])
        running.stop()


def test_a_first_push_that_finds_no_room_at_the_remote_sends_all_once_there_is(source, daemon, agent):
    """rsync's errors name the temporary files there; the files behind them are what is owed."""
    mirror = daemon.mirrors[0]
    for number in range(60):
        write(source, b"folder/%d" % number)
    with tiny_disk(mirror, "nr_inodes=20"):
        running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT).start()
        wait_for(lambda: "No space left" in running.log())
        subprocess.run(["mount", "-o", "remount,nr_inodes=1000", os.fsdecode(mirror)], check=True)
        wait_equal(source, [mirror])
        running.stop()


def test_a_comparison_leaves_alone_what_is_on_its_way_to_the_remote(source, daemon, agent):
    """There it has a temporary name that is not here."""
    running = agent(source, [daemon.remotes[0]], "-r", port=daemon.port, params=EXACT + " --no-z --bwlimit=16000")
    mirror = daemon.mirrors[0]
    started(running, source, [mirror])
    sparse(source, b"big", 80)
    wait_for(lambda: parts(mirror))
    before = running.log().count("whole tree compared")
    running.signal(signal.SIGUSR1)
    wait_for(lambda: running.log().count("whole tree compared") > before)
    wait_equal(source, [mirror])
    assert " failed" not in running.log()


# ---- ssh -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def sshd(tmp_path):
    """A running sshd of our own on the loopback: (port, client options)."""
    server = next((path for path in (shutil.which("sshd"), "/usr/sbin/sshd") if path and os.path.exists(path)), None)
    if server is None or shutil.which("ssh") is None:
        pytest.skip("openssh is not installed")
    folder = str(tmp_path / "ssh")
    os.mkdir(folder, 0o700)
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", os.path.join(folder, name)], check=True)
    shutil.copy(os.path.join(folder, "client.pub"), os.path.join(folder, "authorized"))
    port = free_port()
    with open(os.path.join(folder, "config"), "w") as file:
        file.write(
            f"Port {port}\nListenAddress {LOOPBACK}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "PidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin prohibit-password\n"
        )
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", 0o755, exist_ok=True)
    process = subprocess.Popen([server, "-D", "-e", "-f", os.path.join(folder, "config")],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def answers():
        if process.poll() is not None:
            pytest.skip(f"sshd does not start here: {process.stderr.read()!r}")
        with contextlib.suppress(OSError):
            socket.create_connection((LOOPBACK, port), timeout=1).close()
            return True

    wait_for(answers)
    known = f"-oStrictHostKeyChecking=no -oUserKnownHostsFile={folder}/known"
    options = f"-i {folder}/client {known} -oLogLevel=ERROR -F none"
    yield port, options
    process.terminate()
    process.communicate(timeout=10)


def test_ssh_with_the_users_own_command_in_params_and_the_port_of_the_config(sshd, source, tmp_path, agent):
    """The port of userDefinedPort is ssh's; hostile names survive it, and are not executed at the remote."""
    port, options = sshd
    mirror = os.fsencode(str(tmp_path / "over ssh"))
    os.mkdir(mirror)
    running = agent(source, [(LOOPBACK, os.fsdecode(mirror))], "-r", ssh=True, port=port,
                    params=f'{EXACT} -e "ssh {options}"')
    started(running, source, [mirror])
    for name in (b"`touch owned`", b"$(touch owned)", b"it's; touch owned", b"a b/c d", b"new\nline"):
        write(source, name)
    wait_equal(source, [mirror])
    shutil.rmtree(os.path.join(source, b"a b"))
    wait_equal(source, [mirror])
    running.stop()


def test_ssh_without_a_command_in_params_finds_the_port_and_asks_nobody_anything(sshd, source, tmp_path, agent):
    """As sersync2's `-e ssh`; a connection that is refused is one line, and everything arrives once there is one."""
    port, options = sshd
    mirror = os.fsencode(str(tmp_path / "over ssh"))
    os.mkdir(mirror)
    folder = str(tmp_path / "bin")
    write(os.fsencode(folder), b"ssh", "#!/bin/sh\nexec {} {} \"$@\"\n".format(shutil.which("ssh"), options).encode())
    os.chmod(os.path.join(folder, "ssh"), 0o755)
    env = {"PATH": folder + ":" + os.environ["PATH"]}
    running = agent(source, [(LOOPBACK, os.fsdecode(mirror))], "-r", ssh=True, port=port, params=EXACT, env=env)
    os.rename(str(tmp_path / "ssh/client"), str(tmp_path / "ssh/away"))
    fill(source)
    running.start()
    wait_for(lambda: "Permission denied" in running.log())
    os.rename(str(tmp_path / "ssh/away"), str(tmp_path / "ssh/client"))
    wait_equal(source, [mirror])
    assert len(lines_with(running.log(), "Permission denied")) == 1
    running.stop()
