"""The rig must be able to fail: a comparison that never finds a difference would make every other test pass."""

import os
import signal
import socket
import subprocess
import time
import xml.etree.ElementTree as ElementTree

import pytest
from rig import (
    HOSTILE_NAMES,
    LOOPBACK,
    Daemon,
    Relay,
    SilentListener,
    confxml,
    differences,
    wait_equal,
    wait_for,
)


def rsync(source, url, *options, env=None):
    command = ["rsync", "-a", "--delete", "--timeout=10", *list(options), source + b"/", url]
    return subprocess.run(command, env=dict(os.environ, **(env or {})), stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=20)


@pytest.fixture
def twins(tmp_path):
    """Two equal trees."""
    trees = [os.fsencode(str(tmp_path / name)) for name in ("left", "right")]
    for tree in trees:
        os.makedirs(tree + b"/sub/deep")
        for name in (b"/file", b"/sub/deep/file"):
            with open(tree + name, "wb") as file:
                file.write(b"content")
            os.utime(tree + name, ns=(1, 1234567890123456789))
        os.symlink(b"file", tree + b"/link")
        os.mkfifo(tree + b"/fifo")
        os.utime(tree + b"/sub", ns=(1, 1))
    return trees


def overwrite(path):
    """Change the content and nothing else."""
    before = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"CONTENT")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def retarget(path):
    os.unlink(path)
    os.symlink(b"elsewhere", path)


def become_folder(path):
    os.unlink(path)
    os.mkdir(path)


def become_file(path):
    os.unlink(path)
    open(path, "wb").close()


@pytest.mark.parametrize(("name", "change", "words"), [
    (b"file", os.unlink, "is missing"),
    (b"sub/deep/new\nname", os.mkdir, "is too much"),
    (b"sub/deep/file", overwrite, "content differs"),
    (b"file", lambda path: os.truncate(path, 3), "size 7 became 3"),
    (b"file", lambda path: os.chmod(path, 0o600), "mode 644 became 600"),
    (b"sub", lambda path: os.chmod(path, 0o700), "mode 755 became 700"),
    (b"file", lambda path: os.utime(path, ns=(1, 1234567890123456788)), "mtime"),
    (b"link", retarget, "symlink to b'file' became one to b'elsewhere'"),
    (b"file", become_folder, "type"),
    (b"fifo", become_file, "type"),
])
def test_each_kind_of_difference_is_found(twins, name, change, words):
    """One change to one tree gives a sentence that names the path and what is different about it."""
    left, right = twins
    os.chmod(left + b"/file", 0o644)
    os.chmod(right + b"/file", 0o644)
    assert differences(left, right) == []
    change(right + b"/" + name)
    found = differences(left, right)
    assert found
    assert all(repr(name) in each for each in found)
    assert any(words in each for each in found)


def test_folder_times_count_only_when_asked_for(twins):
    """rsync sets a folder's mtime last, and not every push covers the folder: so this is a choice of the test."""
    left, right = twins
    os.utime(right + b"/sub", ns=(1, 2))
    assert differences(left, right) == []
    assert differences(left, right, folder_times=True, ignore=lambda path: path == b"sub/deep") == [
        "b'sub': mtime 1 became 2"]


def test_what_is_ignored_is_not_compared_nor_entered(twins):
    """An excluded folder may hold anything at the mirror."""
    left, right = twins
    os.unlink(left + b"/sub/deep/file")
    assert differences(left, right, ignore=lambda path: path == b"sub") == []
    assert differences(left, right) != []


def test_times_may_be_left_out(twins):
    """A mirror made without -t has other times."""
    left, right = twins
    os.utime(right + b"/file", ns=(1, 1))
    assert differences(left, right, times=False) == []


def test_wait_for_returns_what_the_condition_gave():
    """The value is handed on, so that a test can go on with it."""
    assert wait_for(lambda: [1]) == [1]


def test_wait_for_gives_up_at_its_deadline_with_the_last_reason():
    """A test that waits in vain says for what, and how it stood last."""
    def never():
        raise AssertionError("three files are missing")

    begun = time.monotonic()
    with pytest.raises(AssertionError, match="for the mirror: three files are missing"):
        wait_for(never, 0.2, "the mirror")
    assert 0.2 <= time.monotonic() - begun < 20


