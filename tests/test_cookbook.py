"""What the cookbook says is so: all its configs load; the pair, the cascade and the backups do what they promise."""

import os
import re
import shutil
import subprocess
import time
from contextlib import ExitStack

import pytest
from lxml import etree
from rig import LOOPBACK, Agent, Daemon, wait_equal, wait_for
from test_mirror import first_pushes, write
from test_readme import load_example

BOOK = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "docs", "cookbook.md")
with open(BOOK, encoding="utf-8") as stream:
    TEXT = stream.read()


def recipe(title):
    """Return the text below a heading."""
    return re.search(rf"^## {re.escape(title)}$(.*?)(?:^## |\Z)", TEXT, re.MULTILINE | re.DOTALL).group(1)


def blocks(text, language):
    """Return the fenced blocks of a text."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


TITLES = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
CONFIGS = [(title, config) for title in TITLES for config in blocks(recipe(title), "xml")]


# ---- on paper --------------------------------------------------------------------------------------------------------


def test_every_recipe_is_in_the_list_at_the_top_and_has_a_config():
    """And what it says at the end, to watch out for."""
    assert re.findall(r"^- \[(.*)\]\(#.*\)$", TEXT, re.MULTILINE) == TITLES
    assert len(TITLES) == 9
    for title in TITLES:
        assert blocks(recipe(title), "xml"), title
        assert "You want" in recipe(title), title
        assert re.search("^- ", recipe(title), re.MULTILINE), title


@pytest.mark.parametrize("number", range(len(CONFIGS)), ids=[title for title, _ in CONFIGS])
def test_a_recipes_config_loads_without_a_warning(tmp_path, number):
    """With folders and a password file of the test."""
    load_example(tmp_path, CONFIGS[number][1])


@pytest.mark.parametrize("title", [title for title in TITLES if blocks(recipe(title), "ini")])
def test_a_recipes_modules_are_those_that_its_config_sends_to(title):
    """None is missing in rsyncd.conf, none is too much."""
    names = {remote.get("name").partition("/")[0] for config in blocks(recipe(title), "xml")
             for remote in etree.fromstring(config).iter("remote")}
    (conf,) = blocks(recipe(title), "ini")
    assert set(re.findall(r"^\[(.*)\]$", conf, re.MULTILINE)) == names


def test_links_lead_somewhere():
    """In the cookbook itself, and to headings of the README."""
    with open(os.path.join(os.path.dirname(os.path.dirname(BOOK)), "README.md"), encoding="utf-8") as file:
        headings = {"../README.md": anchors(file.read()), "": anchors(TEXT)}
    links = re.findall(r"\]\(([^)#]*)#([^)]*)\)", TEXT)
    assert links
    assert [link for link in links if link[1] not in headings[link[0]]] == []


def anchors(text):
    """Return what its headings are called in links."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


# ---- on the machine --------------------------------------------------------------------------------------------------


@pytest.fixture
def cook(tmp_path):
    """A factory: a config of the book, a daemon and a watch folder give an agent that is not started yet."""
    with ExitStack() as stack:

        def make(config, watch, daemon):
            """Change nothing in the config but the places."""
            head = etree.fromstring(config)
            head.find("sersync/localpath").set("watch", os.fsdecode(watch))
            for remote in head.iter("remote"):
                remote.set("ip", LOOPBACK)
            rsync = head.find("sersync/rsync")
            if rsync is None:
                rsync = etree.SubElement(head.find("sersync"), "rsync")
            etree.SubElement(rsync, "userDefinedPort", start="true", port=str(daemon.port))
            made = Agent(str(tmp_path / f"agent{daemon.port}"), watch, daemon)
            etree.SubElement(head.find("sersync"), "failLog", path=made.fail_log)
            etree.ElementTree(head).write(made.config_file)
            stack.callback(made.end)
            return made

        yield make


@pytest.fixture
def served(tmp_path):
    """A factory: `served(name, module)` is a running daemon with a module in a folder of that name."""
    with ExitStack() as stack:
        yield lambda name, module="web": stack.enter_context(
            Daemon(str(tmp_path / ("daemon " + name)), {module: os.fsencode(str(tmp_path / name))}))


