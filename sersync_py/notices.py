"""Troubles that last: each is logged when it begins and when it is over, and stands in the status meanwhile."""

import logging
from typing import Dict, Tuple

__all__ = ["Notices"]

log = logging.getLogger(__name__)


class Notices:
    """What is wrong at present, by subject."""

    def __init__(self) -> None:
        self._said: Dict[str, str] = {}

    def say(self, subject: str, trouble: str) -> None:
        """Log a trouble when it begins or changes, and its end ("")."""
        before = self._said.get(subject, "")
        self._said[subject] = trouble
        if trouble and trouble != before:
            log.warning("%s", trouble)
        elif before and not trouble:
            log.info("over: %s", before)

    def standing(self) -> Tuple[str, ...]:
        """Return the troubles that are not over."""
        return tuple(trouble for trouble in self._said.values() if trouble)
