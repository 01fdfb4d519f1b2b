"""What a confxml.xml says, as frozen values. `config` reads them from the file; everything else only looks at them.

Paths are bytes, because a path on disk is bytes; all other texts are str.
"""

from typing import NamedTuple, Optional, Tuple, Union

__all__ = [
    "Command",
    "Config",
    "Crontab",
    "FailLog",
    "Http",
    "Inotify",
    "Mirror",
    "Page",
    "Plugin",
    "RefreshCdn",
    "Remote",
    "Rsync",
    "Socket",
]


class Remote(NamedTuple):
    """One receiver of a watch folder."""

    host: str
    """Address or host name, as written in `ip=`."""
    name: str
    """`module` or `module/sub/folder`; with ssh an absolute path."""

    def __str__(self) -> str:
        return f"{self.host}::{self.name}"


class Mirror(NamedTuple):
    """One `localpath`: a folder and the remotes it goes to; none if only a plugin is to be called."""

    watch: bytes
    """Absolute path of the watch folder, without a trailing slash."""
    remotes: Tuple[Remote, ...]


class Inotify(NamedTuple):
    """Which kinds of events count; the defaults are those of sersync2's sample."""

    delete: bool = True
    create_folder: bool = True
    create_file: bool = False
    close_write: bool = True
    move_from: bool = True
    move_to: bool = True
    attrib: bool = False
    modify: bool = False
    hidden_files: bool = False
    """True: files named `.x`, `x~` and `4913` count in real time too."""


class Rsync(NamedTuple):
    """How to speak to every remote."""

    params: Tuple[str, ...] = ("-artuz",)
    """`commonParams`, split into words as a shell would."""
    user: Optional[str] = None
    password_file: Optional[bytes] = None
    port: Optional[int] = None
    timeout: Optional[int] = None
    """Seconds of silence after which rsync gives a session up; None: not set by the user."""
    ssh: bool = False
    warm: Optional[int] = 30
    """Seconds after the last push for which a connected session waits for the next one; None: never."""


class FailLog(NamedTuple):
    """Where failed pushes are kept, and how often they are replayed."""

    path: bytes = b"/tmp/rsync_fail_log.sh"
    minutes: int = 60


class Crontab(NamedTuple):
    """The periodic push of the whole tree."""

    minutes: int = 600
    excludes: Tuple[str, ...] = ()
    """rsync patterns of an enabled `crontabfilter`."""


class Page(NamedTuple):
    """Where the status is served over HTTP."""

    address: str = "127.0.0.1"
    """An IP address of this host."""
    port: int = 8008

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


class Command(NamedTuple):
    """The plugin that runs a command: the words before the path, the path, the words after it."""

    before: Tuple[str, ...]
    after: Tuple[str, ...] = ()
    ignore_error: bool = False
    """True: nobody wants to know what it says, or that it fails."""
    includes: Optional[Tuple[str, ...]] = None
    """Regexes of an enabled `filter`; None: it is called for every path."""
    seconds: int = 300
    """How long a call may take; the same in all plugins."""

    @property
    def name(self) -> str:
        """Return what the plugin is called in the config; the same in all plugins."""
        return "command"


class Socket(NamedTuple):
    """The plugin that sends the path to a TCP port."""

    host: str
    port: int
    seconds: int = 30

    @property
    def name(self) -> str:
        """Return what the plugin is called in the config."""
        return "socket"


class Http(NamedTuple):
    """The plugin that posts the change as a form."""

    host: str
    port: int = 80
    target: str = "/"
    """What of the URL follows the host, percent-encoded."""
    seconds: int = 30

    @property
    def name(self) -> str:
        """Return what the plugin is called in the config."""
        return "http"


class RefreshCdn(NamedTuple):
    """The plugin that tells a CDN which URL is stale."""

    host: str
    port: int
    user: str
    password: str
    base: str
    """The URL of the watch folder, without a trailing slash."""
    match: Optional[str] = None
    """Regex: what it finds in the absolute path is replaced with `base` and its first group, and all before it goes."""
    seconds: int = 30

    @property
    def name(self) -> str:
        """Return what the plugin is called in the config."""
        return "refreshCDN"


Plugin = Union[Command, Socket, Http, RefreshCdn]


class Config(NamedTuple):
    """Everything that one confxml.xml says."""

    file: bytes
    """Absolute path of the file."""
    mirrors: Tuple[Mirror, ...]
    debug: bool = False
    excludes: Tuple[str, ...] = ()
    """Regexes of an enabled `filter`, as written; each compiles."""
    inotify: Inotify = Inotify()
    rsync: Rsync = Rsync()
    fail_log: FailLog = FailLog()
    crontab: Optional[Crontab] = None
    page: Optional[Page] = None
    """Where the status page is, if it is started."""
    plugins: Tuple[Plugin, ...] = ()
    """What is called after each synchronized change."""
    warnings: Tuple[str, ...] = ()
    """Things that load but that the user should know, one sentence each, with file and line."""

    def has_remotes(self) -> bool:
        """Say whether anything is mirrored: a plugin alone mirrors nothing."""
        return any(mirror.remotes for mirror in self.mirrors)
