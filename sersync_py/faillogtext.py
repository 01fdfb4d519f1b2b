"""The text of the fail log: what it means, how it is written, and how it is read without running anything.

An entry is one shell command that a person can also run by hand. To us it means no more than "(watch folder, remote,
path, scope) is dirty", so reading can do no harm: the worst that a forged entry brings about is a push of the true
state. Two dialects are read: our own, where every word is quoted for sh, and that of sersync2, which puts names between
double quotes as they are. What is neither is foreign: it is kept, but written back as a comment, so that a file of ours
never holds a command that we did not make.
"""

import re
from typing import Callable, Container, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from sersync_py.changes import CONTENT, ENTRY, LISTING, ROOT, TREE

__all__ = ["Command", "Log", "Owed", "bounded", "parse", "render", "render_foreign"]

FOREIGN_ENTRIES = 1000
FOREIGN_BYTES = 1 << 20
LONGEST_PATH = 4096
"""rsync takes no longer one, and a forged one of megabytes would keep us busy."""


class Owed(NamedTuple):
    """One path that a remote has not got yet."""

    watch: bytes
    """Absolute path of the watch folder, without a trailing slash."""
    destination: bytes
    """The remote as it stands last on the rsync command: `user@10.0.0.1::module/sub` or, with ssh, `host:/path`."""
    path: bytes
    """Relative to the watch folder; ROOT is the whole tree."""
    scope: int
    """How far below the path the dirt reaches, see `changes`."""
    errno: int
    """How the push failed: rsync's exit code x 256."""


class Log(NamedTuple):
    """All that a fail log says."""

    owed: Tuple[Owed, ...]
    foreign: Tuple[bytes, ...] = ()
    """What could not be understood, as it stood there."""
    note: str = ""
    """What the user should know about the file, in sentences; empty: nothing."""


Command = Callable[[Owed], Sequence[bytes]]
"""Gives the whole rsync argv of an entry: options, one of them last, then `./path`, destination, password file."""


def bounded(
    owed: Iterable[Owed], limit: int = 5000, keeps: Container[Tuple[bytes, bytes]] = ()
) -> Tuple[Owed, ...]:
    """Unite entries of the same path (all scopes, the last errno); beyond `limit` entries a remote gets the whole tree.

    `keeps`: (watch folder, destination) of those that never were equal, so that nothing may be deleted there for what
    is not here. The limit counts entries of one watch folder at one destination. Remotes, and the paths of each, keep
    the order of their first appearance.
    """
    remotes: Dict[Tuple[bytes, bytes], Dict[bytes, Owed]] = {}
    for entry in owed:
        paths = remotes.setdefault((entry.watch, entry.destination), {})
        known = paths.get(entry.path, entry)
        paths[entry.path] = entry._replace(scope=known.scope | entry.scope)
    united: List[Owed] = []
    for remote, paths in remotes.items():
        entries = list(paths.values())
        whole = entries[-1]._replace(path=ROOT, scope=CONTENT if remote in keeps else TREE)
        united.extend(entries if len(entries) <= limit else [whole])
    return tuple(united)


# ---- writing

_SAFE = re.compile(rb"[A-Za-z0-9@%+=:,./_-]+")
_KEPT = b"#not understood: "


def _quote(word: bytes) -> bytes:
    """Return the word as sh reads it back, whatever bytes but NUL it holds."""
    return word if _SAFE.fullmatch(word) else b"'" + word.replace(b"'", b"'\\''") + b"'"


def render(owed: Iterable[Owed], command: Command) -> bytes:
    """Return the text of the entries, one `#errno N`, `cd WATCH && rsync ...` and blank line each.

    Raises ValueError if a word holds a NUL byte, which no command line can carry.
    """
    parts: List[bytes] = []
    for entry in owed:
        text = b"cd %b && %b" % (_quote(entry.watch), b" ".join(_quote(word) for word in command(entry)))
        if b"\0" in text:
            raise ValueError(f"a NUL byte in the command for {entry!r}")
        parts.append(b"#errno %d\n%b\n\n" % (entry.errno, text))
    return b"".join(parts)


def render_foreign(foreign: Iterable[bytes]) -> bytes:
    """Return what was not understood as comments, from which `parse` gets it back to the byte."""
    return b"".join(_KEPT + text.replace(b"\n", b"\n" + _KEPT) + b"\n\n" for text in foreign)


