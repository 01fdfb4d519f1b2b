"""The exclude rules of `<filter>`, compiled once; one answer for events, scans, whole-tree pushes and replay.

sersync2 matches each regex against the whole of a subject, and makes the subject differently for a file, for a folder
that it meets while walking and for one that comes later. Here a path is tried in every form it could have had, so the
answer does not depend on when it came.
"""

import re
import warnings
from copy import copy
from typing import Callable, FrozenSet, Iterable, List, NamedTuple, Optional, Pattern, Tuple

from sersync_py.changes import ancestors

__all__ = ["Filter", "compile_expression"]

_POSIX_CLASSES = {
    "alnum": "0-9A-Za-z",
    "alpha": "A-Za-z",
    "blank": " \\t",
    "cntrl": "\\x00-\\x1f\\x7f",
    "digit": "0-9",
    "graph": "!-~",
    "lower": "a-z",
    "print": " -~",
    "punct": "!-/:-@\\[-`{-~",
    "space": "\\s",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
}
_NUMBERED = re.compile(r"\\[1-9]|\(\?")
_SIGN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^]\\])*\]|.", re.DOTALL)
_SPECIAL = frozenset(".^$*+?()[]{}|")
_Match = Callable[[str], Optional[object]]


def compile_expression(expression: str) -> Pattern[str]:
    """Given an exclude expression as sersync2 takes it (POSIX extended), return it compiled. Raise re.error."""
    for name, characters in _POSIX_CLASSES.items():
        expression = expression.replace("[:" + name + ":]", characters)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        # a dot of POSIX matches a newline too
        return re.compile(expression, re.DOTALL)


def _together(patterns: List[Pattern[str]]) -> Tuple[_Match, ...]:
    """Join the patterns into one, which is several times faster, unless one refers to its groups by number."""
    if len(patterns) > 1 and not any(_NUMBERED.search(pattern.pattern) for pattern in patterns):
        patterns = [re.compile("|".join(f"(?:{pattern.pattern})" for pattern in patterns), re.DOTALL)]
    return tuple(pattern.fullmatch for pattern in patterns)


def _literal_parts(expression: str) -> List[str]:
    """Split a regex into the literal texts that every whole match holds in this order, the first and last at its ends.

    What stands between two of them may be anything, so an empty text says nothing. Of what is not plainly literal
    nothing is said.
    """
    signs = _SIGN.findall(expression)
    if "{" in signs or "(?" in expression:
        return [""]
    parts, depth = [""], 0
    for position, sign in enumerate(signs):
        if sign in "()":
            depth += 1 if sign == "(" else -1
            parts.append("")
        elif depth or (sign == "^" and not position) or (sign == "$" and position == len(signs) - 1):
            continue
        elif sign == "|":
            return [""]
        elif sign in "*+?":
            parts[-1:] = [parts[-1][:-1], ""]
        elif len(sign) == 1 and sign not in _SPECIAL:
            parts[-1] += sign
        elif len(sign) == 2 and sign[0] == "\\" and not sign[1].isalnum():
            parts[-1] += sign[1]
        else:
            parts.append("")
    return parts


class _Screen(NamedTuple):
    """Patterns that can match only what ends with, starts with or holds one of the texts."""

    texts: Tuple[bytes, ...]
    matches: Tuple[_Match, ...]


def _screen(found: List[Tuple[str, Pattern[str]]]) -> _Screen:
    texts = tuple(text.encode("utf-8", "surrogateescape") for text, _ in found)
    return _Screen(texts, _together([pattern for _, pattern in found]))


class Filter:
    """Says which paths are left out. Paths are bytes, relative to the watch folder.

    Nearly all paths pass, and most expressions name an ending or a folder. So a pattern is tried only on a path that
    has the literal text it asks for: to look for that costs a fraction of a match.
    """

    def __init__(self, expressions: Iterable[str] = ()) -> None:
        ends: List[Tuple[str, Pattern[str]]] = []
        starts: List[Tuple[str, Pattern[str]]] = []
        holds: List[Tuple[str, Pattern[str]]] = []
        for pattern in map(compile_expression, expressions):
            parts = _literal_parts(pattern.pattern)
            for text, found in ((parts[-1], ends), (parts[0], starts), (max(parts, key=len), holds)):
                if text or found is holds:
                    found.append((text, pattern))
                    break
        self._ends, self._starts = _screen(ends), _screen(starts)
        self._holds = tuple(_screen([each]) for each in holds if each[0])
        self._others = _together([pattern for text, pattern in holds if not text])
        self._any = bool(ends or starts or holds)
        self._missing: FrozenSet[bytes] = frozenset()

    def without(self, missing: FrozenSet[bytes]) -> "Filter":
        """Return a filter with the same rules that leaves out these places, and all below them, besides."""
        other = copy(self)
        other._missing = missing
        return other

    def misses(self, path: bytes) -> bool:
        """Say whether a path is at or below a place that is left out for the time being."""
        if not self._missing:
            return False
        return path in self._missing or any(above in self._missing for above in ancestors(path))

    def __bool__(self) -> bool:
        """Say whether anything at all is left out."""
        return self._any or bool(self._missing)

    def excludes(self, path: bytes, folder: bool) -> bool:
        """Say whether this very path is left out; the folders above it are known to be let through."""
        if path in self._missing:
            return True
        if not self._any or not path:
            return False
        return self._names(b"/" + path if b"/" in path else path) or (folder and self._names(path + b"/"))

    def _names(self, subject: bytes) -> bool:
        matches = self._others
        if subject.endswith(self._ends.texts):
            matches += self._ends.matches
        if subject.startswith(self._starts.texts):
            matches += self._starts.matches
        for texts, more in self._holds:
            if texts[0] in subject:
                matches += more
        if not matches:
            return False
        text = subject.decode("utf-8", "surrogateescape")
        return any(match(text) for match in matches)

    def hides(self, path: bytes) -> bool:
        """Say whether the path, whatever it is or was, or a folder above it is excluded."""
        if not self:
            return False
        return self.excludes(path, folder=True) or any(self.excludes(above, folder=True) for above in ancestors(path))
