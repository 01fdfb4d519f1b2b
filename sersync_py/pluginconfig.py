"""What a confxml.xml says of plugins: which are started, and the settings of each, from the `plugin` elements.

Settings are read, and their faults said, only of plugins that run: sersync2's sample has elements for all of them.
"""

import re
import shlex
import shutil
from typing import Callable, Dict, List, Optional, Tuple
from urllib.parse import quote

from lxml import etree

from sersync_py.elements import Reader, because, has
from sersync_py.language import said
from sersync_py.legible import shown_path
from sersync_py.settings import Command, Http, Plugin, RefreshCdn, Socket

__all__ = ["ELEMENTS", "NAMES", "own_localpaths", "plugin", "started"]

ELEMENTS: Dict[str, Tuple[str, ...]] = {
    "head/sersync/plugin": ("start", "name"),
    "head/plugin": ("name", "timeout"),
    "head/plugin/param": ("prefix", "suffix", "ignoreError"),
    "head/plugin/filter": ("start",),
    "head/plugin/filter/include": ("expression",),
    "head/plugin/localpath": ("watch",),
    "head/plugin/localpath/deshost": ("ip", "url", "port"),
    "head/plugin/localpath/cdninfo": ("domainname", "port", "username", "passwd"),
    "head/plugin/localpath/sendurl": ("base",),
    "head/plugin/localpath/regexurl": ("regex", "match"),
}
"""Every element that is about plugins, and its attributes."""

_MOST_SECONDS = 999999999
_URL = re.compile(r"(?:http://)?(\[[0-9A-Fa-f:.%\w]+\]|[A-Za-z0-9._-]+)(?::[0-9]+)?(/[^\s#]*)?\Z", re.IGNORECASE)
_KEPT_IN_A_URL = "/:?=&%@,;~+!$'()*"


def started(reader: Reader, sersync: Optional[etree._Element]) -> Tuple[Plugin, ...]:
    """Return the settings of the plugins that run after each synchronized change."""
    plugins: Dict[str, Optional[Plugin]] = {}
    for element in [] if sersync is None else sersync.findall("plugin"):
        if not reader.flag(element):
            continue
        name = reader.text(element, "name")
        if name not in NAMES:
            reader.fault(element, has(element, "name", name), said("one of {names}", names=", ".join(NAMES)))
        elif name in plugins:
            reader.warn(element, said("plugin {name} is started twice; it runs once", name=name))
        else:
            plugins[name] = plugin(reader, name, element)
    return tuple(settings for settings in plugins.values() if settings is not None)


def plugin(reader: Reader, name: str, place: etree._Element) -> Optional[Plugin]:
    """Return the settings of one plugin; None if they are faulty. `place`: what to blame if there are none."""
    element = _element(reader, name)
    if element is None:
        found = said("plugin {name} has no settings", name=name)
        reader.fault(place, found, said('an element <plugin name="{name}"> below head', name=name))
        return None
    settings = NAMES[name](reader, element)
    if element.get("timeout") is None or settings is None:
        return settings
    seconds = reader.number(element, "timeout", _MOST_SECONDS, said("a number of seconds, 1 or more"))
    return None if seconds is None else settings._replace(seconds=seconds)


def own_localpaths(reader: Reader, name: str) -> List[etree._Element]:
    """Return the localpath of a plugin, for when it runs alone; none if it has none of its own."""
    localpath = reader.child(_element(reader, name), "localpath")
    return [] if localpath is None else [localpath]


def _element(reader: Reader, name: str) -> Optional[etree._Element]:
    found = [element for element in reader.root.findall("plugin") if reader.text(element, "name") == name]
    return found[0] if found else None


def _command(reader: Reader, element: etree._Element) -> Optional[Command]:
    param = reader.child(element, "param")
    if param is None:
        found = said("plugin {name} has no {tag}", name="command", tag="param")
        reader.fault(element, found, said("a {tag} with {attributes}", tag="param", attributes="prefix="))
        return None
    before, after = _words(reader, param, "prefix"), _words(reader, param, "suffix")
    includes = _includes(reader, reader.child(element, "filter"))
    ignore = reader.flag(param, attribute="ignoreError")
    if before is None or after is None:
        return None
    if not before:
        reader.fault(param, has(param, "prefix", reader.text(param, "prefix")), said("a command, quoted as in a shell"))
        return None
    if shutil.which(before[0]) is None:
        name = shown_path(before[0].encode("utf-8", "surrogateescape"))
        reader.warn(param, said("command {name} is not there or may not be run; calls will fail", name=name))
    return Command(before, after, ignore, includes)


def _words(reader: Reader, param: etree._Element, attribute: str) -> Optional[Tuple[str, ...]]:
    """Return a value split as a shell would; None if it cannot be."""
    value = reader.text(param, attribute) or ""
    try:
        words = tuple(shlex.split(value))
    except ValueError as error:
        found = because(has(param, attribute, value), str(error).lower())
        reader.fault(param, found, said("a command, quoted as in a shell"))
        return None
    if _needs_shell(value):
        reader.warn(param, said(
            "{attribute}= holds what only a shell understands, and no shell is used; put it into a script",
            attribute=attribute,
        ))
    return words