# ---- reading

_HEAD = re.compile(rb"#errno (-?[0-9]{1,9}) *\ncd ")
_KEPT_LINES = re.compile(rb"(?m)(?:^" + _KEPT + rb".*\n)+")


def parse(text: bytes) -> Log:
    """Read a fail log, ours or sersync2's, in time linear in its length.

    Takes any bytes, runs nothing and raises nothing: what is not wholly understood comes back as foreign.
    """
    owed: List[Owed] = []
    foreign: List[bytes] = []
    position = 0
    # an open quote runs on into the entries behind it, which are then read again: a forged file gets only so much of it
    effort = 8 * len(text)
    head = _HEAD.search(text)
    while head:
        foreign.extend(_foreign(text[position : head.start()]))
        entry = None
        if effort >= 0:
            entry, position = _ours(text, head)
            effort -= position - head.start()
        if entry is None:
            following = _HEAD.search(text, head.end())
            end = following.start() if following else len(text)
            entry, position = _theirs(text, head, end)
        if entry is None:
            foreign.extend(_foreign(text[head.start() : position]))
        else:
            owed.append(entry)
        head = _HEAD.search(text, position)
    foreign.extend(_foreign(text[position:]))
    return _limited(owed, foreign)


def _limited(owed: Sequence[Owed], foreign: Sequence[bytes]) -> Log:
    """Return the log with as much of the foreign as its bounds allow, and a note about the rest."""
    kept: List[bytes] = []
    room = FOREIGN_BYTES
    for piece in foreign:
        if len(piece) <= room and len(kept) < FOREIGN_ENTRIES:
            kept.append(piece)
            room -= len(piece)
    note = ""
    if len(kept) < len(foreign):
        lost = len(foreign) - len(kept)
        note = f"{lost} pieces that could not be understood are dropped, for they are too many or too long."
    return Log(tuple(owed), tuple(kept), note)


def _foreign(text: bytes) -> Iterator[bytes]:
    """Yield the foreign pieces of a text between entries: each block of kept lines, and whatever stands around them."""
    position = 0
    for block in _KEPT_LINES.finditer(text):
        piece = text[position : block.start()].strip(b"\n")
        if piece.strip():
            yield piece
        yield block.group()[len(_KEPT) : -1].replace(b"\n" + _KEPT, b"\n")
        position = block.end()
    piece = text[position:].strip(b"\n")
    if piece.strip():
        yield piece


def _inside(path: bytes) -> bool:
    """Say whether a relative path names something below the watch folder, and in one way only."""
    return (
        len(path) <= LONGEST_PATH
        and b"\0" not in path
        and not any(part in (b"", b".", b"..") for part in path.split(b"/"))
    )


# our dialect: bare words of safe characters, single quotes, and \' for the quote itself

_PIECE = re.compile(rb"([A-Za-z0-9@%+=:,./_-]+)|'([^']*)'|\\(')")


def _word(text: bytes, position: int) -> Tuple[bytes, int]:
    """Return the word that starts there, unquoted, and where it ends; the same position if there is none."""
    parts: List[bytes] = []
    piece = _PIECE.match(text, position)
    while piece:
        parts.append(piece.group(piece.lastindex or 0))
        position = piece.end()
        piece = _PIECE.match(text, position)
    return b"".join(parts), position


def _ours(text: bytes, head: "re.Match[bytes]") -> Tuple[Optional[Owed], int]:
    """Read an entry in our dialect; return it, or None, and how far the text was read."""
    watch, position = _word(text, head.end())
    if not text.startswith(b" && ", position):
        return None, position
    position += len(b" &&")
    words: List[bytes] = []
    while text.startswith(b" ", position):
        word, end = _word(text, position + 1)
        if end == position + 1:
            return None, end
        words.append(word)
        position = end
    if not text.startswith(b"\n", position):
        return None, position
    return _meaning(int(head.group(1)), watch, words), position + 1


