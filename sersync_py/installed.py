"""Is there an rsync on this machine, and is it new enough? Asked once, before anything is started."""

import os
import re
import subprocess
from typing import Tuple

from sersync_py.language import heard, said
from sersync_py.orders import environment

__all__ = ["NEEDED", "NotUsableError", "rsync_version", "version_in"]

NEEDED = (3, 1, 0)
"""The first with `--delete-missing-args`. CentOS 7 has 3.1.2."""
_ANSWER_SECONDS = 10


class NotUsableError(Exception):
    """There is no rsync that can be worked with; `why` says why and what to do."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def version_in(answer: bytes) -> Tuple[int, ...]:
    """Given what `rsync --version` says, return its version; an empty one if it is not the rsync of samba.org."""
    found = re.match(rb"rsync +version v?(\d+)\.(\d+)(?:\.(\d+))?", answer.partition(b"\n")[0])
    return tuple(int(number or 0) for number in found.groups()) if found else ()


def rsync_version() -> str:
    """Return the version of the rsync that sessions will run. Raise NotUsableError."""
    try:
        answer = subprocess.run(
            ["rsync", "--version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=_ANSWER_SECONDS, env=environment(os.environb), check=False,
        ).stdout
    except FileNotFoundError:
        raise NotUsableError(said("rsync is not installed: install it with apt-get, dnf or yum")) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        raise NotUsableError(said("rsync cannot be run: {reason}", reason=heard(reason))) from error
    version, needed = version_in(answer), ".".join(map(str, NEEDED))
    if not version:
        first = answer.partition(b"\n")[0].decode("ascii", "backslashreplace")[:100]
        raise NotUsableError(said("rsync on this machine is not rsync {needed} or later; it says: {first}",
                                  needed=needed, first=repr(first)))
    text = ".".join(map(str, version))
    if version < NEEDED:
        raise NotUsableError(said("rsync is {found}, {needed} or later is needed: update it with apt-get, dnf or yum",
                                  found=text, needed=needed))
    return text
