"""In which language people are spoken to: English, or Chinese where their locale says so. What is logged stays English.

A message is made once, in English, and remembers what it was made of; whoever shows it to a person has it put into the
person's language at the last moment. So the same fault can go to a log and to a terminal.
"""

import re
from typing import Dict, List, Mapping, Pattern, Tuple

from sersync_py.chinese import CHINESE, HEARD

__all__ = ["ENGLISH", "ZH", "Said", "heard", "language_of", "said", "spoken"]

ENGLISH, ZH = "en", "zh"


class Said(str):
    """A text in English that knows the template and the values it was made of."""

    template: str
    values: Dict[str, object]


def said(template: str, **values: object) -> Said:
    """Return the template with its `{names}` replaced by the values, which may be `Said` themselves.

    Each template that stands in the code has its Chinese one in `chinese.CHINESE`.
    """
    text = Said(template.format(**values))
    text.template, text.values = template, values
    return text


def heard(text: str) -> str:
    """Given words that are not ours (the kernel's, argparse's), return them so that those we know can be translated."""
    for template, pattern in _HEARD:
        found = pattern.fullmatch(text)
        if found:
            return said(template, **{name: heard(value) for name, value in found.groupdict().items()})
    return text


def _pattern(template: str) -> Pattern[str]:
    """Return what matches whatever a template could have become."""
    pieces: List[str] = re.split(r"\{(\w+)\}", template)
    pieces[::2] = [re.escape(piece) for piece in pieces[::2]]
    pieces[1::2] = [f"(?P<{name}>.+)" for name in pieces[1::2]]
    return re.compile("".join(pieces), re.DOTALL)


_HEARD: Tuple[Tuple[str, Pattern[str]], ...] = tuple((template, _pattern(template)) for template in HEARD)


def spoken(text: str, language: str) -> str:
    """Return a text in a language; what was not made by `said` stays as it is."""
    if language != ZH or not isinstance(text, Said):
        return str(text)
    template = CHINESE.get(text.template) or HEARD.get(text.template) or text.template
    values = {name: spoken(value, language) if isinstance(value, str) else value for name, value in text.values.items()}
    return template.format(**values)


def language_of(environment: Mapping[str, str]) -> str:
    """Return the language that the locale of an environment asks for."""
    locale = next(filter(None, (environment.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))), "")
    return ZH if re.match(r"zh(?![a-z])", locale, re.IGNORECASE) else ENGLISH
