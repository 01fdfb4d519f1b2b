"""The bytes of a confxml.xml -> its elements, and the bytes that each value stands for.

Real files lie about their encoding, and sersync2 never looked at it: it hands the bytes between the quotes to the
kernel and to rsync. So the encoding is found here by trying, the parser only ever sees clean UTF-8, and a value can be
asked for each of the byte strings that its author may have meant.
"""

import os
import re
import stat
from typing import List, Match, NamedTuple, Optional, Tuple

from lxml import etree

from sersync_py.language import heard, said
from sersync_py.legible import shown

__all__ = ["ConfigError", "Document", "Fault", "parse", "read"]

_MOST_BYTES = 4 * 1024 * 1024
"""No real file comes near; what is larger is no confxml.xml."""

_MOST_IN_A_TAG = 16 * 1024
"""Longest tag with the text that follows it. Parsers and shlex take quadratic time over endless ones."""

_BLANKS = " \t\r\n\f\v"
"""Only these are stripped: str.strip() takes 0x85 and 0xA0 too, which may be halves of letters read as Latin-1."""

_MARKS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"))
_BARE_UTF16 = ((b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))
_DECLARED = re.compile(rb"""<\?xml\s[^<>]*?encoding\s*=\s*["']\s*([A-Za-z0-9._:-]+)""")
_CHINESE = re.compile(r"(x-|cs)?gb|(cp|ms)?936|euc.?cn", re.IGNORECASE)
_OTHER_WIDE = re.compile(r"(big5([-_]?hkscs)?|shift[-_]?jis|sjis|cp(932|949|950)|euc[-_]?(jp|kr))\Z", re.IGNORECASE)
_DECLARATION = re.compile(r"<\?xml\s[^<>]*\?>")
_PLAIN_DOCTYPE = re.compile(r"<!DOCTYPE\s+[^\s<>\[\]\"']+\s*>")


class Fault(NamedTuple):
    """One thing that is wrong with a file. `line` is 0 where the fault is the file itself."""

    file: str
    line: int
    found: str
    expected: str

    def __str__(self) -> str:
        return str(self.sentence())

    def sentence(self) -> str:
        """Return all of it in one line."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return said("{place}: {found}; expected {expected}", place=place, found=self.found, expected=self.expected)


class ConfigError(Exception):
    """A file that cannot be used, with everything that is wrong with it; its text is one line a fault."""

    def __init__(self, faults: Tuple[Fault, ...]) -> None:
        super().__init__(faults)
        self.faults = faults

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)


class Document(NamedTuple):
    """A parsed file."""

    root: etree._Element
    encoding: str
    """What turns a value's text back into the bytes that stand in the file."""
    decoded: bool
    """False: no encoding fitted, so the texts are the bytes read as Latin-1."""

    def readings(self, value: str) -> Tuple[bytes, bytes, bytes]:
        """Given a value of the parser's, return what it may stand for: its UTF-8, the file's own bytes, and those bytes
        taken for GB18030 as UTF-8 (two-byte Chinese such as "目录" can look like valid UTF-8). Mostly all are the same.
        """
        value = value.strip(_BLANKS)
        text = value.encode("utf-8")
        if len(text) == len(value):
            # plain ASCII
            return text, text, text
        try:
            raw = value.encode(self.encoding)
        except UnicodeEncodeError:
            # a character reference such as &#20013; that the file's encoding does not have
            raw = text
        try:
            chinese = raw.decode("gb18030").encode("utf-8")
        except UnicodeError:
            chinese = text
        return text, raw, chinese


def read(file: bytes) -> bytes:
    """Return the content of a config file.

    Raises:
        ConfigError: it cannot be opened, is no regular file (a pipe could block for ever), or is far too large.

    """
    name = shown(os.fsdecode(file), 4096)
    try:
        with open(file, "rb", opener=_without_waiting) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise ConfigError((Fault(name, 0, said("is no regular file"), said("a confxml.xml")),))
            data = stream.read(_MOST_BYTES + 1)
    except IsADirectoryError:
        raise ConfigError((Fault(name, 0, said("is a folder"), said("a confxml.xml")),)) from None
    except (OSError, ValueError) as error:
        reason = (isinstance(error, OSError) and error.strerror) or str(error)
        found = said("cannot be read: {reason}", reason=heard(reason))
        raise ConfigError((Fault(name, 0, found, said("a confxml.xml")),)) from error
    if len(data) > _MOST_BYTES:
        raise ConfigError((Fault(name, 0, said("is larger than 4 MB"), said("a confxml.xml of some KB")),))
    return data


