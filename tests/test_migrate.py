"""scripts/migrate-from-sersync2: what it finds, shows, does and takes back, with a script that is named sersync2."""

import os
import shlex
import signal
import subprocess
import sys
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import SimpleNamespace

import pytest
from rig import confxml, wait_equal, wait_for

import sersync_py

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPT = os.path.join(CLONE, "scripts", "migrate-from-sersync2")

STAND_IN = """#!/bin/bash
# it detaches, as sersync2 does with -d; and waits by itself, for what a shell begins looks like the shell at first
if [ -z "$DETACHED" ]; then
    DETACHED=1 setsid "$0" "$@" </dev/null >/dev/null 2>&1 &
    exit
fi
exec 9<>"${0%/*}/waits"
read -r -u 9
"""


def loaded():
    """Return the script as a module."""
    loader = SourceFileLoader("migrate_from_sersync2", SCRIPT)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module


script = loaded()


class Machine:
    """A machine with a sersync2 below a folder: its /etc, /run and /var, and a `sersync-py` that leaves ours alone."""

    def __init__(self, folder):
        self.folder = folder
        self.root = folder / "root"
        self.old = folder / "usr local $(touch owned)"
        for path in (self.root / "etc/cron.d", self.root / "run", self.root / "var/spool/cron", self.old):
            path.mkdir(parents=True)
        self.stand_in = self.old / "sersync2"
        self.program(self.stand_in, STAND_IN)
        os.mkfifo(str(self.old / "waits"))
        self.log = folder / "agent.log"
        self.command = folder / "bin" / "sersync-py"
        self.command.parent.mkdir()
        words = [sys.executable, "-m", "sersync_py"]
        files = ["--state-dir", str(folder / "state"), "--log-file", str(self.log)]
        self.program(self.command, "#!/bin/sh\nexport PYTHONPATH={}\nexec {} \"$@\" {}\n".format(
            shlex.quote(os.path.dirname(os.path.dirname(sersync_py.__file__))),
            " ".join(map(shlex.quote, words)), " ".join(map(shlex.quote, files))))

    def program(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def configure(self, source, daemon, name="confxml.xml", **options):
        """Write a config beside the stand-in; return its path."""
        path = self.old / name
        path.write_bytes(confxml(source, daemon.remotes, port=daemon.port, fail_log=str(self.folder / "fail.sh"),
                                 **options))
        return path

    def ids(self, *words):
        """Return the ids of the living processes that have all these words on their command line."""
        found = []
        for pid in script.process_ids():
            line = script.words_of(pid)
            if all(os.fsencode(str(word)) in line for word in words) and script.stat_fields(pid)[:1] != [b"Z"]:
                found.append(pid)
        return found

    def sersync2(self, *arguments):
        """Start the stand-in, with -d among the arguments; return its id."""
        subprocess.run([str(self.stand_in), *arguments], cwd=str(self.old), stdin=subprocess.DEVNULL, check=True)
        return wait_for(lambda: self.detached(*arguments), message="the stand-in")[0]

    def detached(self, *arguments):
        """Return the ids of the stand-ins with these arguments that have detached."""
        return [pid for pid in self.ids(self.stand_in, *arguments) if script.program_of(script.words_of(pid)) ==
                b"sersync2" and b"DETACHED=1" in script.read(b"/proc/%d/environ" % pid).split(b"\0")]

    def migrate(self, *arguments):
        """Run the script on this machine; return its exit code and what it said."""
        done = subprocess.run(
            [sys.executable, SCRIPT, "--root", str(self.root), "--command", str(self.command), *map(str, arguments)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
            env=dict(os.environ, PATH=f"{self.command.parent}:{os.environ['PATH']}", PYTHONIOENCODING="utf-8"))
        return done.returncode, done.stdout.decode("utf-8")

    def tree(self):
        """Return what every file of the machine's root holds."""
        return {str(path): path.read_bytes() for path in self.root.rglob("*") if path.is_file()
                and "migrations" not in path.parts}

    def said(self):
        return self.log.read_text() if self.log.exists() else ""


@pytest.fixture
def machine(tmp_path):
    made = Machine(tmp_path)
    yield made
    for pid in made.ids(made.stand_in) + made.ids("sersync_py", made.log):
        os.kill(pid, signal.SIGKILL)


# ---- what is recognized ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("line", "config", "whole_tree", "workers", "plugin"), [
    ("sersync2", "confxml.xml", False, "", ""),
    ("/usr/local/sersync/sersync2 -d -r -o /etc/a.xml", "/etc/a.xml", True, "", ""),
    ("./sersync2 -dro /etc/a.xml", "/etc/a.xml", True, "", ""),
    ("sersync2 -n 2 -d -r -o/etc/a.xml", "/etc/a.xml", True, "2", ""),
    ("/bin/sh /opt/sersync2 -n8 -d", "confxml.xml", False, "8", ""),
    ("sersync2 -d -m refreshCDN", "confxml.xml", False, "", "refreshCDN"),
])
def test_a_command_line_means_what_sersync2_takes_it_for(line, config, whole_tree, workers, plugin):
    """Flags combine, and a value may stand with its flag."""
    flags = script.flags_of(tuple(word.encode() for word in line.split()))
    assert flags == (config.encode(), whole_tree, workers, plugin)


