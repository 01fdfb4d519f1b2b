"""A cascade: each mirror is the source of the next agent, so that no host has to serve more than a few others.

Four hosts in network namespaces, a -> b -> c -> d; only neighbours reach each other.
"""

import os
import shutil
from contextlib import ExitStack

import pytest
from rig import Agent, Daemon, Host, wait_equal
from test_mirror import write

pytestmark = pytest.mark.skipif(not Host.possible(), reason="no network namespaces may be made here")


@pytest.fixture
def cascade(tmp_path):
    """The trees of the four hosts, and the agents of the first three, not started yet; each pushes to the next host."""
    with ExitStack() as stack:
        hosts = [stack.enter_context(Host()) for _ in range(4)]
        trees = [os.fsencode(str(tmp_path / name)) for name in "abcd"]
        os.mkdir(trees[0])
        agents = []
        for number, (here, there) in enumerate(zip(hosts, hosts[1:])):
            here.link(there)
            daemon = Daemon(str(tmp_path / f"daemon{number}"), {"m": trees[number + 1]}, host=there)
            stack.enter_context(daemon)
            # as the cookbook has it: a time that changes alone is not passed on otherwise
            agents.append(Agent(str(tmp_path / f"agent{number}"), trees[number], daemon, "-r", host=here, attrib=True))
            stack.callback(agents[-1].end)
        yield trees, agents


def grow(source, start, end):
    for number in range(start, end):
        write(source, b"folder %d/%d.txt" % (number % 7, number), b"content %d" % number)


def test_what_is_written_at_the_first_host_stands_at_the_last_also_after_a_kill_in_the_middle(cascade):
    """Deletions and renames that happen while nobody is there to pass them on arrive too."""
    trees, agents = cascade
    grow(trees[0], 0, 50)
    for agent in agents:
        agent.start()
    wait_equal(trees[0], trees[1:])
    grow(trees[0], 50, 200)
    agents[1].kill()
    grow(trees[0], 200, 300)
    shutil.rmtree(trees[0] + b"/folder 0")
    os.rename(trees[0] + b"/folder 1", trees[0] + b"/renamed")
    wait_equal(trees[0], trees[1])
    agents[1].start()
    wait_equal(trees[0], trees[1:])
    grow(trees[0], 300, 320)
    os.remove(trees[0] + b"/renamed/1.txt")
    wait_equal(trees[0], trees[1:])
