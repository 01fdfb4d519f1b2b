"""confxml.xml -> a frozen `Config`, or one `ConfigError` that lists every fault with file and line.

Reading never stops at a fault: it is noted, a stand-in takes the value's place, and the next element is read, so that
a user sees all there is to mend in one go. How bytes become elements is `xmltext`'s part.
"""

import ipaddress
import os
import re
import shlex
import stat
from typing import Dict, List, Optional, Tuple

from lxml import etree

from sersync_py import pluginconfig
from sersync_py.elements import Reader, because, has, number_in
from sersync_py.language import heard, said
from sersync_py.legible import shown, shown_path
from sersync_py.settings import Config, Crontab, FailLog, Inotify, Mirror, Page, Remote, Rsync
from sersync_py.xmltext import ConfigError, Fault, parse, read

__all__ = ["ConfigError", "Fault", "load"]

_KNOWN: Dict[str, Tuple[str, ...]] = {
    "head": ("version",),
    "head/host": ("hostip", "port", "status"),
    "head/debug": ("start",),
    "head/fileSystem": ("xfs",),
    "head/filter": ("start",),
    "head/filter/exclude": ("expression",),
    "head/inotify": (),
    "head/inotify/delete": ("start",),
    "head/inotify/createFolder": ("start",),
    "head/inotify/createFile": ("start",),
    "head/inotify/closeWrite": ("start",),
    "head/inotify/moveFrom": ("start",),
    "head/inotify/moveTo": ("start",),
    "head/inotify/attrib": ("start",),
    "head/inotify/modify": ("start",),
    "head/inotify/hiddenFiles": ("start",),
    "head/sersync": (),
    "head/sersync/localpath": ("watch",),
    "head/sersync/localpath/remote": ("ip", "name"),
    "head/sersync/rsync": (),
    "head/sersync/rsync/commonParams": ("params",),
    "head/sersync/rsync/auth": ("start", "users", "passwordfile"),
    "head/sersync/rsync/userDefinedPort": ("start", "port"),
    "head/sersync/rsync/timeout": ("start", "time"),
    "head/sersync/rsync/ssh": ("start",),
    "head/sersync/rsync/warm": ("start", "idle"),
    "head/sersync/failLog": ("path", "timeToExecute"),
    "head/sersync/crontab": ("start", "schedule"),
    "head/sersync/crontab/crontabfilter": ("start",),
    "head/sersync/crontab/crontabfilter/exclude": ("expression",),
    **pluginconfig.ELEMENTS,
}
"""Every element that means something here, and its attributes."""

_MOST_UNKNOWN = 100
"""More warnings about unknown elements than this help nobody."""

_MOST = 999999999
"""Upper end of seconds and minutes: some decades, still far from the end of Python's calendar."""


def load(file: bytes, alone: Optional[str] = None) -> Config:
    """Read a confxml.xml.

    Args:
        file: its path; relative to the working folder if not absolute.
        alone: the one plugin that is to run without any mirroring; what the config says of that is not looked at.

    Returns:
        What it says, complete and checked against the disk.

    Raises:
        ConfigError: with every fault of the file, in the order of its lines.

    """
    data = read(file)
    name = shown(os.fsdecode(file), 4096)
    reader = Reader(parse(data, name), name)
    config = _config(reader, os.path.abspath(file), alone)
    if reader.faults:
        raise ConfigError(tuple(sorted(reader.faults, key=lambda fault: fault.line)))
    return config