@pytest.mark.parametrize(("line", "starts"), [
    (b"/usr/local/sersync/sersync2 -d -r -o /usr/local/sersync/confxml.xml", True),
    (b"nohup /application/sersync/bin/sersync -dro /application/sersync/conf/confxml.xml &", True),
    (b"cd /usr/local/sersync && ./sersync2 -d -r", True),
    (b"pidof sersync2 >/dev/null || /usr/local/sersync/sersync2 -d", True),
    (b"if ! pgrep sersync2; then sersync2 -d; fi", True),
    (b"/bin/sh /opt/check_sersync.sh >/dev/null 2>&1", True),
    (b"bash -c '/opt/watchdog.sh'", True),
    (b"tar czf /backup/sersync.tgz /usr/local/sersync", False),
    (b"/opt/backup.sh", False),
    (b"ps -ef | grep sersync2 | mail root", False),
    (b"/usr/bin/sersync-py -d -o /etc/sersync-py/confxml.xml", False),
    (b"/usr/sbin/logrotate /etc/logrotate.d/sersync2", False),
])
def test_what_starts_sersync2_is_told_from_what_only_mentions_it(tmp_path, line, starts):
    """A script that is called is looked into."""
    (tmp_path / "opt").mkdir()
    (tmp_path / "opt/check_sersync.sh").write_text(
        "#!/bin/sh\nsersync=/usr/local/sersync/sersync2\n[ $(ps -ef|grep -c sersync2) -gt 1 ] || $sersync -d\n")
    (tmp_path / "opt/watchdog.sh").write_text("#!/bin/bash\n/data/bin/sersync -d -r\n")
    (tmp_path / "opt/backup.sh").write_text("#!/bin/sh\n# not sersync2\ntar cf /b.tar /usr/local/sersync\n")
    (tmp_path / "usr/local/sersync").mkdir(parents=True)
    assert script.starts_sersync2(line, os.fsencode(str(tmp_path))) == starts


def test_a_running_sersync2_is_found_by_its_name_and_sersync_py_is_not(machine, source, daemon, agent):
    """Whatever else runs on this machine."""
    machine.configure(source, daemon)
    running = agent(source, daemon).start()
    pid = machine.sersync2("-d", "-r", "-o", "confxml.xml")
    # the stand-in may be in the midst of becoming another program
    found = wait_for(lambda: [each for each in [script.running()] if pid in [process.pid for process in each]])[0]
    assert running.pid not in [process.pid for process in found]


def test_configs_in_folders_of_their_own_get_names_of_their_own():
    """As a unit and a file may have them."""
    taken = []
    for config in (b"/usr/local/sersync_img/confxml.xml", b"/app/sersync/conf/confxml.xml", b"/b/sersync/confxml.xml",
                   b"/etc/pictures two.xml", b"/confxml.xml"):
        taken.append(script.name_for(config, taken))
    assert taken == ["sersync_img", "sersync", "sersync2", "pictures_two", "confxml2"]


