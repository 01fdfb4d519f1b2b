"""The field: source, two mirrors, the agent with its lives one after the other, and hands that write."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import List, Sequence

from rig import LOOPBACK, Agent, Daemon, Relay, _Family, wait_for

from soaking import hands
from soaking.hands import plant

__all__ = ["Field", "Worker"]

WHOLE_TREE = ("pushed the whole tree", "comparing the whole tree", "whole tree compared", "whole tree is compared")
FAULTS_OF_ITS_OWN = ("fault of its own", "Traceback", " ERROR ")
_OTHER_LOOPBACK = "127.0.0.2"


class Worker:
    """A hand in a process of its own."""

    def __init__(self, source: bytes, outside: bytes, seed: str) -> None:
        words = [sys.executable, os.path.abspath(hands.__file__), source, outside, seed]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)

    def begin(self, task: str, count: int) -> None:
        """Let it do something; `finish` waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task} {count}\n".encode())
        self._process.stdin.flush()

    def finish(self) -> int:
        """Wait until it has done what it was told; return how many operations worked."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def end(self) -> None:
        """See that it is gone."""
        self._process.kill()
        self._process.communicate()


class Field:
    """All that takes part; the first mirror is reached directly, the second through a relay that can fail alone."""

    def __init__(self, folder: str, seed: int, workers: int, python: str) -> None:
        self.folder, self._rng = folder, random.Random(f"{seed}/field")
        self.source, self.outside = os.fsencode(folder + "/source"), os.fsencode(folder + "/outside")
        os.mkdir(self.source)
        os.mkdir(self.outside)
        plant(self.source, self._rng, 1000)
        self.stock()
        modules = {name: os.fsencode(f"{folder}/{name}") for name in ("m1", "m2")}
        self.daemon = Daemon(folder + "/daemon", modules).start()
        self.relay = Relay(self.daemon.port, self.daemon.port, _OTHER_LOOPBACK)
        remotes = [(LOOPBACK, "m1"), (_OTHER_LOOPBACK, "m2")]
        self._remotes = remotes
        self.agent = Agent(folder + "/agent", self.source, remotes, python=python)
        self._minutes = 60
        self.configure()
        self.lives: List[_Family] = []
        self.slowest_orphan = 0.0
        self.orphans = 0
        self._watches: List[threading.Thread] = []
        self.workers = [Worker(self.source, self.outside, f"{seed}/{number}") for number in range(workers)]
        self.mover = Worker(self.source, self.outside, f"{seed}/mover")
        self._told = 0

    def configure(self) -> None:
        """Write a config that is a little different each time."""
        self._minutes += 1
        self.agent.configure(self._remotes, port=self.daemon.port, params="-artz", attrib=True, hiddenFiles=True,
                             fail_minutes=self._minutes)

    def stock(self) -> None:
        """Put some folders aside, for the hands to move in later."""
        for number in range(20):
            plant(os.path.join(self.outside, b"%d" % number), self._rng, 30)

    def begin(self) -> None:
        """Start the agent for the first time; come back when it has mirrored all and knows from when on it watches."""
        self.agent.start("-r")
        wait_for(lambda: self.agent.log().count("pushed the whole tree") >= 2, 60, "the first whole-tree pushes")
        wait_for(lambda: self._marks() == 2, 30, "the marks")
        self._told = len(self.agent.log())

    def _marks(self) -> int:
        with contextlib.suppress(OSError):
            return sum(name.endswith(".mark") for name in os.listdir(self.agent.state_dir))
        return 0

    def new_words(self, wanted: Sequence[str]) -> List[str]:
        """Return the lines of the agent's log since the beginning that hold one of the words."""
        text = self.agent.log()[self._told:] + self.agent.output()
        return [line for line in text.splitlines() if any(word in line for word in wanted)]

    # -- the agent's lives ---------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Let the agent die, and see in a thread how long its sessions outlive it."""
        family = self.agent._family
        assert family is not None
        self.agent.kill()
        self.lives.append(family)
        watch = threading.Thread(target=self._watch_orphans, args=(family, time.monotonic()), daemon=True)
        watch.start()
        self._watches.append(watch)

    def _watch_orphans(self, family: _Family, died: float, patience: float = 5.0) -> None:
        left = family.members()
        while left and time.monotonic() - died < patience:
            time.sleep(0.02)
            left = family.members()
        self.slowest_orphan = max(self.slowest_orphan, time.monotonic() - died)
        self.orphans += len(left)

    def revive(self) -> None:
        """Start the agent again, without -r; what its last life left behind is not touched."""
        self.agent._family = None
        self.agent.start(watching=0)

    def started(self) -> None:
        """Wait until the agent's life has begun: before, it cannot be judged, and a signal ends it as any process."""
        wait_for(self.agent.watches, 30, "the agent to watch")

    def stop(self) -> None:
        """Ask the agent to end; it does so in good time and leaves nothing behind."""
        self.started()
        family = self.agent._family
        assert family is not None
        self.agent.stop(30)
        self._watch_orphans(family, time.monotonic())

    def end(self) -> None:
        """See that nothing is left of all this."""
        for each in (*self.workers, self.mover):
            each.end()
        for thread in self._watches:
            thread.join()
        with contextlib.suppress(ProcessLookupError, AssertionError):
            self.agent.signal(signal.SIGCONT)
        for family in self.lives:
            family.end()
        self.agent.end()
        self.relay.close()
        self.daemon.kill()
