"""What is said to rsync: for each kind of session its command and what goes to its stdin. Pure.

One session can create, update and delete any number of paths (facts measured with rsync 3.1.1 and 3.5.0): the names go
NUL-separated to its stdin, `--delete-missing-args` makes a name that is gone a deletion, `--force` lets a file take the
place of a folder.
"""

import re
import shlex
from typing import Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from sersync_py.changes import CONTENT, LISTING, ROOT, TREE, ancestors
from sersync_py.guard import Root
from sersync_py.legible import printable
from sersync_py.target import CANARY_SECONDS, Target, encoded, opening

__all__ = [
    "Order",
    "compare",
    "environment",
    "in_words",
    "names",
    "names_on_stdin",
    "probe",
    "purge",
    "push_moved",
    "push_names",
    "push_tree",
    "rehearsal",
    "repair_command",
    "reports",
    "shown",
    "survey",
    "survey_as_gone",
]

SILENCE_SECONDS = 100
"""How long a session may stay without a sign where the user set no timeout; sersync2's sample value."""


class Order(NamedTuple):
    """One rsync session to run: its words, its folder, and what goes to its stdin."""

    argv: Tuple[bytes, ...]
    folder: bytes
    feed: Optional[Tuple[bytes, ...]] = None
    """NUL-terminated pieces for stdin; None: no stdin."""
    keep_output: bool = False
    """True: all of stdout is wanted, not only its end."""
    silence: float = SILENCE_SECONDS
    """Seconds without a sign of life after which the session is ended."""
    attempt: bool = False
    """True: if the remote will not do it, no harm is done; what follows does not rely on it."""
    waits: bool = False
    """True: it is started ahead of need, and what goes to its stdin comes later."""
    within: bytes = b""
    """The folder of the module, or with ssh of the host, that the paths are below at the remote."""
    root: Optional[Root] = None
    """Which folder `folder` must be; None: whatever is there will do."""


def _order(target: Target, words: List[bytes], feed: Optional[Iterable[bytes]], keep_output: bool = False) -> Order:
    # not `./`: that makes rsync go there anew, by its path, once it is connected; by then it may be another folder
    argv = opening(target) + words + [b".", target.destination()]
    # given a timeout rsync ends a silent session itself; what does not even do that is ended a little later
    silence = target.rsync.timeout + 20 if target.rsync.timeout else SILENCE_SECONDS
    pieces = None if feed is None else tuple(feed)
    return Order(tuple(argv), target.watch, pieces, keep_output, silence, within=target.within(), root=target.root)


def _excluding(patterns: Iterable[str]) -> List[bytes]:
    return [b"--exclude=" + encoded(pattern) for pattern in patterns]


def names_on_stdin(paths: Iterable[Tuple[bytes, int]]) -> Iterator[bytes]:
    """Given (path, scope) pairs, yield them as `--files-from=-` takes them.

    `./` in front keeps a name from being read as a comment; a slash behind asks for the folder's listing.
    """
    for path, scope in paths:
        yield b"./" + path + (b"/\0" if scope == LISTING and path else b"\0")


def in_words(order: Order, room: int) -> Order:
    """Return an order with the names that would go to its stdin among its words, if `room` bytes hold them.

    rsync reads a name from its stdin a byte at a time, each with two system calls: 1,000 names of 9 bytes take it 36 ms
    of processor time, as words 19 (rsync 3.5.0). With -r it makes a difference to rsync how it gets them.
    """
    if not order.feed or b"--no-r" not in order.argv or b"--files-from=-" not in order.argv:
        return order
    # each costs a pointer and its NUL besides
    if sum(map(len, order.feed)) + 8 * len(order.feed) > room:
        return order
    words = [word for word in order.argv[:-2] if word not in (b"--from0", b"--files-from=-")]
    return order._replace(argv=(*words, *names(order), order.argv[-1]), feed=None)


def reports(order: Order) -> bool:
    """Say whether the session reports its progress while it runs."""
    return _PROGRESS[0] in order.argv


def _comparing(target: Target, again: bool = False) -> List[bytes]:
    """Return how files are compared: to the nanosecond.

    By itself rsync takes two files of the same size and second for the same: a file written twice within a second, or
    one moved over another, would stay as it was. `again`: content is compared, whatever sizes and times say. Not with
    --ignore-times: that writes anew what is the same, and two hosts that mirror each other would never come to an end.
    """
    words = [b"--checksum"] if again else []
    if target.user_sets("--modify-window") or any(word.startswith("-@") for word in target.rsync.params):
        return words
    return words + ([b"--modify-window=-1"] if target.nanoseconds else [])


