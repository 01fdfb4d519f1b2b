"""What the packages bring: units, man page, logrotate, sysctl, and an sdist that can do what a clone can."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile

import pytest

import sersync_py
from sersync_py import agent, cli

CLONE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = os.path.join(CLONE, "scripts")
UNITS = ("sersync-py.service", "sersync-py@.service")


def text_of(*path):
    with open(os.path.join(SCRIPTS, *path), encoding="utf-8") as file:
        return file.read()


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"{program} is not here")


def said(*command, **options):
    """Run a command that must succeed; return what it says on both streams."""
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          timeout=60, **options)
    text = done.stdout.decode("utf-8", "replace")
    assert done.returncode == 0, text
    return text


# ---- the man page ----------------------------------------------------------------------------------------------------


def options_of_the_man_page():
    """Return the options that have a paragraph of their own."""
    section = re.search(r"^\.SH OPTIONS$(.*?)^\.SH ", text_of("sersync-py.1"), re.MULTILINE | re.DOTALL).group(1)
    tags = re.findall(r"^\.TP\n(.*)$", section, re.MULTILINE)
    return {name for tag in tags for name in re.findall(r"(?<![\w-])--?[a-z][\w-]*", tag.replace("\\-", "-"))}


def test_the_man_page_has_the_options_of_the_command():
    """None is missing, none is made up."""
    known = {name for action in cli._parser()._actions for name in action.option_strings}
    assert options_of_the_man_page() == known


def test_the_man_page_has_the_default_of_n():
    """And the plugins that -m knows."""
    text = " ".join(text_of("sersync-py.1").split())
    assert f"always has; {cli._parser().parse_args([]).workers} by default" in text
    assert all(re.search(rf"\.BR? {name}\b", text) for name in cli.PLUGINS)


@needs("groff")
def test_the_man_page_is_sound():
    """It has no macro, font or request that groff stumbles over."""
    page = os.path.join(SCRIPTS, "sersync-py.1")
    said_by_groff = subprocess.run(["groff", "-man", "-ww", "-z", "-Tutf8", page], stderr=subprocess.PIPE)
    assert (said_by_groff.returncode, said_by_groff.stderr) == (0, b"")


@needs("mandoc")
def test_mandoc_has_no_warning_about_the_man_page():
    """It is stricter than groff."""
    said("mandoc", "-T", "lint", "-W", "warning", os.path.join(SCRIPTS, "sersync-py.1"))


# ---- systemd ---------------------------------------------------------------------------------------------------------


def settings(unit):
    """Return the settings of a unit as pairs, in their order."""
    return re.findall(r"^(\w+)=(.*)$", text_of(unit), re.MULTILINE)


def setting(unit, name):
    found = [value for key, value in settings(unit) if key == name]
    assert len(found) == 1, (unit, name, found)
    return found[0]


def test_the_units_differ_in_nothing_but_the_config():
    """What is mended in one must be mended in the other."""
    one, many = (settings(unit) for unit in UNITS)
    assert [(key, value.replace("/%i.", "/confxml.")) for key, value in many if key != "Description"] == \
        [pair for pair in one if pair[0] != "Description"]


@pytest.mark.parametrize("unit", UNITS)
def test_the_command_of_a_unit_is_one_that_the_agent_takes(unit):
    """In the foreground, or systemd would lose sight of it."""
    words = shlex.split(setting(unit, "ExecStart").replace("$OPTIONS", "-n 4 --log-level debug"))
    arguments = cli._parser().parse_args(words[1:])
    assert words[0] == "/usr/bin/sersync-py"
    assert arguments.config.startswith("/etc/sersync-py/")
    assert arguments.workers == 4
    assert not arguments.daemon


@pytest.mark.parametrize("unit", UNITS)
def test_a_stop_lets_the_sessions_end(unit):
    """TERM reaches the agent alone, and systemd waits longer than the agent does."""
    assert setting(unit, "KillMode") == "mixed"
    assert int(setting(unit, "TimeoutStopSec")) >= 2 * agent.DRAIN_SECONDS
    assert int(setting(unit, "WatchdogSec")) >= 2 * agent.HEARTBEAT_SECONDS


@pytest.mark.parametrize("unit", UNITS)
def test_no_setting_of_a_unit_hides_a_folder_or_makes_it_read_only(unit):
    """A watch folder, a fail log and what a plugin writes may be anywhere."""
    hiding = re.compile("(Protect|Private|ReadOnly|Inaccessible|ReadWrite|Temporary|Root|Bind|Dynamic)")
    assert [key for key, _ in settings(unit) if hiding.match(key)] == []


@needs("systemd-analyze")
def test_systemd_understands_the_units(tmp_path):
    """Each setting, as far as the systemd of this machine knows it."""
    for unit in UNITS:
        command = setting(unit, "ExecStart").partition(" ")[0]
        text = text_of(unit).replace(command, sys.executable)
        (tmp_path / unit).write_text(text, encoding="utf-8")
    words = said("systemd-analyze", "verify", "--man=no", *(str(tmp_path / unit) for unit in UNITS))
    assert [line for line in words.splitlines() if "sersync-py" in line] == []


# ---- logrotate and sysctl --------------------------------------------------------------------------------------------


@needs("logrotate")
def test_logrotate_moves_the_log_of_a_running_agent_and_no_line_is_lost(tmp_path, source, daemon, agent):
    """The agent finds its log moved and opens it again; the lines before and after stand in one file each."""
    running = agent(source, daemon).start()
    log = running.log_file
    text = text_of("sersync-py.logrotate").replace("/var/log/sersync-py*.log", log)
    config = tmp_path / "logrotate.conf"
    config.write_text(text)
    config.chmod(0o644)
    said("logrotate", "--force", "--state", str(tmp_path / "logrotate.state"), str(config))
    running.stop()
    with open(log + ".1", encoding="utf-8") as before, open(log, encoding="utf-8") as after:
        assert " config " in before.read()
        words = after.read()
    assert "told to stop" in words
    assert words.endswith("ended\n")


def test_the_sysctl_file_sets_what_the_kernel_knows():
    """And no less than the agent would raise it to."""
    values = dict(re.findall(r"^([a-z_.]+) = (\d+)$", text_of("sersync-py.sysctl"), re.MULTILINE))
    assert sorted(values) == ["fs.inotify." + name for name in
                              ("max_queued_events", "max_user_instances", "max_user_watches")]
    for name in values:
        assert os.path.exists("/proc/sys/" + name.replace(".", "/"))
    assert int(values["fs.inotify.max_queued_events"]) >= agent.QUEUED_EVENTS


# ---- sdist and RPM ---------------------------------------------------------------------------------------------------


def tracked():
    """Return the files of the clone, as git knows them; skip where this is no clone."""
    if not os.path.exists(os.path.join(CLONE, ".git")) or shutil.which("git") is None:
        pytest.skip("this is not a clone")
    return said("git", "-c", "safe.directory=*", "-C", CLONE, "ls-files").splitlines()


@pytest.fixture
def copy(tmp_path):
    """What git knows of the clone, away from it, where setuptools finds no old list of files."""
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("this Python has no setuptools")
    for name in tracked():
        target = tmp_path / "clone" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(CLONE, name), str(target))
    return tmp_path / "clone"


def setup_py(copy, *arguments):
    return said(sys.executable, "-W", "ignore", "setup.py", "-q", *map(str, arguments), cwd=str(copy))


def test_the_sdist_holds_all_that_the_clone_does(copy, tmp_path):
    """So that its tests and scripts run."""
    setup_py(copy, "sdist", "-d", tmp_path)
    (made,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(str(made)) as tar:
        held = {member.name.partition("/")[2] for member in tar if member.isfile()}
    assert sorted(set(tracked()) - held - {".gitignore"}) == []


def test_what_is_installed_is_the_whole_package(copy, tmp_path):
    """The files that are no Python too, and nothing beside it."""
    setup_py(copy, "build", "-b", tmp_path / "build")
    folder = tmp_path / "build" / "lib"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == \
        sorted(name for name in tracked() if name.startswith("sersync_py/"))


def libraries_of_the_agent():
    """Return the names that sersync_py imports and that neither it nor Python's standard library has."""
    folder, found = os.path.dirname(cli.__file__), set()
    for directory, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(directory, name), encoding="utf-8") as file:
                    tree = ast.parse(file.read())
                for node in ast.walk(tree):
                    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                    modules += [node.module] if isinstance(node, ast.ImportFrom) else []
                    found |= {module.partition(".")[0] for module in modules}
    return {name for name in found if name != "sersync_py" and "-packages" in
            str(getattr(importlib.util.find_spec(name), "origin", ""))}