def _config(reader: Reader, file: bytes, alone: Optional[str]) -> Config:
    """Read everything; what is faulty has a stand-in, so the result counts only if there are no faults."""
    root = reader.root
    if root.tag != "head":
        reader.fault(root, said("the root element is {tag}", tag=shown(str(root.tag))), said("head"))
        return Config(file, ())
    own = pluginconfig.own_localpaths(reader, alone) if alone is not None else []
    localpaths = own or root.findall("sersync/localpath")
    reader.settle_reading(localpaths)
    _note_unknown(reader)
    config = Config(
        file=file,
        mirrors=(),
        debug=reader.flag(reader.child(root, "debug")),
        excludes=_regexes(reader, reader.child(root, "filter")),
        inotify=_inotify(reader, reader.child(root, "inotify")),
    )
    if alone is not None:
        config = _with_plugin_alone(reader, config, localpaths, alone)
    else:
        config = _with_mirroring(reader, config, localpaths)
    return config._replace(warnings=reader.warnings())


def _with_mirroring(reader: Reader, config: Config, localpaths: List[etree._Element]) -> Config:
    surplus = said("a second sersync: its localpaths count, its other settings do not")
    sersync = reader.child(reader.root, "sersync", surplus)
    rsync = reader.child(sersync, "rsync")
    ssh = reader.flag(reader.child(rsync, "ssh"))
    mirrors = _mirrors(reader, localpaths, ssh, config.inotify.delete)
    # sersync2 runs rsync in the watch folder
    base = mirrors[0].watch if mirrors else b"/"
    return config._replace(
        mirrors=mirrors,
        rsync=_rsync(reader, rsync, ssh, base),
        fail_log=_fail_log(reader, reader.child(sersync, "failLog"), os.path.dirname(config.file)),
        crontab=_crontab(reader, reader.child(sersync, "crontab")),
        page=_page(reader, reader.child(reader.root, "host")),
        plugins=pluginconfig.started(reader, sersync),
    )


def _with_plugin_alone(reader: Reader, config: Config, localpaths: List[etree._Element], name: str) -> Config:
    """Read the watch folders, which go to no remote, and the settings of the one plugin."""
    _refuse_none(reader, localpaths)
    watches = [_watch(reader, element) for element in localpaths]
    settings = pluginconfig.plugin(reader, name, reader.root)
    return config._replace(
        mirrors=tuple(Mirror(watch, ()) for watch in dict.fromkeys(watches) if watch is not None),
        plugins=() if settings is None else (settings,),
    )


def _page(reader: Reader, element: Optional[etree._Element]) -> Optional[Page]:
    """Return where the status page is wanted: on this host alone, unless an address says otherwise."""
    if element is None or not reader.flag(element, attribute="status"):
        return None
    default = Page()
    address = (reader.text(element, "hostip") or "localhost").strip("[]")
    if address == "localhost":
        address = default.address
    try:
        ipaddress.ip_address(address)
    except ValueError:
        reader.fault(element, has(element, "hostip", address), said("localhost or an IP address of this host"))
    port: Optional[int] = default.port
    if reader.text(element, "port") is not None:
        port = reader.number(element, "port", 65535, said("a port from 1 to 65535"))
    return Page(address, port or default.port)


def _note_unknown(reader: Reader) -> None:
    """Warn of elements and attributes that mean nothing here: most are misspelt."""
    left = _MOST_UNKNOWN
    waiting = [(reader.root, "head")]
    while waiting and left > 0:
        element, path = waiting.pop()
        for name in sorted({str(name) for name in element.attrib}.difference(_KNOWN[path]))[:left]:
            reader.warn(element, said("attribute {name}= of {tag} is unknown and ignored", name=shown(name),
                                      tag=element.tag))
            left -= 1
        for child in element:
            place = f"{path}/{child.tag}"
            if place in _KNOWN:
                waiting.append((child, place))
            elif left > 0:
                reader.warn(child, said("element {name} in {tag} is unknown and ignored", name=shown(str(child.tag)),
                                        tag=element.tag))
                left -= 1


def _refuse_none(reader: Reader, localpaths: List[etree._Element]) -> None:
    if not localpaths:
        place = reader.root.find("sersync")
        place = reader.root if place is None else place
        reader.fault(place, said("no localpath"), said("a localpath in sersync with watch="))