# ---- showing ---------------------------------------------------------------------------------------------------------


def test_without_a_word_of_consent_it_shows_all_and_changes_nothing(machine, source, daemon):
    """The process, the config, the fail log, the crontab's line and what --check says."""
    config = machine.configure(source, daemon)
    cron = machine.root / "var/spool/cron/root"
    cron.write_text(f"0 1 * * * ls\n* * * * * {machine.stand_in} -d -r\n")
    pid = machine.sersync2("-d", "-r", "-o", "confxml.xml")
    before = machine.tree()
    for arguments in (["--dry-run"], ["--dry-run", "--yes"], []):
        code, text = machine.migrate("--pid", pid, *arguments)
        assert code == 0
        assert f"pid {pid}" in text
        assert f"copy {config}" in text
        assert str(machine.folder / "fail.sh") in text
        assert f"comment out {cron}:2" in text
        assert f"| {config}: good" in text
        assert "Nothing has been changed" in text
    assert machine.tree() == before
    assert not (machine.root / "var/lib").exists()
    assert machine.ids(machine.stand_in) == [pid]


def test_a_faulty_config_is_not_taken_over(machine, source, daemon):
    """--check says what is wrong; nothing is stopped."""
    config = machine.configure(source, daemon)
    config.write_bytes(config.read_bytes().replace(b"remote ip=", b"remote xip="))
    pid = machine.sersync2("-d", "-o", str(config))
    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 1
    assert "cannot be taken over as it is" in text
    assert "remote has no ip=" in text
    assert machine.ids(machine.stand_in) == [pid]
    assert not (machine.root / "etc/sersync-py").exists()


def test_one_that_runs_only_a_plugin_is_left_alone(machine, source, daemon):
    """It does not mirror."""
    machine.configure(source, daemon)
    pid = machine.sersync2("-d", "-m", "command", "-o", "confxml.xml")
    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 1
    assert "only the plugin command" in text
    assert "no sersync2 runs here" in text
    assert machine.ids(machine.stand_in) == [pid]


# ---- doing and undoing -----------------------------------------------------------------------------------------------


def test_it_takes_over_and_back_without_systemd(machine, source, daemon):
    """Mirroring goes on, the fail log is made up for, nothing starts sersync2 again; and all of it can be undone."""
    machine.configure(source, daemon)
    with open(os.path.join(source, b"owed"), "wb") as file:
        file.write(b"content")
    fail_log = machine.folder / "fail.sh"
    fail_log.write_bytes(b'#errno 3072\ncd %s && rsync -artuz -R "./owed" 127.0.0.1::m1 >/dev/null 2>&1 \n\n' % source)
    fail_log.chmod(0o777)
    cron, boot = machine.root / "etc/cron.d/check", machine.root / "etc/rc.local"
    cron.write_text(f"SHELL=/bin/sh\n* * * * * root {shlex.quote(str(machine.stand_in))} -d\n* * * * * root x\n")
    boot.write_text("#!/bin/sh\n/usr/local/sersync/sersync2 -d -r\nexit 0\n")
    boot.chmod(0o755)
    # the stand-in's folder has blanks in its name, which the crontab cannot spell; a plain path can
    cron.write_text("SHELL=/bin/sh\n* * * * * root /usr/local/sersync/sersync2 -d\n* * * * * root x\n")
    pid = machine.sersync2("-d", "-r", "-n", "4", "-o", "confxml.xml")
    before = machine.tree()

    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 0, text
    assert machine.ids(machine.stand_in) == []
    wait_equal(source, daemon.mirrors)
    wait_for(lambda: "fail log: 1 entries to replay" in machine.said(), message="the fail log")
    assert cron.read_text().splitlines()[1:] == [
        "#migrate-from-sersync2# * * * * * root /usr/local/sersync/sersync2 -d", "* * * * * root x"]
    assert boot.read_text().splitlines()[1].startswith("#migrate-from-sersync2# ")
    assert boot.read_text().splitlines()[2].startswith(str(machine.command) + " -d -n 4 --pid-file ")
    assert boot.read_text().splitlines()[3] == "exit 0"
    assert boot.stat().st_mode & 0o777 == 0o755
    config = machine.root / "etc/sersync-py/confxml.xml"
    assert (config.stat().st_mode & 0o777, config.read_bytes()) == (0o600, (machine.old / "confxml.xml").read_bytes())
    assert machine.ids("sersync_py", config)
    assert not (machine.old / "owned").exists()
    assert not (machine.folder / "owned").exists()

    assert machine.migrate("--undo")[1].endswith("--yes does it.\n")
    code, text = machine.migrate("--undo", "--yes")
    assert code == 0, text
    assert "warning" not in text
    assert machine.tree() == before
    wait_for(lambda: machine.detached("-d", "-r", "-n", "4", "-o", "confxml.xml"), message="sersync2")
    assert not machine.ids("sersync_py", config)
    assert machine.migrate("--undo", "--yes")[0] == 1