def probe(target: Target) -> Optional[Order]:
    """Return the order that asks a daemon for its modules, which shows whether its host can be reached.

    None where that says nothing: with ssh, which looks after its connections itself.
    """
    if target.rsync.ssh or target.user_sets_shell():
        return None
    port = [encoded(f"--port={target.rsync.port}")] if target.rsync.port else []
    words = [b"rsync", encoded(f"--contimeout={CANARY_SECONDS}"), *port, encoded(target.address() + "::")]
    return Order(tuple(words), target.watch)


def _gone_words(target: Target, force: bool, delete: bool) -> List[bytes]:
    """Return what is to be done about names that are gone here, and about what only the remote has."""
    if not target.delete:
        return [b"--ignore-missing-args"]
    words = [b"--delete-missing-args" if target.missing_args else b"--ignore-missing-args"]
    return words + ([b"--force"] if force else []) + ([b"--delete"] if delete else [])


_STATISTICS = [b"--stats", b"--no-h"]
_FROM_STDIN = [b"--from0", b"--files-from=-", *_STATISTICS]
_PROGRESS = [b"--info=progress2", b"--outbuf=N"]


def push_names(
    target: Target, paths: Iterable[Tuple[bytes, int]], force: bool, listing: bool = False,
    excludes: Iterable[str] = (), again: bool = False, progress: bool = False,
) -> Order:
    """Return the order that makes each path as it is here, without what is below it; gone paths are deleted.

    `force`: a file may take the place of a folder that is not empty. `listing`: some scopes are LISTING. `again`: the
    sizes and times are not to be trusted, content is compared whatever they say.
    """
    words = [b"--no-r", b"-d", *_FROM_STDIN, *_gone_words(target, force, listing)]
    words += _comparing(target, again or not target.nanoseconds)
    words += _PROGRESS if progress else []
    return _order(target, words + _excluding(excludes), names_on_stdin(paths))


def push_tree(target: Target, paths: Iterable[Tuple[bytes, int]], delete: bool, progress: bool = False) -> Order:
    """Return the order that makes each path and all below it as it is here; `delete`: what is only there goes."""
    asked = list(paths)
    # a folder that came to be here otherwise than by writing may hold files of the same size and second as the mirror's
    again = not target.nanoseconds and (ROOT, TREE) not in asked and (ROOT, CONTENT) not in asked
    words = [b"-r", *_comparing(target, again), *_FROM_STDIN]
    words += _gone_words(target, True, True) if delete else [b"--ignore-missing-args"]
    words += _PROGRESS if progress else []
    return _order(target, words, names_on_stdin(asked))


def rehearsal(target: Target, paths: Iterable[Tuple[bytes, int]]) -> Order:
    """Return the order that does all that a push of these paths does, deletions included, and changes nothing.

    It says which protocol the remote speaks, see `protocol` in outcomes. Without paths a folder that the remote lacks
    shows too.
    """
    order = push_names(target, paths, force=True, listing=target.delete)
    return order._replace(argv=(*order.argv[:1], b"-n", b"--debug=PROTO", *order.argv[1:]))


def push_moved(target: Target, old: bytes, new: bytes) -> Optional[Order]:
    """Return the order that makes a renamed folder out of what the remote has under its old name, as hard links.

    What the remote does not have there is sent. None where the links would outlive this (the old name is not deleted),
    where somebody could write through them, or where the remote would take the new name for a pattern: in what it is to
    write to a daemon expands wildcards, as in all paths, and nothing escapes them. The new
    folder must be there already, for what is there instead may be a symlink, which rsync would follow.
    """
    if not target.delete or target.user_sets("--inplace", "--append", "--append-verify") or _WILDCARD.search(new):
        return None
    if target.rsync.ssh:
        base = b"../" * (new.count(b"/") + 1) + old
    else:
        base = b"/" + b"/".join(filter(None, [target.within(), old]))
    words = [b"--no-R", b"-r", *_comparing(target), b"--link-dest=" + base + b"/", *_STATISTICS]
    whole = _order(target, words, None)
    argv = (*whole.argv[:-2], b"./" + new + b"/", whole.argv[-1].rstrip(b"/") + b"/" + new + b"/")
    return whole._replace(argv=argv, attempt=True)


_WILDCARD = re.compile(rb"[*?[]")
_ITEMIZED = [b"-n", b"--out-format=%i %n", b"--no-v"]
_SURVEY = [*_ITEMIZED, b"--from0", b"--existing", b"--ignore-existing"]