def _mirrors(reader: Reader, localpaths: List[etree._Element], ssh: bool, delete: bool) -> Tuple[Mirror, ...]:
    _refuse_none(reader, localpaths)
    mirrors = []
    places = []
    for element in localpaths:
        watch = _watch(reader, element)
        remotes = _remotes(reader, element, ssh)
        if watch is not None:
            mirrors.append(Mirror(watch, remotes))
            places.append(element)
    _warn_of_overlaps(reader, places, mirrors)
    _warn_of_shared_remotes(reader, places, mirrors, delete)
    return tuple(mirrors)


def _watch(reader: Reader, element: etree._Element) -> Optional[bytes]:
    """Return the watch folder, without the slashes and dots that mean nothing, or note what is wrong with it."""
    paths = reader.paths(element, "watch")
    expected = said("the absolute path of a folder")
    if not paths:
        reader.fault(element, has(element, "watch", reader.text(element, "watch")), expected)
        return None
    problems = [_watch_problem(path) for path in paths]
    if all(problems):
        found = said("watch folder {path} {problem}", path=shown_path(paths[0]), problem=problems[0])
        reader.fault(element, found, expected)
        return None
    path = paths[problems.index("")]
    # ".." stays: behind a symlink it is not what it seems
    return b"/" + b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))


def _watch_problem(path: bytes) -> str:
    """Return why a folder cannot be watched, or nothing."""
    if not path.startswith(b"/"):
        return said("is relative")
    try:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            return said("is not a folder")
    except OSError as error:
        return _reason(error)
    return said("is the whole system") if os.path.realpath(path) == b"/" else ""


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return said("does not exist")
    if isinstance(error, NotADirectoryError):
        return said("does not exist (something above it is not a folder)")
    return said("cannot be used: {reason}", reason=heard(error.strerror or str(error)))


def _warn_of_overlaps(reader: Reader, places: List[etree._Element], mirrors: List[Mirror]) -> None:
    """Warn of a watch folder that is given twice or lies in another one: its changes are sent for both."""
    reals = [os.path.realpath(mirror.watch) for mirror in mirrors]
    known = set(reals)
    seen = set()
    for place, mirror, real in zip(places, mirrors, reals):
        if real in seen:
            reader.warn(place, said("watch folder {path} is given twice", path=shown_path(mirror.watch)))
        seen.add(real)
        above = real.rpartition(b"/")[0]
        while above:
            if above in known:
                reader.warn(place, said("watch folder {path} lies in watch folder {above}; what changes in it is sent"
                                        " for both", path=shown_path(mirror.watch), above=shown_path(above)))
                break
            above = above.rpartition(b"/")[0]


def _warn_of_shared_remotes(reader: Reader, places: List[etree._Element], mirrors: List[Mirror], delete: bool) -> None:
    """Warn of two folders that go to one place: each whole-tree push deletes there what only the other has."""
    owners: Dict[Remote, bytes] = {}
    for place, mirror in zip(places, mirrors):
        for remote in mirror.remotes:
            other = owners.setdefault(remote, mirror.watch)
            if other != mirror.watch and delete:
                reader.warn(place, said("{remote} is also the remote of {path}; each whole-tree push deletes there what"
                                        " only the other has", remote=shown(str(remote)), path=shown_path(other)))


def _remotes(reader: Reader, localpath: etree._Element, ssh: bool) -> Tuple[Remote, ...]:
    elements = localpath.findall("remote")
    if not elements:
        reader.fault(localpath, said("localpath has no remote"), said("at least one remote with ip= and name="))
    remotes: Dict[Remote, None] = {}
    for element in elements:
        host = _host(reader, element)
        name = _module(reader, element, ssh)
        remote = Remote(host, name)
        if remote in remotes and host and name:
            reader.warn(element, said("remote {remote} is given twice; it is served once", remote=shown(str(remote))))
        remotes[remote] = None
    return tuple(remotes)


