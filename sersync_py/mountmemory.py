"""What is mounted below the watch folders is remembered in the state folder, so that the next start misses it."""

import logging
from typing import Dict, Iterable

from sersync_py import inner
from sersync_py.inner import Inner
from sersync_py.notices import Notices
from sersync_py.source import Source

__all__ = ["MountMemory"]

log = logging.getLogger(__name__)


class MountMemory:
    """One file for each watch folder of a config that has, or had, something mounted below."""

    def __init__(self, state_folder: bytes, config_file: bytes, notices: Notices, saves: bool) -> None:
        """`saves`: False for a dry run."""
        self._folder, self._config_file, self._notices, self._saves = state_folder, config_file, notices, saves
        self._refused = False

    def load(self, watch: bytes) -> Dict[bytes, Inner]:
        """Return what is known to have been mounted below a watch folder."""
        try:
            return inner.load(self._file(watch))
        except (OSError, ValueError) as error:
            name = watch.decode("utf-8", "backslashreplace")
            log.warning("%s: what was mounted below before is not known: %s", name, error)
            return {}

    def step(self, sources: Iterable[Source]) -> None:
        """Save what has changed, at once, unless that was refused the last time."""
        if not self._refused:
            self.save(sources)

    def save(self, sources: Iterable[Source]) -> None:
        """Save what has changed."""
        refusal = ""
        for source in sources:
            if source.mounts.unsaved and self._saves:
                try:
                    inner.save(self._file(source.watch), source.mounts.known)
                except OSError as error:
                    refusal = refusal or f"what is mounted below {source} cannot be remembered: {error.strerror}"
                else:
                    source.mounts.unsaved = False
        self._refused = bool(refusal)
        self._notices.say("mounts", refusal)

    def _file(self, watch: bytes) -> bytes:
        return inner.mounts_file(self._folder, self._config_file, watch)