def compare(target: Target, excludes: Iterable[str] = ()) -> Order:
    """Return the order that changes nothing and says, an itemized line each, in what the whole trees differ."""
    words = [b"-r", *_ITEMIZED, *_comparing(target)]
    words += [b"--delete"] if target.delete else []
    return _order(target, words + _excluding(excludes), None, keep_output=True)


def survey(target: Target, paths: Iterable[Tuple[bytes, int]], below: bool = False) -> Order:
    """Return the order that changes nothing and says what a push of these folders would delete.

    `below`: look at all that is below them, not only at their own listing.
    """
    words = [b"-r" if below else b"--no-r", b"-d", *_SURVEY, b"--files-from=-", *_gone_words(target, True, True)]
    return _order(target, words, names_on_stdin(paths), keep_output=True)


def survey_as_gone(target: Target, paths: Sequence[bytes]) -> Order:
    """Return the order that changes nothing and says what would be deleted if there was nothing at these paths here.

    It does not matter what is there: a path that comes and goes meanwhile hides nothing of what the remote has.
    """
    rules = [b"H " + _pattern(path) for path in paths]
    rules += [b"+ " + pattern for pattern in _patterns(paths, below=True)]
    words = [b"-r", b"--delete", *_SURVEY, b"--filter=. -"]
    return _order(target, words, _terminated([*rules, b"- *"]), keep_output=True)


def purge(target: Target, paths: Sequence[bytes], below: bool = False) -> Order:
    """Return the order that deletes just these paths, and no folder that still holds something else.

    `below`: all that is below them goes too.
    """
    words = [b"-r", b"--delete", b"--from0", b"--include-from=-", b"--exclude=*", *_STATISTICS]
    return _order(target, words, _terminated(_patterns(paths, below)))


def _patterns(paths: Sequence[bytes], below: bool) -> List[bytes]:
    """Return patterns that match just these paths and the folders on the way to them; `below`: all below them too."""
    folders = dict.fromkeys(above for path in paths for above in ancestors(path) if above)
    patterns = [_pattern(folder, b"/") for folder in folders]
    for path in paths:
        patterns += [_pattern(path), _pattern(path, b"/***")] if below else [_pattern(path)]
    return patterns


def _pattern(path: bytes, behind: bytes = b"") -> bytes:
    """Return an anchored rsync pattern that matches just this path, and `behind`, which may have wildcards.

    A backslash escapes only beside a wildcard.
    """
    if re.search(rb"[*?\[]", path + behind):
        path = re.sub(rb"([*?\[\\])", rb"\\\1", path)
    return b"/" + path + behind


def _terminated(rules: Iterable[bytes]) -> List[bytes]:
    return [rule + b"\0" for rule in rules]


def repair_command(target: Target, path: bytes, scope: int) -> List[bytes]:
    """Return the command that makes one path right by itself, for the fail log: a person can run it by hand."""
    words = opening(target)
    if scope in (CONTENT, TREE):
        words.append(b"-r")
    else:
        words += [b"--no-r", b"-d"]
    if target.delete:
        words += [b"--force", b"--delete-missing-args"] + ([b"--delete"] if scope in (LISTING, TREE) else [])
    slash = b"/" if scope == LISTING and path else b""
    return words + _comparing(target) + [b"./" + path + slash, target.destination()]


def environment(inherited: Mapping[bytes, bytes]) -> Dict[bytes, bytes]:
    """Return the environment for rsync: messages in English, the user's own character set (`--iconv` needs it)."""
    result = dict(inherited)
    everything = result.pop(b"LC_ALL", None)
    if everything:
        result[b"LC_CTYPE"] = everything
    result[b"LC_MESSAGES"] = b"C"
    result[b"LANGUAGE"] = b"C"
    return result


def names(order: Order) -> List[bytes]:
    """Return what an order names, `./` in front: what goes to its stdin, or the last of its words."""
    if order.feed is not None:
        return [name.rstrip(b"\0") for name in order.feed]
    return [word for word in order.argv if word.startswith(b"./")]


def shown(order: Order, limit: int = 20) -> str:
    """Return an order as a line that a person can read: the command and its first names, after `<` those of stdin."""
    named = names(order)
    some = [*map(_quoted, named[:limit]), *([f"and {len(named) - limit} more"] if len(named) > limit else [])]
    words = [_quoted(word) for word in order.argv if order.feed is not None or not word.startswith(b"./")]
    words = [*words, "<", *some] if order.feed is not None else [*words[:-1], *some, words[-1]]
    return f"cd {_quoted(order.folder)} && {' '.join(words)}"


def _quoted(word: bytes) -> str:
    return shlex.quote(printable(word))