def _host(reader: Reader, element: etree._Element) -> str:
    """Return `ip=`. What rsync would take for an option, a path or a port is a fault."""
    host = reader.text(element, "ip") or ""
    bare = re.sub(r"\[[0-9A-Fa-f:.%\w]+\]\Z", "", host)
    wrong = host.startswith("-") or "/" in host or ":" in bare or any(char.isspace() for char in host)
    if not host or wrong:
        expected = said("a host name or an address (IPv6 in [ ])")
        reader.fault(element, has(element, "ip", reader.text(element, "ip")), expected)
    return host


def _module(reader: Reader, element: etree._Element, ssh: bool) -> str:
    """Return `name=` without trailing slashes."""
    name = (reader.text(element, "name") or "").rstrip("/")
    wrong = name.startswith(("-", ":")) or ".." in name.split("/")
    # an rsync daemon refuses a module that starts with a slash
    wrong = wrong or (name.startswith("/") and not ssh)
    if not name or wrong:
        expected = said("the path of a folder at the remote") if ssh else said("a module, or module/sub/folder")
        reader.fault(element, has(element, "name", reader.text(element, "name")), expected)
    return name


def _inotify(reader: Reader, element: Optional[etree._Element]) -> Inotify:
    def flag(tag: str, default: bool) -> bool:
        return reader.flag(reader.child(element, tag), default)

    default = Inotify()
    return Inotify(
        delete=flag("delete", default.delete),
        create_folder=flag("createFolder", default.create_folder),
        create_file=flag("createFile", default.create_file),
        close_write=flag("closeWrite", default.close_write),
        move_from=flag("moveFrom", default.move_from),
        move_to=flag("moveTo", default.move_to),
        attrib=flag("attrib", default.attrib),
        modify=flag("modify", default.modify),
        hidden_files=flag("hiddenFiles", default.hidden_files),
    )


def _rsync(reader: Reader, element: Optional[etree._Element], ssh: bool, base: bytes) -> Rsync:
    user, password_file = _auth(reader, reader.child(element, "auth"), ssh, base)
    port = reader.child(element, "userDefinedPort")
    timeout = reader.child(element, "timeout")
    return Rsync(
        params=_params(reader, reader.child(element, "commonParams")),
        user=user,
        password_file=password_file,
        port=_started_number(reader, port, "port", 65535, said("a port from 1 to 65535")),
        timeout=_started_number(reader, timeout, "time", _MOST, said("a number of seconds, 1 or more")),
        ssh=ssh,
        warm=_warm(reader, reader.child(element, "warm")),
    )


def _warm(reader: Reader, element: Optional[etree._Element]) -> Optional[int]:
    usual = Rsync().warm
    if element is None:
        return usual
    if not reader.flag(element):
        return None
    expected = said("a number of seconds, 1 or more")
    return reader.number(element, "idle", _MOST, expected) if element.get("idle") else usual


def _started_number(
    reader: Reader, element: Optional[etree._Element], attribute: str, most: int, expected: str
) -> Optional[int]:
    if element is None or not reader.flag(element):
        return None
    return reader.number(element, attribute, most, expected)


_LEFT_OUT = frozenset(["--delete-excluded", "--remove-source-files", "--remove-sent-files"])
"""Options that delete at the remote what an exclude protects, be it one of our own orders', or at the source."""


def _params(reader: Reader, element: Optional[etree._Element]) -> Tuple[str, ...]:
    value = reader.text(element, "params")
    if element is None or value is None:
        return Rsync().params
    try:
        words = tuple(shlex.split(value))
    except ValueError as error:
        found = because(has(element, "params", value), str(error).lower())
        reader.fault(element, found, said("rsync options, quoted as in a shell"))
        return ()
    for word in sorted(_LEFT_OUT.intersection(words)):
        reader.warn(element, said("{option} is left out: nothing is deleted but what was deleted here", option=word))
    return tuple(word for word in words if word not in _LEFT_OUT)