def test_wait_equal_shows_the_first_ten_differences(tmp_path):
    """A failing comparison of thousands of files stays readable."""
    left, right = os.fsencode(str(tmp_path / "left")), os.fsencode(str(tmp_path / "right"))
    for number in range(30):
        os.makedirs(left + b"/%02d" % number)
    os.mkdir(right)
    with pytest.raises(AssertionError) as failure:
        wait_equal(left, [left, right], 0.1)
    assert "30 differences" in str(failure.value)
    assert str(failure.value).count("is missing") == 10


def test_the_daemon_mirrors_hostile_names(daemon, source):
    """What a plain rsync can carry is what the agent will be measured by: all of it."""
    for name in HOSTILE_NAMES:
        os.mkdir(source + b"/d" + name[:250])
        with open(source + b"/" + name, "wb") as file:
            file.write(name)
    done = rsync(source, daemon.url("m1"))
    assert done.returncode == 0, done.stdout
    wait_equal(source, daemon.modules["m1"], 1)
    assert daemon.sessions() == 1
    assert differences(source, daemon.modules["m2"]) != []


def test_the_daemon_comes_back_on_its_port(daemon, source):
    """An outage is a stop; what follows it is a start at the same address."""
    for halt in (daemon.stop, daemon.kill):
        halt()
        assert rsync(source, daemon.url("m1")).returncode == 10
        daemon.start()
        assert rsync(source, daemon.url("m1")).returncode == 0


def test_the_daemon_asks_for_the_password(tmp_path, source):
    """With users, nobody gets in without one."""
    with Daemon(str(tmp_path / "d"), {"m": os.fsencode(str(tmp_path / "m"))}, users={"sync": "secret"}) as daemon:
        url = daemon.url("m").replace("//", "//sync@")
        assert rsync(source, url, env={"RSYNC_PASSWORD": "wrong"}).returncode == 5
        assert rsync(source, url, env={"RSYNC_PASSWORD": "secret"}).returncode == 0


def test_the_daemon_may_be_read_only_and_may_be_full(tmp_path, source):
    """Refusals that a real daemon gives."""
    modules = {"m": os.fsencode(str(tmp_path / "m"))}
    with Daemon(str(tmp_path / "d1"), modules, read_only=True) as daemon:
        assert b"read only" in rsync(source, daemon.url("m")).stdout
    with Daemon(str(tmp_path / "d2"), modules, max_connections=1) as daemon, Relay(daemon.port) as relay:
        waiting = ["rsync", "--files-from=-", source, daemon.url("m").replace(str(daemon.port), str(relay.port))]
        with subprocess.Popen(waiting, stdin=subprocess.PIPE) as first:
            wait_for(lambda: daemon.sessions() == 1)
            assert b"max connections" in rsync(source, daemon.url("m")).stdout
            first.stdin.close()


def test_confxml_says_what_it_was_told():
    """Every option reaches the file, and a path with XML's own characters survives."""
    data = confxml(b"/a&b<\"c\n", [("10.0.0.1", "m1"), ("10.0.0.2", "m2/sub")], params="-az", user="u",
                   password_file="/p", port=1, timeout=2, ssh=True, excludes=["(.*)\\.svn"], crontab=3,
                   crontab_excludes=["*.tmp"], fail_log="/f", fail_minutes=4, plugin="socket", debug=True,
                   delete=False, hiddenFiles=True, more=[("/b", [("ip", "m3")])], extra=b"<plugin name='socket'/>")
    head = ElementTree.fromstring(data)
    found = {"/".join(path): node.attrib for path, node in walk(head)}
    assert head.find("sersync/localpath").get("watch") == "/a&b<\"c\n"
    assert [node.get("name") for node in head.iter("remote")] == ["m1", "m2/sub", "m3"]
    assert found["sersync/rsync/auth"] == {"start": "true", "users": "u", "passwordfile": "/p"}
    assert found["sersync/rsync/userDefinedPort"] == {"start": "true", "port": "1"}
    assert found["sersync/rsync/timeout"] == {"start": "true", "time": "2"}
    assert found["sersync/rsync/ssh"] == {"start": "true"}
    assert found["sersync/failLog"] == {"path": "/f", "timeToExecute": "4"}
    assert found["sersync/crontab"] == {"start": "true", "schedule": "3"}
    assert found["sersync/crontab/crontabfilter/exclude"] == {"expression": "*.tmp"}
    assert found["sersync/plugin"] == {"start": "true", "name": "socket"}
    assert found["filter/exclude"] == {"expression": "(.*)\\.svn"}
    assert (found["inotify/delete"], found["inotify/hiddenFiles"]) == ({"start": "false"}, {"start": "true"})
    with pytest.raises(TypeError, match="closeWrit"):
        confxml("/a", [], closeWrit=True)


