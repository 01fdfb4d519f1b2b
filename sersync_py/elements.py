"""Takes values out of a config's elements and notes what is wrong with them; what they mean is for others to say."""

import os
import re
from typing import Any, Iterable, List, Optional, Pattern, Tuple

from lxml import etree

from sersync_py.filters import compile_expression
from sersync_py.language import heard, said
from sersync_py.legible import shown
from sersync_py.xmltext import Document, Fault

__all__ = ["Reader", "because", "has", "number_in"]


class Reader:
    """Takes values out of elements, and notes what is wrong with them."""

    def __init__(self, document: Document, name: str) -> None:
        self.root = document.root
        self.faults: List[Fault] = []
        self._document = document
        self._name = name
        self._warnings: List[Tuple[int, str]] = []
        # which of a value's readings its bytes on disk have; settled by the watch folders
        self._reading = 0 if document.decoded else 1

    def fault(self, element: etree._Element, found: str, expected: str) -> None:
        """Note that an element is wrong: what stands there, and what should."""
        self.faults.append(Fault(self._name, _line(element), found, expected))

    def warn(self, element: etree._Element, sentence: str) -> None:
        """Note what the user should know of an element that can be used."""
        self._warnings.append((_line(element), sentence))

    def warnings(self) -> Tuple[str, ...]:
        """Return a sentence for each warning, with file and line, in the order of the lines."""
        return tuple(
            said("{place}: {sentence}", place=f"{self._name}:{line}", sentence=sentence)
            for line, sentence in sorted(self._warnings)
        )

    def child(self, parent: Optional[etree._Element], tag: str, surplus: str = "") -> Optional[etree._Element]:
        """Return the first child of that name; sersync2 looks at no other. `surplus` is what to say of a second one."""
        found = [] if parent is None else parent.findall(tag)
        if len(found) > 1:
            self.warn(found[1], surplus or said("a second {tag} is ignored; the first counts", tag=tag))
        return found[0] if found else None

    def settle_reading(self, watches: Iterable[etree._Element]) -> None:
        """Find out from the watch folders that exist how the file's Chinese names are written on disk."""
        for element in watches:
            readings = self._document.readings(element.get("watch", ""))
            if len(set(readings)) > 1:
                existing = [number for number, path in enumerate(readings) if os.path.isdir(path)]
                if existing:
                    self._reading = existing[0]
                    return

    def text(self, element: Optional[etree._Element], attribute: str) -> Optional[str]:
        """Return a value without the blanks around it, or None where it is not given.

        Bytes that are no text are surrogates; as UTF-8 with surrogateescape they are what sersync2 would have used.
        """
        value = None if element is None else element.get(attribute)
        if value is None:
            return None
        return self._document.readings(value)[self._reading].decode("utf-8", "surrogateescape")

    def paths(self, element: etree._Element, attribute: str) -> List[bytes]:
        """Return every path that a value may stand for, best first; none where it is empty or not given."""
        value = element.get(attribute, "")
        readings = self._document.readings(value)
        paths = []
        for path in (readings[self._reading], *readings):
            if path and path not in paths:
                paths.append(path)
        return paths

    def flag(self, element: Optional[etree._Element], default: bool = False, attribute: str = "start") -> bool:
        """Return whether an attribute is true; `default` where it is not given."""
        value = self.text(element, attribute)
        if element is None or value is None:
            return default
        if value.lower() not in ("true", "false"):
            self.fault(element, has(element, attribute, value), said("true or false"))
            return default
        return value.lower() == "true"

    def number(self, element: etree._Element, attribute: str, most: int, expected: str) -> Optional[int]:
        """Return a value as a number from 1 to `most`; anything else is a fault, and None."""
        value = self.text(element, attribute)
        number = number_in(value or "")
        if number is None or not 1 <= number <= most:
            self.fault(element, has(element, attribute, value), expected)
            return None
        return number

    def expressions(self, element: Optional[etree._Element], tag: str) -> List[Tuple[etree._Element, str]]:
        """Return the children of that name, each with its `expression`, if the element is started."""
        if element is None or not self.flag(element):
            return []
        found = []
        for child in element.findall(tag):
            expression = self.text(child, "expression")
            if expression:
                found.append((child, expression))
            else:
                self.warn(child, said("{tag} without expression= is ignored", tag=tag))
        return found

    def regex(self, element: etree._Element, attribute: str, example: str) -> Optional[Pattern[str]]:
        """Return a value compiled; one that is none is a fault, and None. `example`: one that would do."""
        value = self.text(element, attribute)
        try:
            return compile_expression(value or "")
        except (re.error, ValueError, OverflowError, RecursionError) as error:
            found = because(has(element, attribute, value), shown(str(error)))
            self.fault(element, found, said("a regular expression such as {example}", example=example))
            return None


def _line(element: etree._Element) -> int:
    line: Optional[Any] = element.sourceline
    return int(line or 1)


def number_in(text: str) -> Optional[int]:
    """Return the number that a text is; None if it is none, or longer than nine digits."""
    return int(text) if re.match(r"[0-9]{1,9}\Z", text) else None


def has(element: etree._Element, attribute: str, value: Optional[str]) -> str:
    """Return words for a message on an attribute: its value, or that it is not there."""
    if value is None:
        return said("{tag} has no {attribute}=", tag=element.tag, attribute=attribute)
    return said('{tag} has {attribute}="{value}"', tag=element.tag, attribute=attribute, value=shown(value))


def because(found: str, reason: str) -> str:
    """Return what was found, and in words of Python's why it is wrong."""
    return said("{found} ({reason})", found=found, reason=heard(reason))