def test_the_rpm_has_every_library_for_every_python_that_it_is_made_for(monkeypatch):
    """The build reads them from setup.cfg; `asyncore` is what Python 3.12 dropped."""
    pytest.importorskip("pip._vendor.packaging.requirements")
    monkeypatch.syspath_prepend(os.path.join(SCRIPTS, "rpm"))
    build = __import__("build")
    distributions = {"daemon": "python-daemon", "prometheus_client": "prometheus-client"}
    for python in build.PYTHONS:
        names = {requirement.name for requirement in build.requirements(python)}
        assert {distributions.get(name, name) for name in libraries_of_the_agent()} <= names
        assert ("pyasyncore" in names) == (python == "3.12")
        assert f"{python} " in re.search(r"for version in (.*); do", text_of("rpm", "sersync-py.spec")).group(1) + " "


# ---- the README ------------------------------------------------------------------------------------------------------


def test_the_readme_has_the_pythons_and_files_of_the_rpm(monkeypatch):
    """And the scripts that it tells of are there."""
    pytest.importorskip("pip._vendor.packaging.requirements")
    monkeypatch.syspath_prepend(os.path.join(SCRIPTS, "rpm"))
    with open(os.path.join(CLONE, "README.md"), encoding="utf-8") as file:
        readme = file.read()
    pythons = list(__import__("build").PYTHONS)
    assert "({} or {})".format(", ".join(pythons[:-1]), pythons[-1]) in readme
    release = re.search(r"^Release: (.*)$", text_of("rpm", "sersync-py.spec"), re.MULTILINE).group(1)
    assert f"./sersync-py-{sersync_py.__version__}-{release}.x86_64.rpm" in readme
    for name in set(re.findall(r"\bscripts/[\w@.-]*\w", readme)):
        assert os.path.exists(os.path.join(CLONE, name)), name
