"""What systemd is told over its socket, and how its journal gets log lines."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from rig import confxml, wait_for

from sersync_py.systemd import JournalFormatter, Notifier, is_journal

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Listener:
    """Stands where systemd listens; keeps what it hears, a dict a message."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.said = []

    def heard(self):
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except BlockingIOError:
                return self.said
            self.said.append(dict(line.split("=", 1) for line in text.split("\n")))

    def has(self, name, value=None):
        return [said for said in self.heard() if name in said and value in (None, said[name])]


@pytest.fixture
def listener(tmp_path):
    found = Listener(str(tmp_path / "notify"))
    yield found
    found.socket.close()


# ---- the words -------------------------------------------------------------------------------------------------------


def test_the_address_is_taken_out_of_the_environment(tmp_path, listener):
    """No rsync may speak for the service."""
    environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "HOME": "/root"}
    Notifier(environment).ready("fine")
    assert environment == {"HOME": "/root"}
    assert listener.heard() == [{"READY": "1", "STATUS": "fine"}]


def test_an_address_may_be_in_no_folder():
    """systemd writes it with an @ in front."""
    name = f"sersync-py-test-{os.getpid()}"
    listener = Listener("\0" + name)
    Notifier({"NOTIFY_SOCKET": "@" + name}).stopping()
    assert listener.has("STOPPING", "1")
    listener.socket.close()


def test_the_status_line_is_sent_when_it_changes(tmp_path, listener):
    """The watchdog is told each time."""
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for text in ("one", "one", "two"):
        notifier.alive(text)
    assert listener.heard() == [
        {"WATCHDOG": "1", "STATUS": "one"}, {"WATCHDOG": "1"}, {"WATCHDOG": "1", "STATUS": "two"},
    ]


def test_a_reload_carries_the_moment_it_began(tmp_path, listener):
    """In microseconds of the monotonic clock, as Type=notify-reload wants it."""
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify")}).reloading()
    (said,) = listener.has("RELOADING", "1")
    assert 0 <= time.monotonic() - int(said["MONOTONIC_USEC"]) / 1e6 < 60


@pytest.mark.parametrize("address", ["", "/no/such/socket", "x" * 200])
def test_without_systemd_nothing_happens(address):
    """Nor if its socket is not what it should be."""
    notifier = Notifier({"NOTIFY_SOCKET": address} if address else {})
    notifier.starting()
    notifier.ready("\udcff")
    notifier.alive("fine")


# ---- the journal -----------------------------------------------------------------------------------------------------


def test_the_journal_is_known_by_its_device_and_inode(tmp_path):
    """As $JOURNAL_STREAM has them; a file that stderr was sent to instead is not it."""
    with open(str(tmp_path / "log"), "wb") as file:
        found = os.fstat(file.fileno())
        right = f"{found.st_dev}:{found.st_ino}"
        assert is_journal(file.fileno(), {"JOURNAL_STREAM": right})
        for wrong in ("", "0:0", f"{found.st_dev}:{found.st_ino + 1}", "x"):
            assert not is_journal(file.fileno(), {"JOURNAL_STREAM": wrong})
        assert not is_journal(file.fileno(), {})


@pytest.mark.parametrize(("level", "priority"), [
    (logging.DEBUG, 7), (logging.INFO, 6), (logging.WARNING, 4), (logging.ERROR, 3), (logging.CRITICAL, 2), (5, 7),
])
def test_each_line_has_its_priority(level, priority):
    """The lines of a traceback too."""
    record = logging.LogRecord("x", level, "x", 1, "one\ntwo %d", (3,), None)
    assert JournalFormatter("%(message)s").format(record) == f"<{priority}>one\n<{priority}>two 3"


# ---- the agent -------------------------------------------------------------------------------------------------------


def test_a_service_is_told_of_from_start_to_end(source, daemon, agent, tmp_path, listener):
    """READY once all is watched, the status at each heartbeat, a reload, the end; no rsync inherits the address."""
    os.mkdir(os.path.join(source, b"folder"))
    mirrored = agent(source, daemon, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    mirrored.start(watching=0)
    wait_for(lambda: listener.has("READY"), 20, "READY")
    assert mirrored.watches() == 2
    first = listener.heard()[0]
    assert "READY" not in first
    assert int(first["EXTEND_TIMEOUT_USEC"]) > 1e9
    mirrored.signal(signal.SIGHUP)
    wait_for(lambda: len(listener.has("READY")) == 2, 20, "READY after the reload")
    said = [next(iter(each)) for each in listener.heard()]
    assert said.index("RELOADING") < len(said) - 1 - said[::-1].index("READY")
    wait_for(lambda: listener.has("WATCHDOG"), 20, "a sign of life")
    assert listener.has("STATUS", "everything is in step")
    mirrored.stop()
    assert listener.has("STOPPING")


def test_a_faulty_config_ends_the_reload_too(source, daemon, agent, tmp_path, listener):
    """Otherwise systemctl reload would wait for ever."""
    mirrored = agent(source, daemon, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}).start()
    wait_for(lambda: listener.has("READY"), 20, "READY")
    with open(mirrored.config_file, "w") as file:
        file.write("<head>")
    mirrored.signal(signal.SIGHUP)
    wait_for(lambda: len(listener.has("READY")) == 2, 20, "READY after the reload")


def test_a_log_that_goes_to_the_journal_has_priorities_and_no_times(source, tmp_path):
    """What stderr is decides."""
    config = tmp_path / "confxml.xml"
    config.write_bytes(confxml(source, [("127.0.0.1", "m1")], port=1, fail_log=str(tmp_path / "fail.log")))
    output = str(tmp_path / "stderr")

    def lines():
        with open(output) as file:
            return file.read().splitlines()

    for known in (True, False):
        with open(output, "wb") as stderr:
            found = os.fstat(stderr.fileno())
            env = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino if known else 0}"}
            running = subprocess.Popen(
                [sys.executable, "-m", "sersync_py", "-o", str(config), "--state-dir", str(tmp_path / "state")],
                env=env, stderr=stderr, stdin=subprocess.DEVNULL, cwd=CLONE)
        try:
            wait_for(lambda: any("away" in line for line in lines()), 20, "a warning in the log")
        finally:
            running.terminate()
            running.wait(20)
        assert all(line.startswith(("<6>", "<4>", "<3>")) for line in lines()) == known, lines()
        assert any(line.startswith("<4>127.0.0.1::m1: away") for line in lines()) == known
