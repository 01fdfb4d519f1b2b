"""Ties the life of a process group to ours."""

import fcntl
import os
import signal
from typing import Optional, Type

__all__ = ["Lifeline"]


class Lifeline:
    """Sees to it that a process group dies with us, kill -9 included: a session that outlives the agent may hang for
    days, or write an old version of a file over the one that the next agent has sent.

    The process inherits one end of a pipe whose other end we alone hold. When that is closed, which the kernel does for
    the dead too, the end that is left sends the signal it was given to the group it was given. Unlike PR_SET_PDEATHSIG
    this has nothing to do between fork and exec, so a session starts as fast as without it. If we die in the very
    millisecond before `tie`, the session has no names yet: it can hang with a hung remote, but not do harm.
    """

    def __init__(self) -> None:
        """Make the pipe. Raise OSError if there is none to be had."""
        self.theirs, self._ours = os.pipe()

    def __enter__(self) -> "Lifeline":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], *_: object) -> None:
        """If the process could not be started, give the pipe back."""
        if kind is not None:
            self.let_go()

    def tie(self, group: int) -> None:
        """Bind the group's life to ours; it must have inherited `theirs`."""
        fcntl.fcntl(self.theirs, fcntl.F_SETOWN, -group)
        fcntl.fcntl(self.theirs, fcntl.F_SETSIG, signal.SIGKILL)
        fcntl.fcntl(self.theirs, fcntl.F_SETFL, fcntl.fcntl(self.theirs, fcntl.F_GETFL) | fcntl.FASYNC)

    def let_go(self) -> None:
        """Close our end; whoever is left in the group dies."""
        os.close(self._ours)
        os.close(self.theirs)

    def untie(self) -> None:
        """Let whoever is left in the group live on."""
        fcntl.fcntl(self.theirs, fcntl.F_SETFL, fcntl.fcntl(self.theirs, fcntl.F_GETFL) & ~fcntl.FASYNC)
        self.let_go()
