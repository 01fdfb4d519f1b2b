"""The command line: which workloads and peers, how often, where to; runs them, prints the tables, draws the picture."""
import argparse
import json
import os
import signal
import sys
import sysconfig
import time
from typing import Dict, Iterator, List, Optional, Tuple

from .goals import goals_text
from .machine import facts
from .peers import ONE_SHOT, Peer, all_peers
from .picture import draw
from .processes import BenchError, stop
from .rig import fast_folder
from .setting import Setting
from .table import Result, sheet_text
from .workloads import GOALS, USUAL, WORKLOADS, Work


def default_tree() -> str:
    """A library folder of some thousand entries: pyenv's 3.11.7 if there is one, else this interpreter's own."""
    pyenv = os.path.expanduser("~/.pyenv/versions/3.11.7/lib")
    if os.path.isdir(pyenv):
        return pyenv
    library = os.path.realpath(sysconfig.get_paths()["stdlib"])
    own = os.path.dirname(library)
    return library if own in ("/usr/lib", "/usr/lib64", "/usr/local/lib") else own


def arguments(words: Optional[List[str]]) -> argparse.Namespace:
    """The command line, checked."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure sersync-py and its peers on this machine.")
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD",
                        help="any of {}; if none is named, all but start-million, which takes 4 GB of memory".format(
                            ", ".join(WORKLOADS)))
    parser.add_argument("--peers", default="",
                        help=f"comma-separated, of {ONE_SHOT} (and whatever is a limit), sersync-py, lsyncd, loop")
    parser.add_argument("--python", default=sys.executable, metavar="PATH", help="interpreter for sersync-py")
    parser.add_argument("--tree", default=default_tree(), metavar="DIR", help="what `tree` copies; default %(default)s")
    parser.add_argument("--disk", default="/var/tmp", metavar="DIR", help="where trees on disk go; default %(default)s")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of each; the table shows medians")
    parser.add_argument("--limit", type=float, default=300.0, metavar="S", help="longest wait for equality; 300")
    parser.add_argument("--scale", type=float, default=1.0, metavar="F", help="do F of the work; 0.1 for a try-out")
    parser.add_argument("--json", default="", metavar="FILE", help="all raw numbers and the machine's facts")
    parser.add_argument("--picture", default="", metavar="FILE", help="a PNG of latency and pictures, if both were run")
    parser.add_argument("--draw", default="", metavar="FILE", help="measure nothing, draw --picture from this JSON")
    given = parser.parse_args(words)
    known = [ONE_SHOT] + [peer.name for peer in all_peers(given.python)]
    given.workloads = given.workloads or USUAL
    given.peers = [name.strip() for name in given.peers.split(",")] if given.peers else known
    for name in given.workloads:
        if name not in WORKLOADS:
            parser.error("no workload {!r}; there are {}".format(name, ", ".join(WORKLOADS)))
    for name in given.peers:
        if name not in known:
            parser.error("no peer {!r}; there are {}".format(name, ", ".join(known)))
    for folder in (given.tree, given.disk):
        if not os.path.isdir(folder):
            parser.error("no such folder: " + folder)
    return given


def say(text: str) -> None:
    """Progress, to stderr."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def present_peers(given: argparse.Namespace) -> Tuple[List[Peer], Dict[str, str]]:
    """The chosen peers that can run here, and why the others (by name) cannot."""
    found, skipped = [], {}
    for peer in all_peers(given.python):
        if peer.name in given.peers:
            reason = peer.missing()
            if reason:
                skipped[peer.name] = reason
                print(f"{peer.name} skipped: {reason}", flush=True)
            else:
                found.append(peer)
    return found, skipped


def attempt(workload: str, name: str, work: Work, peer: Optional[Peer], setting: Setting) -> Result:
    """Run one peer through one workload once."""
    begun = time.monotonic()
    try:
        result = Result(workload, name, work(peer, setting))
    except BenchError as trouble:
        result = Result(workload, name, {}, str(trouble))
    say("{} / {}: {} ({:.0f} s)".format(workload, name, result.trouble or "done", time.monotonic() - begun))
    return result


def measure(name: str, peers: List[Peer], shots: bool, repeat: int, setting: Setting) -> Iterator[Result]:
    """Run one workload with all that take part; each result as it comes."""
    workload = WORKLOADS[name]
    for _ in range(repeat):
        for shot, work in workload.shots.items() if shots else ():
            yield attempt(name, shot, work, None, setting)
        for peer in peers:
            if not workload.peers or peer.name in workload.peers:
                yield attempt(name, peer.name, workload.work, peer, setting)


def measure_all(names: List[str], peers: List[Peer], shots: bool, repeat: int, setting: Setting,
                results: List[Result]) -> None:
    """Run everything, add to `results`, and print each workload's table; when interrupted, of what there is by then."""
    for name in dict.fromkeys(names):
        first = len(results)
        try:
            for result in measure(name, peers, shots, repeat, setting):
                results.append(result)
        finally:
            if len(results) > first:
                print("\n" + sheet_text(WORKLOADS[name].sheet, results[first:]), end="", flush=True)


def report(given: argparse.Namespace) -> Dict[str, object]:
    """Measure all that was asked for; what the JSON holds."""
    machine = facts(given.python)
    setting = Setting(fast_folder(given.disk), given.disk, given.limit, given.scale, os.path.abspath(given.tree),
                      given.python)
    print("{cores} cores, {cpu}, Linux {kernel}, {rsync}, {python}, commit {commit}, {date}".format(**machine))
    print(f"tree, steady, silent and hot on {setting.disk}, the rest on {setting.fast}; "
          f"median of {given.repeat}; scale {given.scale:g}", flush=True)
    results, interrupted, skipped = [], False, {}  # type: List[Result], bool, Dict[str, str]
    try:
        peers, skipped = present_peers(given)
        measure_all(given.workloads, peers, ONE_SHOT in given.peers, given.repeat, setting, results)
    except KeyboardInterrupt:
        say("interrupted")
        interrupted = True
    print("\n" + goals_text(GOALS, results), end="", flush=True)
    if given.scale != 1:
        print(f"The goals are for scale 1; this was {given.scale:g}.", flush=True)
    return {"machine": machine, "setting": setting._asdict(), "repeat": given.repeat, "skipped": skipped,
            "interrupted": interrupted, "results": [one._asdict() for one in results]}


def main(words: Optional[List[str]] = None) -> int:
    """Run the bench; the exit code: 0 measured, 1 some run had trouble, 130 interrupted."""
    given = arguments(words)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    if given.draw:
        with open(given.draw) as handle:
            found = json.load(handle)
    else:
        found = report(given)
    if given.json:
        with open(given.json, "w") as handle:
            json.dump(found, handle, indent=1)
            handle.write("\n")
    if given.picture:
        say(draw(found, given.picture) or given.picture)
    if found["interrupted"]:
        return 130
    return 1 if any(one["trouble"] for one in found["results"]) else 0