def walk(node, path=()):
    for child in node:
        yield (*path, child.tag), child
        yield from walk(child, (*path, child.tag))


def test_a_silent_listener_accepts_and_says_nothing():
    """The client of such a daemon has only its own clock."""
    with SilentListener() as listener, socket.create_connection((LOOPBACK, listener.port), timeout=0.2) as client:
        with pytest.raises(socket.timeout):
            client.recv(1)
        wait_for(lambda: listener.connections == 1)
        listener.cut()
        assert client.recv(1) == b""


def test_a_relay_passes_stalls_and_cuts(daemon, source):
    """A network in between, as good or bad as the test wants it."""
    with Relay(daemon.port) as relay:
        url = daemon.url("m1").replace(str(daemon.port), str(relay.port))
        assert rsync(source, url).returncode == 0
        assert (relay.connections, relay.bytes_sent > 0) == (1, True)
        relay.stall()
        assert rsync(source, url, "--contimeout=1", "--timeout=1").returncode in (30, 35)
        relay.resume()
        assert rsync(source, url).returncode == 0
        relay.stall()
        with subprocess.Popen(["rsync", "-a", source, url], stderr=subprocess.PIPE) as client:
            wait_for(lambda: relay.connections == 4)
            relay.cut()
            assert client.wait(10) in (5, 10, 12)
    daemon.stop()
    with Relay(daemon.port) as relay:
        url = daemon.url("m1").replace(str(daemon.port), str(relay.port))
        assert rsync(source, url).returncode != 0


def test_a_frozen_daemon_accepts_and_does_not_answer(daemon, source):
    """A hung server: the kernel completes the connection, nobody reads it."""
    daemon.freeze()
    assert rsync(source, daemon.url("m1"), "--timeout=1").returncode == 30
    daemon.thaw()
    assert rsync(source, daemon.url("m1")).returncode == 0
    daemon.freeze()
    daemon.restart()
    assert rsync(source, daemon.url("m1")).returncode == 0


class TestAgentOfTheRig:
    """The part of the rig that runs the agent, tried with a stand-in, for a rig must not depend on what it tests."""

    @pytest.fixture
    def stand_in(self, agent, source, monkeypatch):
        """Return an Agent whose command line is a Python script of ours."""
        def make(script):
            made = agent(source, [(LOOPBACK, "m1")])
            monkeypatch.setattr(made, "command", lambda: [made.python, "-c", script])
            return made.start(watching=0)

        return make

    def test_an_end_with_another_code_than_0_fails(self, stand_in):
        """A crash on SIGTERM is not an orderly end."""
        running = stand_in("import time; print('up', flush=True); time.sleep(60)")
        wait_for(lambda: "up" in running.output())
        with pytest.raises(AssertionError, match=f"ended with {-signal.SIGTERM}"):
            running.stop()

    def test_nothing_it_started_is_left(self, stand_in):
        """Also not what has gone into a session of its own."""
        running = stand_in("import subprocess, time\n"
                           "for new in (True, False): subprocess.Popen(['sleep', '60'], start_new_session=new)\n"
                           "time.sleep(60)")
        wait_for(lambda: len(running.processes()) == 3)
        running.kill()
        assert len(running.processes()) == 2
        running.end()
        assert running.processes() == []

    def test_an_agent_that_cannot_start_is_said_with_its_words(self, stand_in):
        """The reason stands in the failure, not in a file that is gone when one looks."""
        running = stand_in("raise SystemExit('no such config')")
        running.wait()
        with pytest.raises(RuntimeError, match="no such config"):
            running.start(watching=1)
