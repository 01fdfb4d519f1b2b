"""The way of the data, as imports: each module knows only those below it, and each library has one user."""

import ast
import os
import re

import pytest

import sersync_py

FOLDER = os.path.dirname(sersync_py.__file__)

LAYERS = [
    [
        "chinese",
        "language",
        "mounts",
        "loop",
        "guard",
        "clock",
        "changes",
        "settings",
        "legible",
        "xmltext",
        "limits",
        "lifeline",
        "statefile",
        "marks",
        "terminal",
        "timetable",
        "systemd",
        "history",
        "notices",
        "status",
        "logfile",
    ],
    [
        "filters",
        "flights",
        "elements",
        "findings",
        "pluginconfig",
        "target",
        "orders",
        "outcomes",
        "faillogtext",
        "pacing",
        "held",
        "tally",
        "shortage",
        "handover",
        "asking",
        "words",
        "chart",
    ],
    [
        "config",
        "walk",
        "inner",
        "scan",
        "session",
        "installed",
        "faillog",
        "trouble",
        "diagnosis",
        "reachability",
    ],
    [
        "watcher",
        "pushes",
        "comparison",
        "probe",
        "warm",
        "rehearsals",
        "starter",
        "metrics",
        "page",
        "table",
    ],
    [
        "plugins.call",
        "plugins.errand",
        "plugins.command",
        "plugins.tcp",
        "plugins.post",
        "plugins.refreshcdn",
        "plugins.runner",
    ],
    ["lane"],
    [
        "arrivals",
        "source",
        "debts",
        "resuming",
        "mountmemory",
        "announcer",
        "progress",
        "dryrun",
        "overview",
        "web",
        "reporting",
    ],
    ["agent"],
    ["doctor"],
    ["cli"],
    ["__main__"],
]
"""From the bottom up. A module imports from rows below its own, or from what stands further left in its row."""

ONLY_USERS = {
    "pyinotify": {"watcher"},
    "schedule": {"timetable"},
    "subprocess": {"session", "installed", "plugins.command"},
    "lxml": {"xmltext", "elements", "pluginconfig", "config"},
    "tqdm": {"progress"},
    "daemon": {"cli"},
    "argparse": {"cli"},
    "prometheus_client": {"metrics"},
    "http": {"web", "plugins.post"},
    "socketserver": {"web"},
}
ORDER = [name for layer in LAYERS for name in layer]


def modules():
    found = []
    for folder, _, names in os.walk(FOLDER):
        package = os.path.relpath(folder, FOLDER).replace(os.sep, ".") + "."
        found += [package.lstrip(".") + name[:-3] for name in names if name.endswith(".py") and name != "__init__.py"]
    return sorted(found)


def file_of(module):
    return os.path.join(FOLDER, *module.split(".")) + ".py"


def imports(module):
    """Return the names of our own modules and of the packages that a module imports, wherever in it."""
    with open(file_of(module), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    ours, others = set(), set()
    for node in ast.walk(tree):
        found = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found = names if node.module == "sersync_py" else [node.module]
        for name in found:
            package, _, rest = name.partition(".")
            if package == "sersync_py":
                ours |= {rest, rest.partition(".")[0]}
            else:
                others.add(package)
    return ours & set(modules()), others


def used_of_os(module):
    """Return what a module uses of `os`."""
    with open(file_of(module), encoding="utf-8") as file:
        return set(re.findall(r"\bos\.((?:path\.)?\w+)", file.read()))


def test_every_module_has_its_place():
    """A new module must be given a row, and a row must not name one that is gone."""
    assert sorted(ORDER) == modules()


@pytest.mark.parametrize("module", modules())
def test_a_module_imports_only_from_below(module):
    """No cycle, and no module that knows who uses it."""
    ours, _ = imports(module)
    upward = {name for name in ours if ORDER.index(name) >= ORDER.index(module)}
    assert not upward


@pytest.mark.parametrize("library", sorted(ONLY_USERS))
def test_a_library_has_the_one_user_it_should_have(library):
    """What is imported in one place can be replaced in one place."""
    assert {module for module in modules() if library in imports(module)[1]} == ONLY_USERS[library]


def test_what_decides_touches_nothing():
    """The pure modules start no process, open no file and ask no clock."""
    for module in ("changes", "settings", "pacing", "filters", "target", "orders", "outcomes", "faillogtext", "trouble",
                   "held", "flights"):
        assert not imports(module)[1] & {"subprocess", "socket", "time", "select", "selectors", "signal"}, module
        assert used_of_os(module) <= {"path.basename", "path.dirname", "path.join"}, module


@pytest.mark.parametrize("module", [name for name in modules() if name != "__main__"])
def test_every_module_says_what_it_offers(module):
    """`__all__` is the public face, and all that it names exists."""
    loaded = __import__("sersync_py." + module, fromlist=["*"])
    assert loaded.__all__
    for name in loaded.__all__:
        assert hasattr(loaded, name)
