"""What goes wrong, when, and for how long: planned by the seed alone, done to a field."""

import os
import random
import signal
import time
from typing import Callable, Dict, List, NamedTuple, Sequence

from rig import wait_for

from soaking.field import Field

__all__ = ["ALL", "Fault", "do", "plan"]

ALL = ("kill", "daemon", "freeze", "pause", "cut", "overflow", "reload", "stop")
_VARIANTS = {
    "kill": ("plain", "plain", "moving folders", "while frozen", "while stalled"),
    "daemon": ("stopped", "killed"),
    "cut": ("cut", "stalled", "stalled, then cut", "slow"),
}
_STORM = 200000
"""Renames, of two events each; the kernel's queue holds 327,679."""


class Fault(NamedTuple):
    """Something that goes wrong."""

    at: float
    """Seconds since the beginning of the round."""
    kind: str
    variant: str
    seconds: float
    """How long it lasts."""

    def __str__(self) -> str:
        return "{:.1f} s: {}{} for {:.1f} s".format(
            self.at, self.kind, f" ({self.variant})" if self.variant else "", self.seconds)


def plan(rng: random.Random, kinds: Sequence[str], seconds: float, kills: int) -> List[Fault]:
    """Return the faults of a round that lasts so long, first come first; kills are counted apart from the others."""
    others = [kind for kind in kinds if kind != "kill"]
    wanted = ["kill"] * kills + [rng.choice(others) for _ in range(rng.randint(1, 3)) if others]
    faults = []
    for kind in wanted:
        longest = 2.0 if kind in ("kill", "pause", "overflow") else 5.0
        variant = rng.choice(_VARIANTS.get(kind, ("",)))
        faults.append(Fault(rng.random() * seconds, kind, variant, rng.random() * longest))
    return sorted(faults)


def do(field: Field, fault: Fault) -> None:
    """Let it happen, and let it pass."""
    deeds: Dict[str, Callable[[Field, Fault], None]] = {
        "kill": _kill, "daemon": _daemon, "freeze": _freeze, "pause": _pause, "cut": _cut, "overflow": _overflow,
        "reload": _reload, "stop": _stop,
    }
    deeds[fault.kind](field, fault)


def _kill(field: Field, fault: Fault) -> None:
    if fault.variant == "while frozen":
        field.daemon.freeze()
    elif fault.variant == "while stalled":
        field.relay.stall()
    if fault.variant in ("while frozen", "while stalled"):
        time.sleep(0.5)
    if fault.variant == "moving folders":
        field.mover.begin("move_folders", 40)
    field.kill()
    time.sleep(fault.seconds)
    field.revive()
    if fault.variant == "moving folders":
        field.mover.finish()
    # a frozen one stays so for a while after the new life has begun
    time.sleep(0.5 if fault.variant.startswith("while") else 0)
    field.daemon.thaw()
    field.relay.resume()


def _stop(field: Field, fault: Fault) -> None:
    field.stop()
    time.sleep(fault.seconds / 2)
    field.revive()


def _daemon(field: Field, fault: Fault) -> None:
    if fault.variant == "killed":
        field.daemon.kill()
    else:
        field.daemon.stop()
    time.sleep(fault.seconds)
    field.daemon.start()


def _freeze(field: Field, fault: Fault) -> None:
    field.daemon.freeze()
    time.sleep(fault.seconds)
    field.daemon.thaw()


def _pause(field: Field, fault: Fault) -> None:
    field.agent.signal(signal.SIGSTOP)
    time.sleep(fault.seconds)
    field.agent.signal(signal.SIGCONT)


def _cut(field: Field, fault: Fault) -> None:
    if fault.variant == "cut":
        field.relay.cut()
        return
    if fault.variant == "slow":
        field.relay.delay = 0.05
        time.sleep(fault.seconds)
        field.relay.delay = 0.0
        return
    field.relay.stall()
    time.sleep(fault.seconds)
    if fault.variant == "stalled, then cut":
        field.relay.cut()
    field.relay.resume()


def _overflow(field: Field, fault: Fault) -> None:
    """Fill the kernel's queue while the agent cannot read it; what the hands do then is never told."""
    # one that has only just been started has no queue yet
    field.started()
    said = field.agent.log().count("dropped events")
    field.agent.signal(signal.SIGSTOP)
    one, other = os.path.join(field.source, b"storm.1"), os.path.join(field.source, b"storm.2")
    with open(one, "wb"):
        pass
    for _ in range(_STORM // 2):
        os.rename(one, other)
        os.rename(other, one)
    time.sleep(fault.seconds)
    field.agent.signal(signal.SIGCONT)
    wait_for(lambda: field.agent.log().count("dropped events") > said, 30, "the agent to notice the overflow")


def _reload(field: Field, _fault: Fault) -> None:
    field.configure()
    # SIGHUP would end it too
    field.started()
    field.agent.signal(signal.SIGHUP)