def test_if_sersync_py_does_not_start_sersync2_never_stopped(machine, source, daemon):
    """And its crontab is as it was."""
    machine.configure(source, daemon)
    cron = machine.root / "etc/crontab"
    cron.write_text("* * * * * root /usr/local/sersync/sersync2 -d\n")
    (machine.root / "run").rmdir()
    pid = machine.sersync2("-d", "-o", "confxml.xml")
    before = machine.tree()
    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 1
    assert "could not be started" in text
    assert "sersync2 goes on as before" in text
    assert machine.ids(machine.stand_in) == [pid]
    assert machine.tree() == before
    assert machine.migrate("--undo")[0] == 1


def test_what_was_changed_since_is_not_undone(machine, source, daemon):
    """A crontab that somebody has edited stays; where the old one is, is said."""
    machine.configure(source, daemon)
    cron = machine.root / "etc/crontab"
    cron.write_text("* * * * * root /usr/local/sersync/sersync2 -d\n")
    config = machine.old / "confxml.xml"
    assert machine.migrate("-o", config, "--yes")[0] == 0
    cron.write_text(cron.read_text() + "0 1 * * * root mine\n")
    code, text = machine.migrate("--undo", "--yes")
    assert code == 0
    assert f"{cron} has been changed since" in text
    assert cron.read_text().endswith("mine\n")
    kept = next(line.partition("as it was: ")[2] for line in text.splitlines() if "as it was: " in line)
    with open(kept, encoding="ascii") as file:
        assert file.read() == "* * * * * root /usr/local/sersync/sersync2 -d\n"


SYSTEMCTL = """#!/bin/sh
echo "$*" >>{log}
case "$1 $2" in
    is-active\\ sersync2.service|is-enabled\\ sersync2.service) exit 0 ;;
    is-active*|is-enabled*) exit 1 ;;
    "start {fails}") echo no way; exit 1 ;;
esac
"""


@pytest.fixture
def systemd(machine):
    """A systemctl that notes what it is told, and does nothing."""
    (machine.root / "run/systemd/system").mkdir(parents=True)
    units = machine.root / "etc/systemd/system"
    units.mkdir(parents=True)
    (units / "sersync2.service").write_text("[Service]\nExecStart=/usr/local/sersync/sersync2 -r -o /x\n")
    (units / "other.service").write_text("[Service]\nExecStart=/usr/bin/other /usr/local/sersync\n")
    log = machine.folder / "systemctl.log"

    def install(fails="none"):
        machine.program(machine.command.parent / "systemctl", SYSTEMCTL.format(log=shlex.quote(str(log)), fails=fails))

    def told():
        """Return what it was told to do, but for questions."""
        lines = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return [line for line in lines if not line.startswith(("is-", "cat", "status"))]

    install()
    return SimpleNamespace(told=told, install=install)


