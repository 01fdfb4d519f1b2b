"""What a person types, what is said back, and the exit code: 0 fine, 1 the machine's fault, 2 the user's mistake."""

import os
import re
import stat
import subprocess
import sys

import pytest
from rig import LOOPBACK, confxml, free_port, wait_equal, wait_for
from test_mirror import read, started, write

import sersync_py
from sersync_py import cli, installed

HERE = os.path.dirname(os.path.dirname(sersync_py.__file__))


def environment(**changes):
    env = {**os.environ, "PYTHONPATH": HERE, **changes}
    return {name: value for name, value in env.items() if value is not None}


def run(*arguments, cwd="/", **changes):
    """Run the command to its end; return its exit code, stdout and stderr. A traceback is never an answer."""
    done = subprocess.run(
        [sys.executable, "-m", "sersync_py", *arguments], cwd=str(cwd), env=environment(**changes), timeout=60,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in out + err
    return done.returncode, out, err


@pytest.fixture
def config(tmp_path, source):
    """A good config whose remote nobody answers at."""
    file = tmp_path / "confxml.xml"
    file.write_bytes(confxml(source, [(LOOPBACK, "m1")], port=free_port(), fail_log=str(tmp_path / "fail.sh")))
    return str(file)


@pytest.fixture
def state(tmp_path):
    return str(tmp_path / "state")


def parsed(*argv):
    """Return what the command line means."""
    arguments = cli._parser().parse_args(argv)
    return arguments.daemon, arguments.whole_tree, arguments.workers, arguments.config


@pytest.mark.parametrize(("argv", "meaning"), [
    ([], (False, False, 10, "confxml.xml")),
    (["-d"], (True, False, 10, "confxml.xml")),
    (["-r"], (False, True, 10, "confxml.xml")),
    (["-d", "-r", "-o", "/etc/c.xml"], (True, True, 10, "/etc/c.xml")),
    (["-dro", "/etc/c.xml"], (True, True, 10, "/etc/c.xml")),
    (["-rdo", "c.xml"], (True, True, 10, "c.xml")),
    (["-n", "2", "-d", "-r", "-o", "c.xml"], (True, True, 2, "c.xml")),
    (["-n2", "-dr"], (True, True, 2, "confxml.xml")),
    (["-d", "-n", "8", "-o", "c.xml", "-r"], (True, True, 8, "c.xml")),
    (["-oc.xml"], (False, False, 10, "c.xml")),
])
def test_every_spelling_of_sersync2_means_the_same(argv, meaning):
    """Flags alone, together, and with their values glued on."""
    assert parsed(*argv) == meaning


def test_help_says_all_and_ends_with_0():
    """Each option of sersync2, ours, and the signals."""
    code, out, _ = run("-h")
    assert code == 0
    for word in ("-d", "-r", "-n", "-o", "-m", "--check", "--dry-run", "--log-file", "--state-dir", "HUP", "USR1"):
        assert word in out


def test_version_says_the_version():
    """One line."""
    assert run("--version") == (0, f"sersync-py {sersync_py.__version__}\n", "")


@pytest.mark.parametrize(("argv", "said"), [
    (["-x"], "-x"),
    (["--no-such"], "--no-such"),
    (["-n", "0"], "'0' is not a whole number"),
    (["-n", "x"], "'x' is not a whole number"),
    (["-n", "-3"], "-3"),
    (["-n", "1.5"], "'1.5' is not a whole number"),
    (["-n"], "expected one argument"),
    (["-o"], "expected one argument"),
    (["-m", "cook"], "cook"),
    (["-m", "refreshCDN", "-o", "/nowhere"], "/nowhere: cannot be read"),
    (["--log-level", "loud"], "loud"),
    (["stray"], "stray"),
    (["--dry-run", "-d"], "give one of them"),
])
def test_what_cannot_be_meant_is_refused_with_2(argv, said):
    """One message that names it, on stderr."""
    code, out, err = run(*argv)
    assert (code, out) == (2, "")
    assert said in err


def test_without_o_the_config_is_confxml_in_the_working_folder(tmp_path, config):
    """As with sersync2."""
    code, out, err = run("--check", cwd=tmp_path)
    assert (code, err) == (1, "")
    assert f"{config}: good" in out


def test_a_config_that_is_not_there_is_named(tmp_path):
    """With its full path, so that one sees where it was looked for."""
    code, out, err = run(cwd=tmp_path)
    assert (code, out) == (2, "")
    assert str(tmp_path / "confxml.xml") in err


@pytest.mark.parametrize("name", ["/", "/dev/null", "/proc/self/mem"])
def test_a_config_that_is_no_file_of_xml_is_a_sentence(name):
    """A folder, an empty one, one that cannot be read."""
    code, out, err = run("-o", name)
    assert (code, out) == (2, "")
    assert name in err


# ---- --check ---------------------------------------------------------------------------------------------------------


def test_check_says_what_would_be_done_and_does_nothing(config, source, state):
    """Who goes where, with which options, where the files are; no state folder is made. The remote is not there: 1."""
    code, out, err = run("--check", "-o", config, "--state-dir", state)
    assert (code, err) == (1, "")
    assert f"{config}: good" in out
    assert f"{os.fsdecode(source)} -> {LOOPBACK}::m1" in out
    assert "-artuz" in out
    assert state in out
    assert re.search(r"rsync is 3\.\d+", out)
    assert not os.path.exists(state)


def test_check_says_every_fault_at_once_with_its_line(tmp_path, source, state):
    """Three faults, three lines; nothing is started."""
    bad = tmp_path / "bad.xml"
    text = confxml(source, [(LOOPBACK, "")], port=1, excludes=["(unclosed"]).replace(b'port="1"', b'port="many"')
    bad.write_bytes(text)
    code, out, err = run("--check", "-o", str(bad), "--state-dir", state)
    assert (code, out) == (2, "")
    lines = [number for number, line in enumerate(text.split(b"\n"), 1)
             if b'name=""' in line or b'"many"' in line or b"(unclosed" in line]
    assert len(lines) == 3
    for line in lines:
        assert f"{bad}:{line}:" in err
    assert not os.path.exists(state)


def test_the_faults_are_the_same_without_check(tmp_path, source, state):
    """Nothing is started with a faulty config, nothing is left behind."""
    bad = tmp_path / "bad.xml"
    bad.write_bytes(confxml(source, [("", "m1")]))
    assert run("-o", str(bad), "--state-dir", state) == run("--check", "-o", str(bad), "--state-dir", state)
    assert not os.path.exists(state)


def test_a_chinese_path_can_be_said_on_any_terminal(tmp_path):
    """stdout that knows ASCII only gets escapes, not a traceback."""
    watch = os.fsencode(str(tmp_path)) + b"/" + "\u6587".encode()
    os.mkdir(watch)
    file = tmp_path / "c.xml"
    file.write_bytes(confxml(watch, [(LOOPBACK, "m1")], port=free_port()))
    for encoding, said in (("ascii", "\\u6587"), ("utf-8", "\u6587")):
        code, out, err = run("--check", "-o", str(file), PYTHONIOENCODING=encoding)
        assert (code, err) == (1, "")
        assert said in out


def test_a_reader_who_leaves_early_is_no_fault(config):
    """`--check | head -1` ends without a traceback."""
    command = f"'{sys.executable}' -m sersync_py --check -o '{config}' | head -c 1"
    done = subprocess.run(["bash", "-c", command], cwd="/", env=environment(), timeout=60, check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert (len(done.stdout), done.stderr) == (1, b"")


# ---- --dry-run -------------------------------------------------------------------------------------------------------


def listing(*folders):
    """Return every file below some folders with its content."""
    return {os.path.join(top, name): read(top, name)
            for folder in folders for top, _, names in os.walk(folder) for name in names}


@pytest.mark.parametrize("excludes", [(), (r"(.*)\.excluded",)], ids=["without filters", "with filters"])
def test_a_dry_run_says_each_change_and_command_and_touches_nothing(source, daemon, agent, excludes, tmp_path):
    """Beside a running agent too: what is sent, what is deleted, which command; no connection, no file, no lock."""
    write(source, b"from the start")
    write(source, b"left.excluded")
    running = agent(source, daemon, "--dry-run", excludes=excludes).start()
    wait_for(lambda: running.output().count("would run") >= 2)
    write(source, b"sub folder/new one")
    write(source, b"x.excluded")
    # seen with its folder and once more when it is closed, it may be sent twice
    wait_for(lambda: running.output().count("would send sub folder/new one") >= 2)
    os.remove(os.path.join(source, b"from the start"))
    wait_for(lambda: len(re.findall(r"would delete from the start\nwould run: .*\n", running.output())) == 2)
    command = f"would run: cd {os.fsdecode(source)} && rsync -artuz -R "
    lines = running.output().splitlines()
    assert all(line.startswith(command) for line in lines if line.startswith("would run"))
    # what is sent twice may be said after it
    last = [line for line in lines if line.startswith("would run") and "./from the start" in line][-1]
    assert f"--port={daemon.port}" in last
    assert f"{LOOPBACK}::m" in last
    assert f" './from the start' {LOOPBACK}::m" in last
    assert ("excluded" in running.output()) == (not excludes)
    assert "pushed" not in running.report()
    running.stop()
    assert daemon.connections() == 1, "the rig's own look at the port"
    assert not any(os.listdir(mirror) for mirror in daemon.mirrors)
    assert sorted(os.listdir(running.folder)) == ["agent.log", "agent.out", "confxml.xml"]


def test_a_dry_run_goes_beside_a_running_agent_and_leaves_its_files_alone(source, daemon, agent, tmp_path):
    """No lock is asked for, no mark is written."""
    running = started(agent(source, daemon, "-r"), source, daemon.mirrors)
    running.stop()
    before = listing(running.state_dir)
    assert before
    running.start()
    pid = running.pid
    command = running.command("--dry-run", "--log-file", running.log_file + ".dry")
    dry = subprocess.Popen(command, cwd="/", env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    try:
        # the whole tree is what -r asks for
        assert b"would send ./ and all below it; would delete what only the remote has there" in dry.stdout.readline()
        dry.terminate()
        dry.communicate(timeout=10)
        assert dry.returncode == 0
    finally:
        dry.kill()
        dry.stdout.close()
    with open(running.pid_file) as file:
        assert int(file.read()) == pid
    write(source, b"still mirrored")
    wait_equal(source, daemon.mirrors)


# ---- the machine's faults --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["--state-dir", "--log-file", "--pid-file"])
@pytest.mark.parametrize("detach", [[], ["-d"]], ids=["foreground", "daemon"])
def test_a_place_that_cannot_be_written_is_a_sentence_and_1(config, state, option, detach):
    """Said before detaching, while somebody is there to read it."""
    arguments = ["-o", config, "--state-dir", state, "--log-file", state + ".log"]
    code, out, err = run(*arguments, option, "/dev/null/below", *detach)
    assert (code, out) == (1, "")
    assert err == "sersync-py: cannot write /dev/null/below: Not a directory\n"


def test_a_log_file_that_is_a_folder_is_a_sentence_and_1(config, state, tmp_path):
    """Likewise with --dry-run."""
    for more in ([], ["--dry-run"]):
        code, _, err = run("-o", config, "--state-dir", state, "--log-file", str(tmp_path), *more)
        assert code == 1
        assert err == f"sersync-py: cannot write {tmp_path}: Is a directory\n"


def test_without_rsync_the_agent_says_what_to_install(config, state, tmp_path):
    """Before it detaches; --check says it too."""
    for detach in ([], ["-d"]):
        code, out, err = run("-o", config, "--state-dir", state, *detach, PATH=str(tmp_path))
        assert (code, out) == (1, "")
        assert err == "sersync-py: rsync is not installed: install it with apt-get, dnf or yum\n"
    code, out, _ = run("-o", config, "--check", PATH=str(tmp_path))
    assert code == 1
    assert "rsync is not installed" in out
    assert not os.path.exists(state)


def stand_in(folder, line, code=0):
    """Put a program named rsync into a folder that says a line; return what to set PATH to."""
    path = folder / "rsync"
    path.write_text(f"#!/bin/sh\necho '{line}'\nexit {code}\n")
    path.chmod(stat.S_IRWXU)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(("line", "said"), [
    ("rsync  version 3.0.9  protocol version 30", "rsync is 3.0.9, 3.1.0 or later is needed"),
    ("rsync  version 2.6.8  protocol version 29", "rsync is 2.6.8, 3.1.0 or later is needed"),
    ("openrsync: protocol version 29", "it says: 'openrsync: protocol version 29'"),
    ("", "it says: ''"),
])
def test_an_rsync_that_is_too_old_is_a_sentence_and_1(config, state, tmp_path, line, said):
    """What was found, what is needed."""
    code, out, err = run("-o", config, "--state-dir", state, PATH=stand_in(tmp_path, line))
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("line", "version"), [
    (b"rsync  version 3.1.0  protocol version 31", (3, 1, 0)),
    (b"rsync  version 3.1.0pre1  protocol version 31.PR12", (3, 1, 0)),
    (b"rsync  version v3.2.7  protocol version 31", (3, 2, 7)),
    (b"rsync  version v3.3.0dev protocol version 31\nrest", (3, 3, 0)),
    (b"rsync  version 3.10  protocol version 33", (3, 10, 0)),
    (b"rsync  version 10.0.1  protocol version 40", (10, 0, 1)),
    (b"openrsync: protocol version 29", ()),
    (b"\nrsync  version 3.1.0", ()),
    (b"", ()),
])
def test_the_version_is_read_from_the_first_line(line, version):
    """As all releases since 2005 have said it, and tags of the source repository."""
    assert installed.version_in(line) == version


def test_versions_are_compared_as_numbers():
    """3.10 is later than 3.9."""
    assert installed.version_in(b"rsync  version 3.10.0") > installed.NEEDED
    assert installed.version_in(b"rsync  version 3.0.99") < installed.NEEDED


def test_no_escape_codes_are_written_where_there_is_no_terminal(source, daemon, agent):
    """A file that catches stderr holds lines of text, also with -r."""
    running = agent(source, daemon, "-r")
    running.command = lambda *more: [
        running.python, "-m", "sersync_py", "-r", "-o", running.config_file, "--state-dir", running.state_dir, *more]
    write(source, b"from the start")
    running.start()
    wait_for(lambda: running.output().count("pushed the whole tree") == 2)
    running.stop()
    assert all(re.match(r"\d{4}-\d\d-\d\d [\d:,]+ [A-Z]+ +\S", line) for line in running.output().splitlines())
    assert "\x1b" not in running.output()
    assert "\r" not in running.output()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_it_works_with_closed_streams_as_a_boot_script_may_give_it(config, closed):
    """Nothing is said where nobody can hear it; a fault is still a fault."""
    command = f"exec {sys.executable} -m sersync_py --check -o $0 {closed}"
    for file, code in ((config, 1), ("/no/such", 2)):
        done = subprocess.run(["sh", "-c", command, file], env=environment(), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=60, cwd="/", check=False)
        assert done.returncode == code
        assert b"Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize(("words", "code"), [("--check -o $0 >/dev/full", 1), ("-o /no/such 2>/dev/full", 1),
                                             ("--check -o $0 >/dev/full 2>&1", 1),
                                             ("--dry-run -r -o $0 >/dev/full", 1)])
def test_it_ends_without_a_traceback_where_nothing_can_be_said(config, words, code):
    """The disk that the words go to is full."""
    done = subprocess.run(["sh", "-c", f"exec {sys.executable} -m sersync_py {words}", config], env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60, cwd="/", check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert done.stderr.endswith(b"sersync-py: what is to be said cannot be written: No space left on device\n") == (
        "2>" not in words)


@pytest.mark.parametrize(("words", "code"), [("--check", 2), ("--status", 2), ("-o $0 --log-file log", 2),
                                             ("-o $0 --check", 1)])
def test_a_folder_that_is_gone_is_said_if_a_path_was_to_be_found_in_it(config, tmp_path, words, code):
    command = f"rmdir \"$PWD\"; exec {sys.executable} -m sersync_py {words}"
    (tmp_path / "gone").mkdir()
    done = subprocess.run(["sh", "-c", command, config], env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=60, cwd=str(tmp_path / "gone"), check=False)
    assert done.returncode == code
    assert (b"the folder that this was started in is gone; change to one that is there" in done.stderr) == (code == 2)
    assert b"Traceback" not in done.stderr
