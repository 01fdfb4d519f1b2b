"""What rsync says back: exit codes and messages judged, output read. Pure."""

import re
from typing import FrozenSet, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

from sersync_py.changes import CONTENT, LISTING, ROOT, TREE, ancestors
from sersync_py.legible import printable
from sersync_py.target import Target

__all__ = [
    "AWAY",
    "DONE",
    "HOPELESS",
    "Outcome",
    "PARTIAL",
    "UNSTARTED",
    "behind_temporary",
    "bytes_sent",
    "files_sent",
    "forgiven",
    "itemized",
    "judge",
    "less_able",
    "protocol",
    "surveyed",
    "unreachable",
]

DONE, PARTIAL, HOPELESS, AWAY, UNSTARTED = "done", "partial", "hopeless", "away", "unstarted"
"""Verdicts, from good to bad: UNSTARTED, no session could be started here, is nothing that the remote can help."""

_VERDICTS = {0: DONE, 24: DONE, 23: PARTIAL, 25: PARTIAL, **dict.fromkeys([1, 2, 3, 4, 6], HOPELESS)}
_MEANINGS = {
    1: "wrong usage",
    2: "incompatible protocols",
    3: "wrong folder",
    4: "not supported by the other end",
    5: "the daemon refused",
    6: "log file not writable",
    10: "no connection",
    11: "file input/output failed",
    12: "connection broke",
    13: "no diagnostics from the other end",
    14: "inter-process communication failed",
    20: "ended by a signal",
    21: "process lost",
    22: "out of memory",
    23: "some paths failed",
    24: "some paths vanished",
    25: "deletion limit reached",
    30: "timeout",
    35: "timeout while connecting",
    127: "rsync or ssh not found",
    255: "ssh failed",
}


class Outcome(NamedTuple):
    """How a session ended."""

    verdict: str
    code: int
    """rsync's exit code; negative: the signal that ended it; 127: it could not be started."""
    message: str = ""
    """The first line on stderr that says why, in one line, control characters escaped."""
    failed: Optional[FrozenSet[bytes]] = frozenset()
    """For PARTIAL: the paths that stay dirty; None: it cannot be told, so all do."""
    skipped: FrozenSet[bytes] = frozenset()
    """For PARTIAL: folders that were to be made equal, where nothing was deleted because something else failed."""
    output: bytes = b""
    sent: int = 0
    """Bytes that went to the remote."""
    seconds: float = 0.0

    def why(self) -> str:
        """Return what happened in a few words, for a log line."""
        meaning = _MEANINGS.get(self.code, f"ended by signal {-self.code}" if self.code < 0 else "failed")
        return "{} (exit {}){}".format(meaning, self.code, ": " + self.message if self.message else "")


def judge(
    code: int, stderr: bytes, known: Mapping[bytes, int], watch: bytes, within: bytes = b"", output: bytes = b""
) -> Outcome:
    """Given a session's exit code, its messages and what it was asked (path -> scope), return its outcome.

    `watch` and `within` are the folders that the paths are below here and at the remote.

    Once the sender could not look at something, nothing is deleted in any folder from then on, which only `output`, the
    session's stdout, tells. If that something changed while it was sent, the folders have failed, too.
    """
    verdict = _VERDICTS.get(code, AWAY)
    failed: Optional[FrozenSet[bytes]] = frozenset()
    skipped: FrozenSet[bytes] = frozenset()
    if verdict == PARTIAL:
        failed = _failed_paths(stderr, known, watch, within)
        if failed is not None and (_SKIPPED in stderr or _SKIPPED in output):
            folders = frozenset(path for path, scope in known.items() if scope & LISTING == LISTING)
            if failed and not _NOT_A_FOLDER.search(stderr):
                skipped = folders - failed
            else:
                failed = failed | folders if folders else None
    return Outcome(verdict, code, _reason(stderr) if verdict != DONE else "", failed, skipped)


def _reason(stderr: bytes) -> str:
    """Return the first line of stderr that says why, harmless to print."""
    lines = [line for line in stderr.split(b"\n") if not _NOT_A_REASON.match(line)] or stderr.strip().split(b"\n")
    lines = [line for line in lines if not _HARMLESS.match(line)] or lines
    return printable(lines[0].strip())[:300]


_TEMPORARY = re.compile(rb"(?:(.*)/)?\.([^/]+)\.[A-Za-z0-9]{6}\Z", re.DOTALL)
_NOT_A_REASON = re.compile(
    # the fourth and fifth: ssh's words about keys that it learns or does not find, and its frame around louder ones
    rb"rsync error: |rsync: connection unexpectedly closed|rsync warning: |Warning: |@+\s*$|\s*$|IO error encountered"
    rb"|\*\*\* Skipping"
)
_SKIPPED = b"IO error encountered -- skipping file deletion"
_NOT_A_FOLDER = re.compile(rb"rsync: (?:\[sender\] )?link_stat .* failed: Not a directory \(20\)", re.MULTILINE)
_HARMLESS = re.compile(
    rb"file has vanished: |cannot delete non-empty directory: |rsync warning: |\s*$"
    # a folder above became a file or vanished meanwhile, which its own events say
    rb"|rsync: \[sender\] link_stat .* failed: Not a directory \(20\)|WARNING: parent dir is absent in the file list: "
    # it changed while it was sent, and rsync itself sends it anew
    rb"|WARNING: .* failed verification -- update "
)