def test_a_watch_folder_that_is_empty_is_not_compared_for_that_would_empty_the_mirrors(
        machine, systemd, source, daemon):
    """Its disk may not be mounted; what is to be done once it is, is said."""
    one = machine.configure(source, daemon, "pictures.xml")
    pid = machine.sersync2("-d", "-r", "-o", str(one))
    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 0, text
    assert not [line for line in systemd.told() if "USR1" in line]
    assert f"{os.fsdecode(source)} is empty or not there" in text


def test_a_boot_script_is_still_one_when_the_only_command_of_an_if_is_taken_out():
    """A comment alone there is a fault of syntax, and nothing after it would run."""
    lines = [b"if true; then", b"    /opt/sersync2 -d -r", b"fi", b"echo after"]
    text = b"\n".join(script.commented(line) if b"sersync2" in line else line for line in lines)
    done = subprocess.run(["sh", "-c", text], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    assert done.stdout == b"after\n"
    assert script.commented(b"* * * * * root x") == b"#migrate-from-sersync2# * * * * * root x"


def test_a_process_of_that_name_with_other_options_is_left_alone_if_the_config_is_given(machine, source, daemon):
    """It is no sersync2, and its options tell nothing."""
    machine.configure(source, daemon)
    stranger = subprocess.Popen(["sersync2", "-c", "sleep 60; :", "-x"], executable="/bin/sh", start_new_session=True)
    try:
        wait_for(lambda: list(script.words_of(stranger.pid))[:1] == [b"sersync2"])
        code, text = machine.migrate("-o", machine.old / "confxml.xml", "--dry-run")
        assert code == 0, text
        assert "is left alone" in text
        assert stranger.poll() is None
    finally:
        os.killpg(stranger.pid, signal.SIGKILL)
        stranger.wait()


def test_with_systemd_each_config_becomes_a_service_that_is_up_before_sersync2_is_stopped(
        machine, systemd, source, daemon):
    """Of one config the plain service, of several one each; a unit of sersync2 is disabled, and enabled by --undo."""
    with open(os.path.join(source, b"content"), "wb"):
        one, two = (machine.configure(source, daemon, name) for name in ("pictures.xml", "web.xml"))
    first, second = machine.sersync2("-d", "-r", "-o", str(one)), machine.sersync2("-d", "-n", "3", "-o", str(two))
    code, text = machine.migrate("--pid", first, "--pid", second, "--yes")
    assert code == 0, text
    assert systemd.told() == [
        "daemon-reload", "start sersync-py@pictures.service", "enable sersync-py@pictures.service",
        "daemon-reload", "start sersync-py@web.service", "enable sersync-py@web.service",
        "stop sersync2.service", "disable sersync2.service",
        "kill --signal=USR1 --kill-who=main sersync-py@pictures.service"]
    assert machine.ids(machine.stand_in) == []
    folder = machine.root / "etc/sersync-py"
    assert sorted(path.name for path in folder.iterdir()) == ["pictures.xml", "web.options", "web.xml"]
    assert (folder / "web.options").read_text() == "OPTIONS=-n 3\n"
    assert machine.migrate("--undo", "--yes")[0] == 0
    assert systemd.told() == [
        "enable sersync2.service", "start sersync2.service",
        "stop sersync-py@web.service", "disable sersync-py@web.service",
        "stop sersync-py@pictures.service", "disable sersync-py@pictures.service"]
    assert list(folder.iterdir()) == []
    wait_for(lambda: len(machine.detached()) == 2, message="both")


def test_a_service_that_does_not_start_is_taken_back(machine, systemd, source, daemon):
    """sersync2 and its unit are not touched, and the sample that the package brought is in its place again."""
    systemd.install(fails="sersync-py.service")
    sample = machine.root / "etc/sersync-py/confxml.xml"
    sample.parent.mkdir()
    sample.write_text("the sample")
    machine.configure(source, daemon)
    pid = machine.sersync2("-d", "-o", "confxml.xml")
    code, text = machine.migrate("--pid", pid, "--yes")
    assert code == 1
    assert "no way" in text
    assert systemd.told() == ["daemon-reload", "start sersync-py.service", "stop sersync-py.service",
                              "disable sersync-py.service"]
    assert sample.read_text() == "the sample"
    assert machine.ids(machine.stand_in) == [pid]
