"""What is said on stdout and stderr: in the language of the locale, in whatever character set the terminal has."""

import os
import shutil
import sys
import unicodedata
from typing import Iterator, List, NamedTuple, TextIO

from sersync_py.language import ENGLISH, language_of, spoken

__all__ = ["Style", "UnsaidError", "can_show", "columns", "complain", "language", "say", "style", "wrapped"]

_SOME_CHINESE = "配置有误"
_SOME_MARKS = "✓✗"
_USUAL_WIDTH = 80


class UnsaidError(Exception):
    """A stream takes no more: it leads to a disk that is full, say. BrokenPipeError is not among these."""


def can_show(stream: TextIO, text: str) -> bool:
    """Say whether a stream's character set has all that stands in a text."""
    try:
        text.encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def language(stream: TextIO) -> str:
    """Return the language of what is written to a stream: the locale's, if its character set can show that."""
    return language_of(os.environ) if can_show(stream, _SOME_CHINESE) else ENGLISH


class Style(NamedTuple):
    """How to write to a stream, so that it looks well."""

    language: str
    width: int
    """Columns."""
    colour: bool = False
    marks: bool = True
    """True: its character set has more marks than ASCII."""


def style(stream: TextIO) -> Style:
    """Return how to write to a stream: in colour to a terminal only."""
    terminal = stream.isatty()
    width = min(max(shutil.get_terminal_size((_USUAL_WIDTH, 0)).columns, 40), 100) if terminal else _USUAL_WIDTH
    colour = terminal and os.environ.get("TERM", "dumb") != "dumb" and "NO_COLOR" not in os.environ
    return Style(language(stream), width, colour, can_show(stream, _SOME_MARKS))


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    text = spoken(text, language(stream))
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UnsaidError(error.strerror) from error


def say(text: str) -> None:
    """Write a line to stdout. Raise BrokenPipeError or UnsaidError."""
    _write(sys.stdout, text)


def complain(text: str) -> None:
    """Write a line to stderr. Raise BrokenPipeError or UnsaidError."""
    _write(sys.stderr, text)


def columns(text: str) -> int:
    """Return how many columns of a terminal a text takes: two for a Chinese character."""
    return sum(0 if unicodedata.combining(char) else 1 + _is_wide(char) for char in text)


def _is_wide(char: str) -> bool:
    return unicodedata.east_asian_width(char) in "WF"


def wrapped(text: str, width: int) -> List[str]:
    """Return a text as lines of at most `width` columns; what cannot be broken may be longer.

    Lines break at blanks and beside Chinese characters, but not before a closing mark such as a comma.
    """
    lines: List[str] = []
    line = ""
    for piece in _pieces(text):
        if line.strip() and columns(line) + columns(piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece.lstrip()
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


_CLOSING = "，。；：、！？）》」』”’…,.;:!?)%"
_OPENING = "（《「『“‘("


def _pieces(text: str) -> Iterator[str]:
    """Yield what a line may not break within; blanks stay behind the word they follow."""
    piece = ""
    for before, char in zip(" " + text, text):
        after_blank = before == " " and char != " "
        beside_wide = (_is_wide(before) or _is_wide(char)) and char != " "
        if (after_blank or beside_wide) and before not in _OPENING and char not in _CLOSING and piece:
            yield piece
            piece = ""
        piece += char
    if piece:
        yield piece
