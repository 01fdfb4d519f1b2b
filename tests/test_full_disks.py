"""A full or read-only disk under the state folder, the log or the fail log: mirroring goes on, and it is said once."""

import os
import re
import shutil
import subprocess
import time

import pytest
from rig import wait_equal, wait_for
from test_mirror import EXACT, fill, write

from sersync_py.logfile import LogFile

QUICK = """
from sersync_py import agent, debts
agent.HEARTBEAT_SECONDS, debts.OWED_SECONDS = 1, 0.5
"""
LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) +\S")


class Disk:
    """A small file system of its own, which can be filled up and hidden behind a read-only one."""

    def __init__(self, folder):
        self.folder = folder
        self._filler = os.path.join(folder, "filler")
        os.makedirs(folder, exist_ok=True)
        self._mount(folder, "size=512k")

    @staticmethod
    def _mount(folder, options):
        command = ["mount", "-t", "tmpfs", "-o", options, "none", folder]
        if subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode:
            pytest.skip("nothing can be mounted here")

    def fill(self):
        """Leave no block free."""
        with open(self._filler, "ab", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                return

    def free(self):
        """Make room again."""
        os.remove(self._filler)

    def protect(self):
        """Let it be read-only, with all that stands there: a copy that is so already takes its place."""
        copy = self.folder + ".copy"
        os.mkdir(copy)
        self._mount(copy, "size=512k")
        # what the agent renames while it is copied is met by the next try
        wait_for(lambda: not subprocess.call(["cp", "-a", self.folder + "/.", copy]), 20, "a whole copy")
        subprocess.run(["mount", "-o", "remount,ro", copy], check=True)
        subprocess.run(["mount", "--bind", copy, self.folder], check=True)

    def unprotect(self):
        """Let it be writable again."""
        for folder in (self.folder, self.folder + ".copy"):
            # the agent may be about to look for its file there
            command = ["umount", folder]
            wait_for(lambda words=command: not subprocess.call(words, stderr=subprocess.DEVNULL), 20, "the umount")

    def close(self):
        for folder in (self.folder, self.folder + ".copy"):
            while os.path.ismount(folder):
                subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def disk(tmp_path):
    made = Disk(str(tmp_path / "disk"))
    yield made
    made.close()


full = pytest.param("fill", "free", "No space left on device", id="full")
read_only = pytest.param("protect", "unprotect", "Read-only file system", id="read-only")
both_ways = pytest.mark.parametrize(("spoil", "mend", "reason"), [full, read_only])


@pytest.fixture
def quick(agent, source, daemon):
    """A factory of agents whose heart beats every second, with some of their files on the disk; not started yet."""

    def make(*arguments, **places):
        options = {name: places.pop(name) for name in ("fail_log", "debug") if name in places}
        running = agent(source, daemon, *arguments, params=EXACT, **options)
        running.prelude = QUICK
        for name, path in places.items():
            setattr(running, name, path)
        return running

    return make


def churn(source, mirrors, number):
    """Change things of all kinds; come back when the mirrors have them."""
    write(source, b"new/%d" % number, b"%d" % number)
    write(source, b"old/0.txt", b"again %d" % number)
    os.rename(os.path.join(source, b"old/1.txt"), os.path.join(source, b"old/moved"))
    os.rename(os.path.join(source, b"old/moved"), os.path.join(source, b"old/1.txt"))
    write(source, b"short/lived")
    wait_equal(source, mirrors)
    shutil.rmtree(os.path.join(source, b"short"))
    wait_equal(source, mirrors)


def started(running, source, mirrors):
    fill(os.path.join(source, b"old"))
    running.start()
    wait_equal(source, mirrors)
    return running


# ---- the state folder ------------------------------------------------------------------------------------------------


@both_ways
def test_without_room_for_marks_mirroring_goes_on_and_it_is_said_once_and_when_it_is_over(
    quick, source, daemon, disk, spoil, mend, reason
):
    """A kill in between costs a longer scan, and no change."""
    running = started(quick("-r", state_dir=disk.folder), source, daemon.mirrors)
    wait_for(lambda: len(running.marks()) == 2)
    getattr(disk, spoil)()
    # a mark that was about to be renamed into place may have left a block
    wait_for(lambda: mend == "unprotect" or disk.fill() or "no mark can be saved" in running.log())
    wait_for(lambda: "no mark can be saved" in running.log())
    spoilt = running.marks()
    churn(source, daemon.mirrors, 1)
    time.sleep(1.5)
    assert running.log().count("no mark can be saved") == 1
    assert f"no mark can be saved in {disk.folder}: {reason}; mirroring goes on" in running.log()
    assert running.marks() == spoilt
    moment = time.time()
    getattr(disk, mend)()
    wait_for(lambda: "over: no mark can be saved" in running.log())
    wait_for(lambda: running.marks()[-1] > moment)
    running.stop()
    assert not [name for name in os.listdir(disk.folder) if name.endswith(".new")]
    assert "Traceback" not in running.report()


def test_on_a_full_state_folder_an_agent_starts_and_tells_its_pid_when_there_is_room(quick, source, daemon, disk):
    """At boot nobody is there to make room first, and mirrors must not grow old for a pid file."""
    disk.fill()
    running = quick("-r", state_dir=disk.folder, pid_file=os.path.join(disk.folder, "agent.pid"))
    started(running, source, daemon.mirrors)
    churn(source, daemon.mirrors, 1)
    told = f"{running.pid_file} cannot be written: No space left on device; mirroring goes on"
    assert told in running.log()
    other = quick(state_dir=disk.folder, config_file=running.config_file)
    assert other.start(watching=0).wait() == 2
    assert "already running" in other.output()
    disk.free()

    wait_for(lambda: "over: " + told in running.log())
    assert running.log().count(told) == 2
    with open(running.pid_file) as file:
        assert file.read() == f"{running.pid}\n"
    running.stop()
    assert not os.path.exists(running.pid_file)


def test_a_kill_on_a_full_state_folder_loses_nothing(quick, source, daemon, disk):
    """The marks are old, or there are none; what changed since is found."""
    running = started(quick("-r", state_dir=disk.folder), source, daemon.mirrors)
    wait_for(lambda: len(running.marks()) == 2)
    disk.fill()
    churn(source, daemon.mirrors, 1)
    for number in range(2):
        running.kill()
        running.end()
        write(source, b"while down", b"%d" % number)
        os.remove(os.path.join(source, b"old/%d.txt" % (number + 2)))
        running.arguments = ()
        running.start()
        wait_equal(source, daemon.mirrors)
    disk.free()
    running.stop()


@pytest.mark.parametrize("what", ["state_dir", "log_file", "pid_file"])
@pytest.mark.parametrize("detaches", [False, True], ids=["in the foreground", "as a daemon"])
def test_a_start_on_a_read_only_disk_is_refused_and_says_which_file(quick, source, daemon, disk, what, detaches):
    """Somebody is there to be told; the lock needs a file that can be written."""
    disk.protect()
    place = disk.folder if what == "state_dir" else os.path.join(disk.folder, "file")
    running = quick("-r", *(["-d"] if detaches else []), **{what: place})
    assert running.start(watching=0).wait() == 1
    assert re.fullmatch(rf"sersync-py: cannot write {disk.folder}/\S+: Read-only file system\n", running.output())
    assert running.processes() == []
    assert os.listdir(daemon.mirrors[0]) == []


# ---- the log ---------------------------------------------------------------------------------------------------------


def whole(text):
    """See that each line is one, or a piece of one before which there is a gap."""
    return [line for line in text.splitlines() if not LINE.match(line)] == []


@both_ways
def test_without_room_for_the_log_mirroring_goes_on_and_later_the_log_says_how_many_lines_are_missing(
    quick, source, daemon, disk, spoil, mend, reason
):
    """No traceback anywhere; stderr is told once, if there is somebody to read it."""
    running = quick("-r", log_file=os.path.join(disk.folder, "agent.log"), debug=True)
    started(running, source, daemon.mirrors)
    getattr(disk, spoil)()
    for number in range(3):
        churn(source, daemon.mirrors, number)
        assert running.running()
    wait_for(lambda: running.output())
    told = f"sersync-py: cannot write {running.log_file}: {reason}; what would be logged is lost for now\n"
    assert running.output() == told
    getattr(disk, mend)()
    churn(source, daemon.mirrors, 9)
    found = re.search(r"WARNING (\d+) lines from \S+ \S+ on are missing here, they could not be written: (.*)",
                      running.log())
    assert found, running.log()[-2000:]
    assert int(found.group(1)) > 10
    assert found.group(2) == reason
    assert "new/9" in running.log()[found.end():]
    assert "new/2" not in running.log()
    running.stop()
    assert running.log().count("are missing here") == 1
    assert running.output() == told


def test_a_full_stderr_ends_nothing_either(quick, source, daemon, disk):
    """As a start from rc.local has it, with all output in a file."""
    running = quick("-r", debug=True)
    running.output_file = os.path.join(disk.folder, "out")
    plain = running.command

    def command(*more):
        words = plain(*more)
        at = words.index("--log-file")
        del words[at:at + 2]
        return words

    running.command = command
    started(running, source, daemon.mirrors)
    disk.fill()
    for number in range(3):
        churn(source, daemon.mirrors, number)
    running.stop()
    assert "Traceback" not in running.output()
    assert "Error" not in running.output()
    assert whole(running.output().rpartition("\n")[0])


def test_a_log_that_is_moved_away_on_a_full_disk_ends_nothing(quick, source, daemon, disk):
    """logrotate moves it; the new one has no room."""
    running = quick("-r", log_file=os.path.join(disk.folder, "agent.log"), debug=True)
    started(running, source, daemon.mirrors)
    disk.fill()
    os.rename(running.log_file, running.log_file + ".1")
    churn(source, daemon.mirrors, 1)
    disk.free()
    churn(source, daemon.mirrors, 2)
    assert re.match(r"[^\n]*WARNING \d+ lines from \S+ \S+ on are missing here", running.log()), running.log()[:2000]
    running.stop()


def test_the_lines_that_are_said_to_be_missing_are_the_missing_ones(disk):
    """Every line is in the log, or counted once; one that was torn is followed by a new line."""
    import logging

    handler = LogFile(os.path.join(disk.folder, "log"))
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    log = logging.Logger("test")
    log.addHandler(handler)
    for number in range(20):
        log.info("before %d", number)
    disk.fill()
    for number in range(200):
        log.info("during %d %s", number, "x" * 100)
    disk.free()
    log.info("after")
    with open(os.path.join(disk.folder, "log")) as file:
        lines = file.read().splitlines()
    there = [line for line in lines if re.fullmatch(r"INFO (before|during) \d+( x{100})?", line)]
    missing = [int(line.split()[1]) for line in lines if "are missing here" in line]
    assert len(missing) == 1
    assert len(there) + missing[0] == 220
    assert lines[-1] == "INFO after"
    assert len(lines) - len(there) - 2 in (0, 1)


# ---- the fail log ----------------------------------------------------------------------------------------------------


@both_ways
def test_without_room_for_the_fail_log_nothing_owed_is_forgotten_and_it_is_said_once(
    quick, source, daemon, disk, spoil, mend, reason
):
    """What failed stays in memory, and stands in the log as soon as that can be written."""
    running = started(quick("-r", fail_log=os.path.join(disk.folder, "fail_log.sh")), source, daemon.mirrors)
    getattr(disk, spoil)()
    daemon.stop()
    write(source, b"owed", b"x" * 100)
    for number in range(100):
        write(source, b"many/%d" % number)
    said = f"fail log {disk.folder}/fail_log.sh cannot be written ({reason})"
    wait_for(lambda: said in running.log())
    time.sleep(1.2)
    assert running.log().count(said) == 1
    getattr(disk, mend)()
    wait_for(lambda: "over: " + said in running.log())
    with open(os.path.join(disk.folder, "fail_log.sh")) as file:
        assert "./owed" in file.read()
    daemon.start()
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: os.path.getsize(os.path.join(disk.folder, "fail_log.sh")) == 0)
    assert [name for name in os.listdir(disk.folder) if name.endswith(".tmp")] == []
    running.stop()


def test_with_all_files_on_one_full_disk_all_changes_arrive(quick, source, daemon, disk):
    """State, log and fail log; the remote goes away meanwhile and the agent is killed."""
    running = quick("-r", state_dir=os.path.join(disk.folder, "state"), log_file=os.path.join(disk.folder, "log"),
                    pid_file=os.path.join(disk.folder, "pid"), fail_log=os.path.join(disk.folder, "fail_log.sh"))
    started(running, source, daemon.mirrors)
    wait_for(lambda: len(running.marks()) == 2)
    disk.fill()
    churn(source, daemon.mirrors, 1)
    daemon.stop()
    write(source, b"owed")
    os.remove(os.path.join(source, b"old/4.txt"))
    time.sleep(1)
    running.kill()
    running.end()
    write(source, b"while down")
    running.arguments = ()
    running.start()
    daemon.start()
    wait_equal(source, daemon.mirrors)
    churn(source, daemon.mirrors, 2)
    disk.free()
    running.stop()
    assert "Traceback" not in running.report()
