"""Texts of others (paths, values, messages) made fit to be shown: no terminal, log or page can be tricked with them."""

from typing import Union

__all__ = ["printable", "shown", "shown_path"]


def printable(text: Union[bytes, str]) -> str:
    """Return a text in one line: all that is not printable is escaped, bytes that are no UTF-8 too."""
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogateescape")
    decoded = data.decode("utf-8", "backslashreplace")
    if decoded.isprintable():
        return decoded
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in decoded)


def shown(text: Union[bytes, str], most: int = 100) -> str:
    """Return a text as `printable` does, but not more than about `most` characters of it."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    return printable(text if len(text) <= most else text[:most] + "...")


def shown_path(path: bytes) -> str:
    """Return a path as it can stand in a message: whole, for none that exists is longer."""
    return shown(path, 4096)