def _failed_paths(
    stderr: bytes, known: Mapping[bytes, int], watch: bytes, within: bytes
) -> Optional[FrozenSet[bytes]]:
    """Given the messages of a session that ended with 23 and what it was asked (path -> scope), return what failed.

    A path below one that was asked for as a whole is returned as itself. A failed folder means every asked path below
    it. None: a message could not be put down to any path, so anything may have failed.
    """
    parents = {above for path in known for above in ancestors(path) if above}
    failed: Set[bytes] = set()
    for line in stderr.split(b"\n"):
        if _HARMLESS.match(line) or _NOT_A_REASON.match(line):
            continue
        # a line may name two, and below a tree any reading of it looks like a path there: one too many does no harm
        about = {path for path in _candidates(line, watch, within) if _about(path, known, parents)}
        if not about:
            return None
        failed |= about
        for folder in about & parents:
            failed.update(path for path in known if path.startswith(folder + b"/"))
    return frozenset(failed)


def _candidates(line: bytes, watch: bytes, within: bytes) -> Iterator[bytes]:
    """Yield the relative paths that an error line may be about."""
    quoted = re.findall(rb'"(.*)"', line) + re.findall(rb'"(.*?)"', line) + re.findall(rb"\((.*)\) failed: ", line)
    plain = re.findall(rb"(?:file|directory|link|special file|device): (.*)$", line)
    plain += re.findall(rb"ERROR: (.*) failed verification -- update ", line)
    for found in quoted + plain:
        path = _unescaped(found)
        for prefix in (watch + b"/", b"/" + within + b"/", b"/", b"./"):
            if path.startswith(prefix):
                path = path[len(prefix):]
        yield path.rstrip(b"/")
        hidden = behind_temporary(path)
        if hidden:
            yield hidden


def behind_temporary(path: bytes) -> Optional[bytes]:
    """Return the path of the file that rsync receives under this temporary name; None: it is no such name."""
    hidden = _TEMPORARY.match(path)
    return hidden and (hidden.group(1) + b"/" if hidden.group(1) else b"") + hidden.group(2)


def _about(path: bytes, known: Mapping[bytes, int], parents: Set[bytes]) -> bool:
    return path in known or path in parents or any(
        above in known and known[above] in (CONTENT, TREE) for above in ancestors(path)
    )


_REFUSED = (1, 2, 3, 4, 11, 23, 25)


def forgiven(outcome: Outcome) -> Outcome:
    """Given how an attempt ended, return it as one that went well if all that is to be said is that it did not work."""
    return Outcome(DONE, 0, sent=outcome.sent, seconds=outcome.seconds) if outcome.code in _REFUSED else outcome


_NO_ANSWER = "timed out|No route to host|unreachable|Host is down"


def unreachable(outcome: Outcome) -> bool:
    """Given how a probe ended, say whether nothing answers at all. Who refuses is there."""
    return outcome.code == 35 or (outcome.code == 10 and re.search(_NO_ANSWER, outcome.message) is not None)


def less_able(target: Target, outcome: Outcome) -> Optional[Tuple[Target, str]]:
    """Given how a session failed, return the target as it must be spoken to, and why; None: it was not about that.

    Receivers before 3.1.3 cannot compare nanoseconds. Those before 3.1.0 do not know --delete-missing-args; those of
    3.4.3, and of distributions that took over its security patches, call it an invalid file mode (rsync issue 910).
    """
    if outcome.verdict not in (HOPELESS, AWAY):
        return None
    text = outcome.message
    if target.nanoseconds and "-@-1" in text:
        why = "its rsync is older than 3.1.3; comparing content where times are to the second only"
        return target._replace(nanoseconds=False), why
    if target.missing_args and ("invalid file mode 00" in text or "delete-missing-args" in text):
        why = f"its rsync cannot take deletions by name ({text}); they go as rules"
        return target._replace(missing_args=False), why
    return None


def bytes_sent(output: bytes) -> int:
    """Given the end of a session's stdout with --stats, return the bytes that were sent; 0 if it does not say."""
    found = re.findall(rb"^Total bytes sent: (\d+)\r?$", output, re.MULTILINE)
    return int(found[-1]) if found else 0


_STATISTICS = 4000
"""So many bytes of stdout's end hold the statistics of --stats."""
_FILES = re.compile(rb"^Number of (?:regular )?files transferred: (\d+)\r?$", re.MULTILINE)


def files_sent(output: bytes) -> int:
    """Given the end of a session's stdout with --stats, return how many files were sent; 0 if it does not say."""
    found = _FILES.search(output[-_STATISTICS:])
    return int(found.group(1)) if found else 0


def protocol(output: bytes) -> Optional[int]:
    """Given the output of a rehearsal, return the protocol version of the remote's rsync; None: it does not say."""
    found = re.search(rb"Protocol versions: remote=(\d+)", output)
    return int(found.group(1)) if found else None


_ITEM = re.compile(rb"(?:[<>ch.][fdLDS].{9}|(\*deleting)  ) (.+)")


def itemized(output: bytes) -> Iterator[Tuple[bytes, bool]]:
    """Given the output of a comparison or survey, yield each path that is in it, and whether only the remote has it.

    A folder ends with a slash, unless it is ROOT.
    """
    for line in output.split(b"\n"):
        item = _ITEM.match(line)
        if item:
            path = _unescaped(item.group(2))
            yield (ROOT if path == b"./" else path), item.group(1) is not None


def surveyed(output: bytes) -> List[bytes]:
    """Given a survey's output, return the paths that would be deleted, without trailing slashes."""
    return [path.rstrip(b"/") for path, gone in itemized(output) if gone]


def _unescaped(text: bytes) -> bytes:
    r"""Undo rsync's `\#ooo` for the bytes that it does not print."""
    return re.sub(rb"\\#([0-3][0-7][0-7])", lambda found: bytes([int(found.group(1), 8)]), text)
