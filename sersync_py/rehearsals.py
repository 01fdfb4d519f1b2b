"""A push to each remote of a config, tried without changing anything, side by side."""

import os
import time
from typing import List, Optional

from sersync_py.changes import ENTRY
from sersync_py.loop import Loop
from sersync_py.orders import rehearsal
from sersync_py.outcomes import DONE, Outcome, less_able
from sersync_py.reachability import SILENT, Rehearsed
from sersync_py.session import Session
from sersync_py.settings import Config
from sersync_py.target import Target

__all__ = ["REMOTE_SECONDS", "Rehearsals"]

REMOTE_SECONDS = 10.0
"""How long a remote may take to answer."""
_AT_A_TIME = 50
_WAIT_SECONDS = 0.1
_BROKEN = 12
"""rsync's exit code for a connection that broke."""
_NOT_THERE = b".sersync-py.is-not-there"
"""A receiver is asked to delete this, which it does not have: some fail at that."""


class _Rehearsal:
    """A push to one remote, in as many sessions as it takes to know what its rsync can do."""

    def __init__(self, loop: Loop, target: Target, seconds: float) -> None:
        self.result: Optional[Rehearsed] = None
        self._loop, self._target, self._seconds = loop, target, seconds
        self._may_repeat = True
        # no name shows what is wrong with the folder at the remote, one that is gone whether deletions work
        self._lists = [[], [(_NOT_THERE, ENTRY)]] if target.delete else [[]]
        self._launch()

    def _launch(self) -> None:
        now = time.monotonic()
        self._session = Session(self._loop, rehearsal(self._target, self._lists[0]), {}, now)
        self._until = now + self._seconds

    def step(self) -> None:
        """Look how far it is; at the end there is a result."""
        now = time.monotonic()
        outcome = self._session.step(now)
        if outcome is None:
            if now >= self._until:
                self._session.cut(SILENT)
        elif self._goes_on(outcome):
            self._launch()
        else:
            self.result = Rehearsed(self._target, outcome, self._seconds, _names_user(self._target))

    def _goes_on(self, outcome: Outcome) -> bool:
        """Say whether another session is needed, and prepare it."""
        less = less_able(self._target, outcome)
        if less is not None:
            self._target = less[0]
            return True
        if outcome.code == _BROKEN and outcome.message != SILENT and self._may_repeat:
            # what the daemon said last may have been lost on the way
            self._may_repeat = False
            return True
        if outcome.verdict == DONE and len(self._lists) > 1:
            del self._lists[0]
            return True
        return False


def _names_user(target: Target) -> bool:
    """Say whether the password file begins with the user and a colon."""
    user, path = target.rsync.user, target.rsync.password_file
    if not user or path is None:
        return False
    wanted = os.fsencode(user + ":")
    try:
        with open(path, "rb") as file:
            return file.read(len(wanted)) == wanted
    except OSError:
        return False


class Rehearsals:
    """All remotes of a config. Those that may run are started at once; `finish` waits for all."""

    def __init__(self, config: Config, seconds: float) -> None:
        """`seconds`: how long each remote may take to answer."""
        self._loop, self._seconds = Loop(), seconds
        self._left = [
            Target(mirror.watch, remote, config.rsync, config.inotify.delete)
            for mirror in config.mirrors for remote in mirror.remotes
        ]
        self._all: List[_Rehearsal] = []
        self._start()

    def _start(self) -> None:
        free = _AT_A_TIME - sum(each.result is None for each in self._all)
        for target in self._left[:free]:
            self._all.append(_Rehearsal(self._loop, target, self._seconds))
        del self._left[:free]

    def finish(self) -> List[Rehearsed]:
        """Wait until all have answered or their time is over; return the results in the order of the config."""
        running = self._all
        while running:
            for each in running:
                each.step()
            self._start()
            running = [each for each in self._all if each.result is None]
            if running:
                self._loop.wait(_WAIT_SECONDS)
        self._loop.close()
        return [each.result for each in self._all if each.result is not None]