def _without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK)


def parse(data: bytes, name: str) -> Document:
    """Given the content of a file and its name for messages, return its elements.

    Raises:
        ConfigError: it is not well-formed XML, declares entities, or has a tag without end.

    """
    text, encoding, decoded = _decode(data)
    text = _tidy(text)
    _refuse_bombs(text, name)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "replace"), parser)
    except etree.XMLSyntaxError as error:
        reason = heard(shown(error.msg, 300)) if error.msg else said("no XML at all")
        found = said("not well-formed: {reason}", reason=reason)
        raise ConfigError((Fault(name, error.lineno or 1, found, said("well-formed XML")),)) from None
    return Document(root, encoding, decoded)


def _decode(data: bytes) -> Tuple[str, str, bool]:
    """Return the text, the encoding that gives its bytes back, and whether that encoding is more than a makeshift."""
    for mark, encoding in _MARKS + _BARE_UTF16:
        if data.startswith(mark):
            body = data[len(mark) :] if (mark, encoding) in _MARKS else data
            text = _attempt(body, encoding)
            if text is not None:
                # a name on disk is never UTF-16
                return text, "utf-8", True
            data = body
            break
    for encoding in _candidates(data):
        text = _attempt(data, encoding)
        if text is not None:
            return text, encoding, True
    return data.decode("latin-1"), "latin-1", False


def _candidates(data: bytes) -> List[str]:
    """Return the encodings to try, best first."""
    match = _DECLARED.search(data[:1024])
    declared = match.group(1).decode("ascii") if match else ""
    if _OTHER_WIDE.match(declared):
        return ["utf-8", declared, "gb18030"]
    if _CHINESE.match(declared):
        text = _attempt(data, "utf-8")
        # Chinese text in UTF-8 has three bytes a character; only two-byte ones are GB that happens to look like UTF-8
        if text is not None and max(text, default="") < "\u0800":
            return ["gb18030", "utf-8"]
    return ["utf-8", "gb18030"]


def _attempt(data: bytes, encoding: str) -> Optional[str]:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _tidy(text: str) -> str:
    """Take out what sersync2 lets pass and XML does not. Every line keeps its number.

    That is: text before the first and after the last tag, a declaration that is not at the very start or names an
    encoding nobody has, and `--` in a comment (people put rsync's options there).
    """
    first, last = text.find("<"), text.rfind(">") + 1
    if first < 0 or last <= first:
        return text
    text = "\n" * text.count("\n", 0, first) + text[first:last]
    text = _DECLARATION.sub(_newlines, text, count=1)
    kept = []
    position = 0
    while True:
        start = text.find("<!--", position)
        end = text.find("-->", start + 4) if start >= 0 else -1
        if end < 0:
            break
        kept.append(text[position : start + 4])
        kept.append("\n" * text.count("\n", start, end))
        position = end
    kept.append(text[position:])
    return _PLAIN_DOCTYPE.sub(_newlines, "".join(kept), count=1)


def _newlines(match: Match[str]) -> str:
    return "\n" * match.group().count("\n")


def _refuse_bombs(text: str, name: str) -> None:
    """Raise ConfigError for a DOCTYPE that could define entities, and for a tag that is out of all proportion."""
    place = text.find("<!DOCTYPE")
    if place >= 0:
        line = text.count("\n", 0, place) + 1
        found, expected = said("a DOCTYPE with definitions"), said("plain XML without DTD and entities")
        raise ConfigError((Fault(name, line, found, expected),))
    line = 1
    for piece in text.split("<"):
        if len(piece) > _MOST_IN_A_TAG:
            found, expected = said("a tag of {number} characters", number=len(piece)), said("at most 16384")
            raise ConfigError((Fault(name, line, found, expected),))
        line += piece.count("\n")
