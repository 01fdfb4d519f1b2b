"""What the README says is so: its examples load, its tables hold what the code knows, its numbers are the code's."""

import os
import re
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sersync_py import (
    agent,
    cli,
    config,
    debts,
    doctor,
    held,
    lane,
    metrics,
    orders,
    outcomes,
    pacing,
    page,
    probe,
    pushes,
    rehearsals,
    settings,
    shortage,
    source,
    status,
    trouble,
    watcher,
    web,
)
from sersync_py.changes import ENTRY, TREE
from sersync_py.findings import sheet, verdict
from sersync_py.installed import NEEDED
from sersync_py.language import ENGLISH, spoken
from sersync_py.plugins import runner, tcp
from sersync_py.plugins.call import call_for
from sersync_py.plugins.command import environment_for
from sersync_py.reachability import Rehearsed, reachability
from sersync_py.table import table
from sersync_py.target import CANARY_SECONDS, CONNECT_SECONDS, Target
from sersync_py.terminal import Style
from sersync_py.walk import FOLDER, GONE, OTHER

README = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "README.md")
with open(README, encoding="utf-8") as stream:
    TEXT = stream.read()
EXAMPLES = re.findall(r"^```xml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
FLAT = " ".join(TEXT.split())


def section(title):
    """Return the text below a heading."""
    return re.search(rf"^## {re.escape(title)}$(.*?)(?:^## |\Z)", TEXT, re.MULTILINE | re.DOTALL).group(1)


def rows(title, first):
    """Return the rows of the table of a section whose first heading is `first`, as lists of cells."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", section(title), re.MULTILINE).group(1)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def options_in(text):
    return set(re.findall(r"(?<![\w-])--?[a-z][\w-]*", text))


# ---- the examples ----------------------------------------------------------------------------------------------------


def test_there_are_examples():
    """A heading or fence that is spelt otherwise must not make the tests below empty."""
    assert len(EXAMPLES) >= 2


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_an_example_loads_without_a_warning(tmp_path, number):
    """With folders and a password file of the test."""
    load_example(tmp_path, EXAMPLES[number])


def load_example(tmp_path, text):
    """Load a config without a warning; its watch folders and password file are put where the test has some."""
    password = tmp_path / "password"
    password.write_text("secret\n")
    password.chmod(0o600)
    watches = []

    def folder(_match):
        watches.append(str(tmp_path / str(len(watches))))
        os.mkdir(watches[-1])
        return f'watch="{watches[-1]}"'

    text = re.sub(r'watch="[^"]*"', folder, text)
    text = re.sub(r'passwordfile="[^"]*"', f'passwordfile="{password}"', text)
    file = tmp_path / "confxml.xml"
    file.write_text(text)
    found = config.load(os.fsencode(str(file)))
    assert found.warnings == ()
    assert [os.fsdecode(mirror.watch) for mirror in found.mirrors] == watches


def test_the_sample_is_where_the_readme_says():
    """It links to confxml.xml beside it, and to the scripts."""
    here = os.path.dirname(README)
    for name in ["confxml.xml", "scripts/demo", "scripts/test", "scripts/bench", ".ci/run"]:
        assert name in TEXT
        assert os.path.exists(os.path.join(here, name)), name


def test_each_fault_is_tested_by_tests_that_there_are():
    """By file and name; what is a script is there too."""
    here = os.path.dirname(README)
    for fault, _what_happens, tested_by in rows("What happens when", "fault"):
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", tested_by)
        assert named, fault
        for file, name in named:
            with open(os.path.join(here, "tests", file), encoding="utf-8") as code:
                assert re.search(rf"^def {name}\(", code.read(), re.MULTILINE), (file, name)
        for script in re.findall(r"`(scripts/\w+)`", tested_by):
            assert os.path.exists(os.path.join(here, script)), script


def test_the_documents_it_tells_of_are_there():
    """Those of the repository."""
    documents = re.findall(r"\]\(([\w./-]+)(?:#[\w-]+)?\)", TEXT)
    assert "docs/cookbook.md" in documents
    for name in documents:
        assert os.path.exists(os.path.join(os.path.dirname(README), name)), name


# ---- the command line ------------------------------------------------------------------------------------------------


def test_the_options_are_those_of_the_command():
    """None is missing, none is made up."""
    told = set()
    for row in rows("Command line", "option"):
        told |= options_in(row[0])
    actions = cli._parser()._actions
    assert told == {name for action in actions for name in action.option_strings}
    assert told == options_in(cli._parser().format_help().split("Mirror folder trees")[1]) | {"-h"}


def test_the_defaults_of_the_options_are_those_of_the_command():
    """As far as they are values."""
    told = {row[0]: row[1] for row in rows("Command line", "option")}
    given = cli._parser().parse_args([])
    assert told["`-n N`"] == str(given.workers)
    assert told["`-o FILE`"] == f"`{given.config}`"
    plugins = next(row[2] for row in rows("Command line", "option") if row[0] == "`-m NAME`")
    assert all(f"`{name}`" in plugins for name in cli.PLUGINS)


def test_what_check_is_shown_to_say_is_what_it_says():
    """Word for word."""
    assert what_check_says(ENGLISH) in TEXT


def what_check_says(language):
    """Return what --check says of a remote where nobody listens, as it is shown in a README."""
    remote = settings.Remote("192.168.8.40", "web")
    target = Target(b"/data/www", remote, settings.Rsync(), True)
    refused = outcomes.Outcome(outcomes.AWAY, 10, "rsync: failed to connect to 192.168.8.40: Connection refused (111)")
    findings = list(reachability(Rehearsed(target, refused, rehearsals.REMOTE_SECONDS)))
    lines = [*sheet(findings, Style(language, 80)), "", spoken(verdict(findings)[0], language)]
    return "\n".join("    " + line if line else "" for line in lines).strip("\n")


# ---- the config reference --------------------------------------------------------------------------------------------


def reference():
    """Return {(path, attribute): default} of the reference; the attribute is "" where an element has none."""
    found = {}
    for path, attribute, default, _meaning, _unlike in rows("Config reference", "element"):
        path = path.strip("`")
        key = (path if path == "head" else "head/" + path, attribute.strip("`"))
        assert key not in found, key
        found[key] = default.strip("`")
    return found


def test_every_element_and_attribute_is_in_the_reference_and_no_other():
    """What config knows is what the reader is told."""
    known = {(path, name) for path, names in config._KNOWN.items() for name in names or ("",)}
    assert set(reference()) == known


def test_the_defaults_in_the_reference_are_those_of_the_code():
    """Whatever has one."""
    told = reference()
    for name, value in settings.Inotify()._asdict().items():
        words = name.split("_")
        tag = words[0] + "".join(word.title() for word in words[1:])
        assert told["head/inotify/" + tag, "start"] == str(value).lower(), tag
    assert told["head/sersync/rsync/commonParams", "params"] == " ".join(settings.Rsync().params)
    assert told["head/sersync/failLog", "path"] == settings.FailLog().path.decode()
    assert told["head/sersync/failLog", "timeToExecute"] == str(settings.FailLog().minutes)
    assert told["head/sersync/crontab", "schedule"] == str(settings.Crontab().minutes)
    others = {plugin._field_defaults["seconds"] for plugin in (settings.Socket, settings.Http, settings.RefreshCdn)}
    limits = {f"{settings.Command._field_defaults['seconds']}, {seconds}" for seconds in others}
    assert limits == {told["head/plugin", "timeout"]}
    switches = {default for (path, name), default in told.items() if name == "start" and "/inotify/" not in path
                and path != "head/sersync/rsync/warm"}
    assert switches == {"false"}


def test_the_masks_of_the_http_plugin_are_those_of_the_code():
    """In the order in which they stand there."""
    kinds = [(b"written", ENTRY, OTHER), (b"deleted", ENTRY, GONE), (b"folder", ENTRY, FOLDER), (b"gone", TREE, GONE)]
    masks = tuple(call_for(b"/", path, scope, 0.0, found).kind.mask for path, scope, found in kinds)
    assert "`mask` ({} written, {} deleted, {} folder, {} folder deleted)".format(*masks) in FLAT


def test_the_environment_of_a_command_is_told():
    """All of it."""
    told = {row[0].strip("`").encode() for row in rows("Config reference", "variable")}
    assert told == set(environment_for(call_for(b"/", b"a", ENTRY, 0.0, GONE), {}))


def test_the_places_are_those_of_the_command():
    """Where the files are, for root and for others."""
    files = " ".join(" ".join(row) for row in rows("Command line", "file"))
    with open(cli.__file__, encoding="utf-8") as code:
        text = code.read()
    for place in ("/var/lib/sersync-py", "~/.local/state", "/var/log/sersync-py.log"):
        assert place in files
        assert f'"{place}"' in text


# ---- the status ------------------------------------------------------------------------------------------------------

EVERYTHING = status.Status("1", 1, "config", 1.0, 1.0, (status.WatchStatus("/watch", scanned_at=1.0, remotes=(
    status.RemoteStatus("remote", status.AWAY, away_since=1.0, pushed_at=1.0, error_at=1.0, whole_tree_pushed_at=1.0,
                        whole_tree_compared_at=1.0),
)),), next_whole_tree_at=1.0, plugins=(status.PluginStatus("command", done=1),))


def test_the_metrics_are_those_of_the_code():
    """With their labels, and what Prometheus itself is told of them."""
    told = {row[0].strip("`"): (row[1], row[2]) for row in rows("Is all in step?", "metric")}
    known = {}
    for family in text_string_to_metric_families(metrics.exposition(EVERYTHING, "")[0].decode()):
        if family.name.startswith("sersync_"):
            sample = family.samples[0]
            names = ("watch", "remote", "state", "version", "plugin", "outcome")
            labels = [name for name in names if name in sample.labels]
            text = family.documentation
            known[sample.name] = (", ".join(labels), text[0].lower() + text[1:].rstrip("."))
    assert told == known


def test_the_fields_of_json_are_those_of_the_code():
    """Each object's, in its order but for the verdict and the problems."""
    told = {row[0]: re.findall("`([a-z_]+)`", row[1]) for row in rows("Is all in step?", "object")}
    found = status.plain(EVERYTHING)
    assert told == {
        "status": list(found), "`watches`": list(found["watches"][0]),
        "`remotes` of a watch folder": list(found["watches"][0]["remotes"][0]),
        "`plugins`": list(found["plugins"][0]), "`problems`": list(found["problems"][0]),
    }


def test_the_addresses_are_those_of_the_code():
    """And where they are unless told otherwise."""
    assert [row[0].strip("`") for row in rows("Is all in step?", "address")] == list(web._PLACES)
    told = reference()
    assert told["head/host", "port"] == str(settings.Page().port)
    assert (told["head/host", "hostip"], settings.Page().address) == ("localhost", "127.0.0.1")
    assert f"It listens on {settings.Page().address} unless" in FLAT


def test_the_example_of_the_table_is_one():
    """As the code writes it today."""
    example = re.search(r"prints for instance:\n\n```\n(.*?)```", section("Is all in step?"), re.DOTALL).group(1)
    now = time.mktime((2026, 11, 22, 12, 0, 0, 0, 0, -1))
    why = "no connection (exit 10)"
    fine = status.RemoteStatus("192.168.8.39::web", status.IN_STEP, bytes=1200000000,
                               whole_tree_compared_at=now - 9 * 3600 + 31)
    away = fine._replace(name="192.168.8.40::web", state=status.AWAY, why=why, away_since=now - 312, unsent_paths=17,
                         next_try_seconds=0.6, oldest_unsent_seconds=312.0, fail_log_entries=17,
                         whole_tree_compared_at=now - 9 * 3600 + 30)
    watch = status.WatchStatus("/data/www", folders=12345, events_per_second=0.3, scanned_at=now - 9 * 3600 + 12,
                               remotes=(fine, away))
    found = status.Status("1", 1234, "/etc/sersync-py/confxml.xml", now, now - 273600, (watch,))
    assert example.split("\n") == [line.rstrip() for line in table(found, ENGLISH, 80, False).split("\n")] + [""]


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sentence", "values"), [
    ("what it lacks is younger than {:g} s", (status.LATE_SECONDS,)),
    ("a change has waited for more than {:g} s", (status.LATE_SECONDS,)),
    ("silent for {} s: it is starting", (cli._ASK_SECONDS,)),
    ("it is tried again every {} s", (agent.HEARTBEAT_SECONDS,)),
    ("brought up to date every {} s; a start", (agent.HEARTBEAT_SECONDS,)),
    ("as the browser asks; brought up to date every {} s", re.findall(r"EVERY = (\d+)000", page._SCRIPT)),
    ("up to {:,} paths or {} MB", (pushes.BATCH_PATHS, pushes.BATCH_BYTES >> 20)),
    ("how many big files ({} MB and more)", (pushes.BIG_BYTES >> 20,)),
    ("A file of {} MB or more goes in a session of its own", (pushes.BIG_BYTES >> 20,)),
    ("tries with one path after {:g} s, then every {:g} s", (trouble.FIRST_RETRY, trouble.LONGEST_RETRY)),
    ("these are tried again after {:g} s, doubling to {:g} s", (held.FIRST_RETRY, held.LONGEST_RETRY)),
    ("20 at a time, every {:g} s until one goes through", (held.REST,)),
    ("the next time after {:g} s or {} times as long as its push took", (lane.LONGEST_REST, lane.SELDOM)),
    ("after as long as it was on its way, {:g} s at most", (lane.LONGEST_REST,)),
    ("silent for {:g} s has its host asked", (probe.QUIET_SECONDS,)),
    ("if nothing answers within {} s the session", (CANARY_SECONDS,)),
    ("again after {:g} to {:g} s, then ever more seldom", (pacing.FIRST_PAUSE, 2 * pacing.FIRST_PAUSE)),
    ("let sessions end for at most {:.0f} s", (agent.DRAIN_SECONDS,)),
    ("saved every {} s", (agent.HEARTBEAT_SECONDS,)),
    ("more than {:,} entries of a remote become one", (debts.MOST_OWED,)),
    ("a session that gives no sign for {} s is ended", (orders.SILENCE_SECONDS,)),
    ("the session is ended after {} s", (orders.SILENCE_SECONDS,)),
    ("a connection must be made within {} s", (CONNECT_SECONDS,)),
    ("A remote may take {:g} s.", (rehearsals.REMOTE_SECONDS,)),
    ("Folders are counted for {:g} s", (doctor._COUNT_SECONDS,)),
    ("up to {} calls are made at a time", (runner.AT_ONCE,)),
    ("and up to {:,} wait; then", (runner.MOST_WAITING,)),
    ("closes; up to {} tries", (tcp.TRIES,)),
    ("with more than {:,} names in it, is told once", (watcher._MANY,)),
    ("they are scanned every {:.0f} s", (shortage.LOOK_SECONDS,)),
])
def test_a_number_is_the_one_of_the_code(sentence, values):
    """Where it stands in a sentence."""
    assert sentence.format(*values) in FLAT


def test_the_numbers_that_are_words_are_those_of_the_code():
    """Once a second, every second."""
    assert pacing.LONGEST_PAUSE == 1.0
    assert source._GUARD_SECONDS == 1.0


def test_the_pythons_and_rsyncs_are_those_of_the_package():
    """What is needed."""
    with open(os.path.join(os.path.dirname(README), "setup.cfg"), encoding="utf-8") as file:
        assert "python_requires = >=3.6" in file.read()
    assert "Python 3.6 or later, rsync {} or later".format(".".join(map(str, NEEDED))) in FLAT