def _auth(
    reader: Reader, element: Optional[etree._Element], ssh: bool, base: bytes
) -> Tuple[Optional[str], Optional[bytes]]:
    """Return the user and the password file of an auth that is started; `base` is what a relative path starts from."""
    if element is None or not reader.flag(element):
        return None, None
    if ssh:
        reader.warn(element, said("auth is ignored because ssh is on; ssh has keys of its own"))
        return None, None
    user = reader.text(element, "users") or ""
    if not user or user.startswith("-") or any(char.isspace() or char in "/:" for char in user):
        found = has(element, "users", reader.text(element, "users"))
        reader.fault(element, found, said("the user of the rsync module"))
    expected = said("a password file that others cannot access")
    paths = [os.path.join(base, path) for path in reader.paths(element, "passwordfile")]
    if not paths:
        reader.fault(element, has(element, "passwordfile", reader.text(element, "passwordfile")), expected)
        return user, None
    path = next((path for path in paths if os.path.exists(path)), paths[0])
    problem = _password_problem(path)
    if problem:
        reader.fault(element, said("password file {path} {problem}", path=shown_path(path), problem=problem), expected)
    return user, path


def _password_problem(path: bytes) -> str:
    """Return why rsync's `--password-file` would refuse a file at every push, or nothing."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return said("is not a file")
        with open(path, "rb") as stream:
            start = stream.read(511)
    except OSError as error:
        return _reason(error)
    if status.st_mode & (stat.S_IROTH | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        return said("is open to others (mode {mode}; chmod 600 it)", mode=mode)
    if os.geteuid() == 0 and status.st_uid != 0:
        return said("is not owned by root, which rsync demands when root runs it")
    if not start.strip(b"\r\n"):
        return said("is empty")
    return ""


def _fail_log(reader: Reader, element: Optional[etree._Element], base: bytes) -> FailLog:
    """Return where and how often; a relative path starts from `base`, so that it does not depend on who starts us."""
    default = FailLog()
    if element is None:
        return default
    minutes: Optional[int] = default.minutes
    if element.get("timeToExecute") is not None:
        minutes = reader.number(element, "timeToExecute", _MOST, said("a number of minutes, 1 or more"))
    paths = [os.path.join(base, path) for path in reader.paths(element, "path")]
    if not paths:
        if element.get("path") is not None:
            reader.warn(element, said("failLog has an empty path=; {path} is used", path=shown_path(default.path)))
        return FailLog(default.path, minutes or default.minutes)
    path = next((path for path in paths if os.path.isdir(os.path.dirname(path))), paths[0])
    if os.path.isdir(path):
        reader.fault(element, said("failLog {path} is a folder", path=shown_path(path)), said("the path of a file"))
    return FailLog(path, minutes or default.minutes)


def _crontab(reader: Reader, element: Optional[etree._Element]) -> Optional[Crontab]:
    if element is None or not reader.flag(element):
        return None
    default = Crontab()
    schedule = reader.text(element, "schedule")
    minutes = default.minutes if schedule is None else number_in(schedule)
    if minutes is None:
        reader.warn(element, said("{found}, which is no number of minutes; {minutes} is used",
                                  found=has(element, "schedule", schedule), minutes=default.minutes))
    return Crontab(minutes or default.minutes, _patterns(reader, reader.child(element, "crontabfilter")))


def _patterns(reader: Reader, element: Optional[etree._Element]) -> Tuple[str, ...]:
    return tuple(expression for _, expression in reader.expressions(element, "exclude"))


def _regexes(reader: Reader, element: Optional[etree._Element]) -> Tuple[str, ...]:
    """Return the expressions of the filter; each compiles."""
    expressions = reader.expressions(element, "exclude")
    for exclude, _ in expressions:
        reader.regex(exclude, "expression", r"(.*)\.svn")
    return tuple(expression for _, expression in expressions)