def _meaning(errno: int, watch: bytes, words: List[bytes]) -> Optional[Owed]:
    """Return what the words of our dialect mean, None if they are not of our making."""
    if words and words[-1].startswith(b"--password-file="):
        words = words[:-1]
    # the option before the path shows that the path is the only one
    if len(words) < 4 or words[0] != b"rsync" or not words[-3].startswith(b"-") or not watch.startswith(b"/"):
        return None
    options, (path, destination) = words[1:-2], words[-2:]
    if not path.startswith(b"./") or destination[:1] in (b"", b"-") or b"\0" in watch + destination:
        return None
    slash = path.endswith(b"/")
    path = path[2:-1] if slash and path != b"./" else path[2:]
    if path and not _inside(path):
        return None
    recursive = True
    for option in options:
        if option in (b"-r", b"--no-r"):
            recursive = option == b"-r"
    delete = b"--delete" in options
    # a user's own --delete deletes nothing beside a path without a slash; ./ has one in any case
    flat = LISTING if slash and (delete or path) else ENTRY
    deep = TREE if delete else CONTENT
    return Owed(watch, destination, path, deep if recursive else flat, errno)


# sersync2's dialect: names as they are between double quotes, so a quote ends a name only where the rest of the line
# fits. Outside the names nothing that means something to a shell is let through. Each pattern is built so that it can
# match in one way only, and fails in linear time.

_BARE = rb"[^\s\0\"'`$;&|<>()\\*?]"
_OPTION = rb"-e +(?:ssh|\"ssh[^\"`$\\\n]*\")|--(?:port|timeout)=[0-9]+|--password-file=" + _BARE + rb"+"
_OPTIONS = rb"(?: +(?:" + _OPTION + rb"))*"
_EXCLUDE = rb"--exclude=(?:\"[^\"`$\\\n]*\"|'[^'\n]*'|[^\s\"'`$;&|<>()\\]+)"
_SILENCE = rb"(?: *(?:[12&]?> ?/dev/null|2>&1))"
_REST = (
    _OPTIONS
    + rb" +(?P<destination>(?!-)[^\s\0\"'`$;&|<>()\\*?:]+:" + _BARE + rb"+)"
    + _OPTIONS
    # without the redirection only a newline shows that the line is not a half one
    + rb"(?:" + _SILENCE + rb"+ *(?:\n|\Z)| *\n)"
)  # fmt: skip
_START = re.compile(rb"(?P<watch>/[^\n\0\"'`$;&|<>()\\]*?) && rsync (?:[^\n`$;&|<>()\\]*? )?-R(?= )")
_PUSH = re.compile(_OPTIONS + rb' +"\./(?P<name>.*?)"' + _REST, re.DOTALL)
_ALL_ELSE = rb"--exclude=(?:\"\*\"|'\*'|\*)"
_DELETE = re.compile(
    _OPTIONS + rb" +--delete +\./" + _OPTIONS + rb' +--include="(?P<names>.*?)" +' + _ALL_ELSE + _REST, re.DOTALL
)
_WHOLE = re.compile(
    _OPTIONS + rb"(?P<delete> +--delete)?" + _OPTIONS + rb" +\./(?: +(?:" + _OPTION + rb"|" + _EXCLUDE + rb"))*" + _REST
)
_NEXT_INCLUDE = re.compile(rb'" +--include="')


def _theirs(text: bytes, head: "re.Match[bytes]", end: int) -> Tuple[Optional[Owed], int]:
    """Read an entry as sersync2 wrote it; return it and where it ends, or None and `end`, where the next one starts."""
    start = _START.match(text, head.end(), end)
    if start is None:
        return None, end
    target: Optional[Tuple[bytes, int]] = None
    match = _DELETE.match(text, start.end(), end)
    if match:
        target = _deleted(_NEXT_INCLUDE.split(match.group("names")))
    else:
        match = _PUSH.match(text, start.end(), end)
        if match:
            name = match.group("name")
            target = (name, CONTENT) if not name or _inside(name) else None
        else:
            match = _WHOLE.match(text, start.end(), end)
            if match:
                target = (ROOT, TREE if match.group("delete") else CONTENT)
    watch = start.group("watch").rstrip(b" /")
    if match is None or target is None or not watch:
        return None, end
    return Owed(watch, match.group("destination"), target[0], target[1], int(head.group(1))), match.end()


def _deleted(includes: Sequence[bytes]) -> Optional[Tuple[bytes, int]]:
    """Return path and scope of a deletion from its include patterns, None unless they are that path and those above."""
    path, scope = includes[-1], ENTRY
    if path.endswith(b"/***"):
        path, scope = path[: -len(b"/***")], TREE
    above = all(
        include == path or (include.endswith(b"/") and (path + b"/").startswith(include)) for include in includes[:-1]
    )
    return (path, scope) if above and _inside(path) else None
