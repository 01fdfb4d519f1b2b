"""The fixtures of the end-to-end tests; whatever a test starts is ended with it, and speaks up when it fails."""

import os
from typing import Any, Callable, Dict, Iterator, List, Tuple

import pytest
from hypothesis import HealthCheck, settings
from rig import Agent, Daemon

from sersync_py import cli

# what is said is compared with English sentences, also where the developer reads Chinese
for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
    if os.environ.get(name, "").startswith("zh"):
        os.environ[name] = "C.UTF-8"


# how fast this machine makes its examples says nothing about what they show
settings.register_profile("rig", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rig")

INSTANCES = "/proc/sys/fs/inotify/max_user_instances"


def pytest_configure() -> None:
    """Have inotify instances for many agents: the kernel takes its time to give back those of agents that ended."""
    if os.access(INSTANCES, os.W_OK):
        with open(INSTANCES) as file:
            found = int(file.read())
        if found < 1024:
            with open(INSTANCES, "w") as file:
                file.write("1024")


def pytest_collection_modifyitems(items: List[Any]) -> None:
    """Begin with those that wait the longest: workers get tests by the dozen, and the last dozen is waited for."""
    items.sort(key=lambda item: item.path.name != "test_pair.py")


@pytest.fixture
def source(tmp_path: Any) -> bytes:
    """An empty folder to watch."""
    folder = os.fsencode(str(tmp_path / "source"))
    os.mkdir(folder)
    return folder


@pytest.fixture
def daemon(tmp_path: Any, request: Any) -> Iterator[Daemon]:
    """A running rsync daemon with the modules m1 and m2."""
    modules = {name: os.fsencode(str(tmp_path / name)) for name in ("m1", "m2")}
    with Daemon(str(tmp_path / "daemon"), modules) as running:
        _speakers(request.node)["rsync daemon"] = running.log
        yield running


@pytest.fixture
def agent(tmp_path: Any, request: Any) -> Iterator[Callable[..., Agent]]:
    """A factory: `agent(source, daemon, "-r", delete=False)` is an Agent, not yet started, ended with the test.

    `kind`: the class to be used in the place of Agent.
    """
    made: List[Agent] = []

    def make(watch: bytes, to: Any, *arguments: str, kind: Callable[..., Agent] = Agent, **options: Any) -> Agent:
        name = f"agent{len(made) + 1}"
        made.append(kind(str(tmp_path / name), watch, to, *arguments, **options))
        _speakers(request.node)[name] = made[-1].report
        return made[-1]

    yield make
    for each in made:
        each.end()


def _speakers(item: Any) -> Dict[str, Callable[[], str]]:
    """Return who has something to say about a test, kept with its node."""
    if not hasattr(item, "rig_speakers"):
        item.rig_speakers = {}
    return item.rig_speakers


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: Any, call: Any) -> Iterator[None]:
    """Put the logs of a failed test into its report."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, words in _speakers(item).items():
            report.sections.append(("log of " + name, words()))


@pytest.fixture
def ask(capsys: Any) -> Callable[..., Tuple[int, str]]:
    """Run --status for an agent; return its exit code and what it said."""
    def run(agent: Agent, *arguments: str) -> Tuple[int, str]:
        capsys.readouterr()
        code = cli.main(["--status", "-o", agent.config_file, "--state-dir", agent.state_dir, *arguments])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run