def test_the_pair_takes_changes_at_both_sides_and_a_restart_brings_no_deletion_across(cook, served):
    """Both started without -r; while both are down, each side gets a file that the other has never seen."""
    (config,) = blocks(recipe("Two-way pair"), "xml")
    daemons = [served("a"), served("b")]
    folders = [daemon.mirrors[0] for daemon in daemons]
    for folder in folders:
        write(folder, b"f/old")
        os.utime(os.path.join(folder, b"f/old"), ns=(0, 10**18))
    agents = [cook(config, folders[0], daemons[1]), cook(config, folders[1], daemons[0])]
    for agent in agents:
        agent.start()
    # what goes while the first push of the other side is still under way, would come again
    wait_for(lambda: all(first_pushes(agent) for agent in agents))
    write(folders[0], b"f/written at a")
    write(folders[1], b"f/written at b")
    os.remove(folders[1] + b"/f/old")
    both = {b"written at a", b"written at b"}
    wait_for(lambda: [set(os.listdir(folder + b"/f")) for folder in folders] == [both, both])
    for agent in agents:
        agent.stop()
    write(folders[0], b"f/meanwhile at a")
    write(folders[1], b"f/meanwhile at b")
    all_four = both | {b"meanwhile at a", b"meanwhile at b"}
    agents[0].start()
    wait_for(lambda: os.path.exists(folders[1] + b"/f/meanwhile at a"))
    agents[1].start()
    wait_for(lambda: [set(os.listdir(folder + b"/f")) for folder in folders] == [all_four, all_four])
    wait_for(lambda: sessions(daemons) == (time.sleep(2), sessions(daemons))[1], message="both to have said all")


def sessions(daemons):
    """Return how many transfers there have been."""
    return sum(daemon.sessions() for daemon in daemons)


def test_the_cascade_hands_on_hidden_files_modes_and_deletions(cook, served):
    """With the two configs of the recipe, the second of which watches what the first one sends to."""
    first, second = blocks(recipe("Cascade"), "xml")
    middle, last = served("b"), served("c")
    source = os.path.join(os.path.dirname(middle.mirrors[0]), b"a")
    write(source, b"old/file")
    # one receiver stands for both of those that B has in the recipe
    one = re.sub(r'\n *<remote ip="192.168.9.40" name="web"/>', "", second)
    assert one != second
    cook(first, source, middle).start("-r")
    cook(one, middle.mirrors[0], last).start("-r")
    wait_equal(source, [middle.mirrors[0], last.mirrors[0]])
    write(source, b"old/.htaccess")
    write(source, b"new/file")
    wait_equal(source, [middle.mirrors[0], last.mirrors[0]])
    os.remove(source + b"/old/file")
    os.rename(source + b"/new", source + b"/renamed")
    wait_equal(source, [middle.mirrors[0], last.mirrors[0]])


def kept(folder):
    """Return {path: content} of what was moved aside, whatever day it is under."""
    found = {}
    for day in os.listdir(folder):
        for place, _, names in os.walk(os.path.join(folder, day)):
            for name in names:
                path = os.path.join(place, name)
                with open(path, "rb") as file:
                    found[os.path.relpath(path, os.path.join(folder, day))] = file.read()
    return found


def test_backups_keep_what_was_deleted_or_overwritten_and_the_daily_script_loses_none(cook, served, source):
    """It runs between changes and in the middle of them; a whole-tree push leaves what is kept alone."""
    text = recipe("Backups on the remote side")
    (config,), (script,) = blocks(text, "xml"), blocks(text, "sh")
    daemon = served("module")
    module = daemon.mirrors[0]
    mirror, replaced = module + b"/current", module + b"/replaced"

    def daily():
        """Run the script, as cron does."""
        subprocess.run(["sh", "-c", script.replace("/data/web", os.fsdecode(module))], check=True)

    daily()
    for number in range(100):
        write(source, b"folder %d/file %d" % (number % 5, number), b"first %d" % number)
    agent = cook(config, source, daemon)
    agent.start("-r")
    wait_equal(source, mirror)
    assert not os.path.exists(replaced)

    write(source, b"folder 0/file 0", b"second")
    wait_equal(source, mirror)
    daily()
    assert os.listdir(replaced) != [b"today"]
    shutil.rmtree(source + b"/folder 1")
    for number in (2, 3):
        for name in os.listdir(source + b"/folder %d" % number):
            os.remove(source + b"/folder %d/%s" % (number, name))
            daily()
    wait_equal(source, mirror)
    wanted = {b"folder 0/file 0": b"first 0"}
    wanted.update((b"folder %d/file %d" % (number % 5, number), b"first %d" % number)
                  for number in range(100) if number % 5 in (1, 2, 3))
    assert kept(replaced) == wanted

    agent.stop()
    agent.start("-r")  # the whole tree, with --delete
    write(source, b"last")
    wait_equal(source, mirror)
    # of `last`, which may be sent twice, a version may be kept
    assert {path: content for path, content in kept(replaced).items() if path != b"last"} == wanted

    old = min(os.listdir(replaced))
    os.utime(os.path.join(replaced, old), (0, 0))
    daily()
    assert os.path.exists(replaced)
    assert old not in os.listdir(replaced)