def _needs_shell(text: str) -> bool:
    """Say whether a shell would do more with the text than split it into words."""
    bare = re.sub(r"'[^']*'", "", text)
    return bool(re.search(r"[`$]", bare) or re.search(r"[|;&<>*?]", re.sub(r'"[^"]*"', "", bare)))


def _includes(reader: Reader, element: Optional[etree._Element]) -> Optional[Tuple[str, ...]]:
    if element is None or not reader.flag(element):
        return None
    expressions = reader.expressions(element, "include")
    for include, _ in expressions:
        reader.regex(include, "expression", r"(.*)\.php")
    if not expressions:
        reader.warn(element, said("filter is started and has no include; the plugin is never called"))
    return tuple(expression for _, expression in expressions)


def _socket(reader: Reader, element: etree._Element) -> Optional[Socket]:
    deshost = _in_localpath(reader, element, "deshost", "ip= and port=")
    if deshost is None:
        return None
    host, port = _host(reader, deshost, "ip"), _port(reader, deshost)
    return None if host is None or port is None else Socket(host, port)


def _http(reader: Reader, element: etree._Element) -> Optional[Http]:
    deshost = _in_localpath(reader, element, "deshost", "url= and port=")
    if deshost is None:
        return None
    url = reader.text(deshost, "url")
    found = _URL.match(url or "")
    if found is None:
        expected = said("a host, or http://host/path (https: curl by the plugin command)")
        reader.fault(deshost, has(deshost, "url", url), expected)
    port = _port(reader, deshost, _port_in(url or ""))
    if found is None or port is None:
        return None
    target = quote((found.group(2) or "/").encode("utf-8", "surrogateescape"), safe=_KEPT_IN_A_URL)
    return Http(found.group(1).strip("[]"), port, target)


def _port_in(url: str) -> int:
    found = re.search(r":([0-9]{1,5})(?:/|\Z)", url)
    return int(found.group(1)) if found else 80


def _refresh_cdn(reader: Reader, element: etree._Element) -> Optional[RefreshCdn]:
    cdninfo = _in_localpath(reader, element, "cdninfo", "domainname=")
    sendurl = _in_localpath(reader, element, "sendurl", "base=")
    if cdninfo is None or sendurl is None:
        return None
    host = _host(reader, cdninfo, "domainname")
    port = _port(reader, cdninfo, 80)
    base = (reader.text(sendurl, "base") or "").rstrip("/")
    if not base or any(char.isspace() for char in base):
        expected = said("a URL such as {example}", example="http://pic.example.com")
        reader.fault(sendurl, has(sendurl, "base", reader.text(sendurl, "base")), expected)
        return None
    regexurl = reader.child(reader.child(element, "localpath"), "regexurl")
    match = _match(reader, regexurl) if regexurl is not None and reader.flag(regexurl, attribute="regex") else None
    if host is None or port is None:
        return None
    user, password = reader.text(cdninfo, "username") or "", reader.text(cdninfo, "passwd") or ""
    return RefreshCdn(host, port, user, password, base, match)


def _match(reader: Reader, regexurl: etree._Element) -> Optional[str]:
    example = "site([/a-z]*).xml"
    pattern = reader.regex(regexurl, "match", example)
    if pattern is not None and not pattern.groups:
        expected = said("a regular expression with a group, such as {example}", example=example)
        reader.fault(regexurl, has(regexurl, "match", reader.text(regexurl, "match")), expected)
    return reader.text(regexurl, "match")


def _in_localpath(reader: Reader, element: etree._Element, tag: str, attributes: str) -> Optional[etree._Element]:
    name = reader.text(element, "name")
    found = reader.child(reader.child(element, "localpath"), tag)
    if found is None:
        expected = said("a localpath, and in it a {tag} with {attributes}", tag=tag, attributes=attributes)
        reader.fault(element, said("plugin {name} has no {tag}", name=name, tag=tag), expected)
    return found


def _port(reader: Reader, element: etree._Element, usual: Optional[int] = None) -> Optional[int]:
    """Return `port=`; where it is not given the usual one, if there is one."""
    if usual is not None and element.get("port") is None:
        return usual
    return reader.number(element, "port", 65535, said("a port from 1 to 65535"))


def _host(reader: Reader, element: etree._Element, attribute: str) -> Optional[str]:
    """Return a host name or an address; IPv6 may stand in [ ]."""
    value = reader.text(element, attribute)
    host = (value or "").strip("[]")
    if not re.match(r"[A-Za-z0-9._:%-]+\Z", host):
        reader.fault(element, has(element, attribute, value), said("a host name or an address (IPv6 in [ ])"))
        return None
    return host


NAMES: Dict[str, Callable[[Reader, etree._Element], Optional[Plugin]]] = {
    "command": _command, "socket": _socket, "http": _http, "refreshCDN": _refresh_cdn,
}
"""The plugins there are, and what reads the settings of each."""
