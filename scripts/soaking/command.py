"""The command line of scripts/soak: rounds of load and faults, a comparison after each, and a line at the end."""

import argparse
import math
import os
import random
import shutil
import sys
import tempfile
import time
from typing import List, Optional, Sequence

from rig import differences, wait_equal

from soaking.faults import ALL, do, plan
from soaking.field import FAULTS_OF_ITS_OWN, WHOLE_TREE, Field
from soaking.vitals import Sign, Vitals, look

__all__ = ["main"]

ROUND_SECONDS = 12.0
"""For as long as this the hands are meant to work before they pause and all is compared."""
MOST_MEGABYTES, MOST_HANDLES = 30, 10
"""How much more than in the first pause the agent may hold in the last."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="begin no further round after this time")
    parser.add_argument("--seed", type=int, default=1, help="the same seed plans the same operations and faults")
    parser.add_argument("--kills", type=int, help="how often the agent is killed in all, about (default: once in 6 s)")
    parser.add_argument("--faults", default="all", help="all, none, or some of " + ",".join(ALL))
    parser.add_argument("--hands", type=int, default=4, help="processes that write")
    parser.add_argument("--operations", type=int, default=1500, help="operations of each hand in a round")
    parser.add_argument("--deadline", type=float, default=60, help="seconds until all must be equal after a round")
    parser.add_argument("--python", default=sys.executable, help="the Python that the agent runs under")
    parser.add_argument("--folder", default="/dev/shm" if os.path.isdir("/dev/shm") else None, help="where to work")
    parser.add_argument("--keep", action="store_true", help="leave trees and logs there if something was wrong")
    return parser


class _Soak:
    """A run: what was done so far and what was found."""

    def __init__(self, arguments: argparse.Namespace, field: Field, kinds: Sequence[str]) -> None:
        self._arguments, self._field, self._kinds = arguments, field, kinds
        self.operations = self.kills = self.faults = self.comparisons = 0
        self.differences: List[str] = []
        self.signs: List[Sign] = []
        self.slowest = 0.0
        rounds = max(1.0, arguments.seconds / (ROUND_SECONDS + 4))
        self._kills_a_round = 2.0 if arguments.kills is None else arguments.kills / rounds

    def run(self) -> None:
        """Go through rounds until the time is over or something differs."""
        end = time.monotonic() + self._arguments.seconds
        number = 0
        while time.monotonic() < end and not self.differences:
            number += 1
            self._round(number)

    def _round(self, number: int) -> None:
        rng = random.Random(f"{self._arguments.seed}/round {number}")
        kills = math.floor(number * self._kills_a_round) - math.floor((number - 1) * self._kills_a_round)
        faults = plan(rng, self._kinds, ROUND_SECONDS, kills if "kill" in self._kinds else 0)
        begun = time.monotonic()
        for worker in self._field.workers:
            worker.begin("work", self._arguments.operations)
        for fault in faults:
            time.sleep(max(0.0, begun + fault.at - time.monotonic()))
            do(self._field, fault)
            self.kills += fault.kind == "kill"
            self.faults += fault.kind != "kill"
        worked = sum(worker.finish() for worker in self._field.workers)
        self.operations += worked
        loaded = time.monotonic() - begun
        self._compare()
        equal = time.monotonic() - begun - loaded
        self.slowest = max(self.slowest, equal)
        _say("round {}: {} operations in {:.1f} s, {}; {} after {:.1f} s".format(
            number, worked, loaded, "; ".join(str(fault) for fault in faults) or "no fault",
            "equal" if not self.differences else f"{len(self.differences)} differences", equal))
        self._field.stock()

    def _compare(self) -> None:
        self.comparisons += 1
        source, mirrors = self._field.source, self._field.daemon.mirrors
        self._field.started()
        try:
            wait_equal(source, mirrors, self._arguments.deadline)
        except AssertionError:
            self.differences = [text for mirror in mirrors for text in differences(source, mirror)]
        sign = look(self._field.agent.pid)
        if sign is not None:
            self.signs.append(sign)
        else:
            self.differences.insert(0, "the agent is gone")


def _say(text: str) -> None:
    print(text, flush=True)


def _complaints(soak: _Soak, field: Field, vitals: Vitals) -> List[str]:
    """Return a sentence for all that is wrong at the end."""
    found = soak.differences[:20]
    found += [f"whole tree: {line}" for line in field.new_words(WHOLE_TREE)]
    found += [f"the agent says: {line}" for line in field.new_words(FAULTS_OF_ITS_OWN)[:20]]
    if vitals.zombies or field.orphans:
        found.append(f"{vitals.zombies} zombies, {field.orphans} orphans")
    if not soak.signs:
        return [*found, "the agent was never seen in a pause"]
    first, last = soak.signs[0], soak.signs[-1]
    if last.megabytes > first.megabytes + MOST_MEGABYTES or last.handles > first.handles + MOST_HANDLES:
        found.append(f"the agent has grown from {first} to {last}")
    return found


def _summary(seed: int, soak: _Soak, field: Field, vitals: Vitals) -> str:
    first, last = (soak.signs[0], soak.signs[-1]) if soak.signs else (Sign(0, 0), Sign(0, 0))
    return (
        f"soak: seed {seed}, {soak.operations} operations, {soak.kills} kills, {soak.faults} faults,"
        f" {soak.comparisons} comparisons, {len(soak.differences)} differences,"
        f" memory {first.megabytes:.0f}/{last.megabytes:.0f} MB, handles {first.handles}/{last.handles},"
        f" zombies {vitals.zombies}, orphans {field.orphans}"
    )


def _kinds(text: str) -> List[str]:
    return list(ALL) if text == "all" else [] if text == "none" else text.split(",")


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line; return 0 if nothing was lost, left behind or grown."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    kinds = _kinds(arguments.faults)
    if set(kinds) - set(ALL):
        parser.error("no such fault: " + ", ".join(sorted(set(kinds) - set(ALL))))
    folder = tempfile.mkdtemp(prefix="soak-", dir=arguments.folder)
    complaints = ["not finished"]
    try:
        complaints = _run(arguments, kinds, folder)
    finally:
        if complaints and arguments.keep:
            _say(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 1 if complaints else 0


def _run(arguments: argparse.Namespace, kinds: Sequence[str], folder: str) -> List[str]:
    field = Field(folder, arguments.seed, arguments.hands, arguments.python)
    try:
        field.begin()
        vitals = Vitals(field)
        soak = _Soak(arguments, field, kinds)
        try:
            soak.run()
            vitals.end()
            field.stop()
        except (AssertionError, KeyboardInterrupt) as error:
            soak.differences.append(f"broken off: {error!r}"[:3000])
            vitals.end()
    finally:
        field.end()
    complaints = _complaints(soak, field, vitals)
    for text in complaints:
        _say(text)
    _say(f"slowest comparison {soak.slowest:.1f} s, most memory {vitals.most_megabytes:.0f} MB, most handles"
         f" {vitals.most_handles}, a killed agent's sessions ended after {field.slowest_orphan:.2f} s at most")
    _say(_summary(arguments.seed, soak, field, vitals))
    return complaints
