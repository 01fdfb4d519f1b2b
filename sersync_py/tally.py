"""What has been done so far, as plain counters: each is fed in one place, and status looks at them.

They begin at zero with the agent and outlive a reload of the config. Moments are seconds of the wall clock, 0: never.
"""

import time

from sersync_py.outcomes import DONE, PARTIAL, Outcome, files_sent

__all__ = ["LaneTally", "SourceTally"]


class SourceTally:
    """What came of watching one folder."""

    def __init__(self) -> None:
        self.begun = time.time()
        """When watching began; a change that is older was made while nobody looked."""
        self.events = 0
        """Events that the kernel has reported."""
        self.overflows = 0
        """How often the kernel has dropped events."""
        self.scanned = 0.0
        """When a scan for changes was last through."""


class LaneTally:
    """What one remote was sent, and how that went."""

    def __init__(self) -> None:
        self.sessions = 0
        self.failed_sessions = 0
        self.bytes = 0
        self.files = 0
        self.pushed = 0.0
        """When a session last reached the remote."""
        self.error = ""
        self.error_at = 0.0
        self.whole_tree_pushed = 0.0
        self.whole_tree_compared = 0.0

    def note(self, outcome: Outcome, wall: float) -> None:
        """Count a session that has ended. `wall`: seconds of the wall clock."""
        self.sessions += 1
        self.bytes += outcome.sent
        self.files += files_sent(outcome.output)
        if outcome.verdict in (DONE, PARTIAL):
            self.pushed = wall
        else:
            self.failed_sessions += 1
        if outcome.verdict != DONE:
            self.error, self.error_at = outcome.why(), wall
