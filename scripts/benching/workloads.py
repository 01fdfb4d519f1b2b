"""All workloads: by what each is measured and for whom, how it is shown, and what is asked of sersync-py in it."""
from typing import Callable, Dict, NamedTuple, Optional, Tuple

from . import bulk, crowd, latency, rest, single, steady, watching
from .goals import Goal
from .peers import LSYNCD, ONE_SHOT, SERSYNC_PY, Peer
from .setting import Numbers, Setting
from .table import Sheet

Work = Callable[[Optional[Peer], Setting], Numbers]
WARM_SHOT = "rsync by hand, warm"
COLD_SHOT = "rsync by hand"
WATCHES_SHOT = "inotifywait"


class Workload(NamedTuple):
    """One thing to measure: for which peers (none named: any), by what, shown how; `shots`: the rows of the limits.

    `asked_for`: it runs only if it is named.
    """

    peers: Tuple[str, ...]
    work: Work
    shots: Dict[str, Work]
    sheet: Sheet
    goals: Tuple[Goal, ...] = ()
    asked_for: bool = False


OURS = (SERSYNC_PY,)
TAKEN = (("count", "files", 0), ("p50", "p50", 1), ("p99", "p99", 1), ("worst", "worst", 1), ("lost", "lost", 0),
         ("cpu", "cpu s", 2))
BURST = (("files", "files", 0), ("writing", "writing", 2), ("equal", "first write to equal", 2),
         ("after", "last write to equal", 2), ("one_shot", "one rsync", 2), ("ratio", "ratio", 2), ("cpu", "cpu s", 2),
         ("memory", "memory MB", 0))
STREAM = (("files", "files", 0), ("rate", "written/s", 0), ("one_shot", "one rsync/s", 0),
          ("behind", "behind at the end", 0), ("drain", "drained after s", 2), ("cpu", "cpu s", 2),
          ("memory", "memory MB", 0))
HOT = (("writes", "writes", 0), ("during", "sessions meanwhile", 0), ("sessions", "sessions till last", 0),
       ("last", "last version s", 3), ("cpu", "cpu s", 2))
START = (("folders", "folders", 0), ("watched", "watched after s", 2), ("memory", "memory MB then", 1),
         ("idle", "at rest", 1))


def _start_goals(folders: str) -> Tuple[Goal, ...]:
    return (Goal(f"start over {folders} folders", "s", "watched", 1.5, (WATCHES_SHOT, "watched"), times=True),
            Goal("its memory then", "MB", "memory", 2, (WATCHES_SHOT, "memory"), times=True))


WORKLOADS = {
    "latency": Workload(
        (), latency.latency, {WARM_SHOT: latency.latency_warm, ONE_SHOT: latency.latency_session},
        Sheet("latency: one new 4 KB file at a time, close() to visible at the mirror (one-shot: a whole session); ms",
              TAKEN),
        (Goal("latency, lane active, p50", "ms", "p50", 5, (WARM_SHOT, "p50")),
         Goal("latency, lane active, p99", "ms", "p99", 15, (WARM_SHOT, "p99")))),
    "cold": Workload(
        OURS, latency.cold, {COLD_SHOT: latency.cold_session},
        Sheet("cold: the same, each file after a quiet time longer than a session waits; ms", TAKEN),
        (Goal("latency, cold, p50", "ms", "p50", 25, (COLD_SHOT, "p50")),)),
    "distant": Workload(
        OURS, latency.distant, {WARM_SHOT: latency.distant_warm, COLD_SHOT: latency.distant_session},
        Sheet("distant: one file a second to a remote at 50 ms of round trip; ms",
              (*TAKEN, ("trips", "p50 in round trips", 2))),
        (Goal("latency at 50 ms of round trip, p50", "trips", "trips", 2, (WARM_SHOT, "trips")),)),
    "burst": Workload(
        (), bulk.burst, {ONE_SHOT: bulk.burst},
        Sheet("burst: 4 KB files written at once; seconds", BURST),
        (Goal("burst of 10,000, after the last write", "s", "after", 1.2, (SERSYNC_PY, "one_shot"), times=True),)),
    "flood": Workload(
        OURS, bulk.flood, {ONE_SHOT: bulk.flood},
        Sheet("flood: the same with 200,000 files; seconds", BURST),
        (Goal("burst of 200,000, after the last write", "s", "after", 1.2, (SERSYNC_PY, "one_shot"), times=True),
         Goal("its memory", "MB", "memory", 150))),
    "steady": Workload(
        (), steady.steady, {ONE_SHOT: steady.steady},
        Sheet("steady: 300 files/s of 10 to 500 KB for 15 s, on disk", STREAM),
        (Goal("300 files/s, drained after", "s", "drain", 1),)),
    "pictures": Workload(
        (SERSYNC_PY, LSYNCD), steady.pictures, {ONE_SHOT: steady.pictures},
        Sheet("pictures: 2,000 files/s of 10 to 500 KB for 15 s, or 70% of what one rsync carries", STREAM),
        (Goal("2,000 files/s or 70% of one rsync, written", "/s", "rate", None, (SERSYNC_PY, "one_shot")),
         Goal("that stream, drained after", "s", "drain", 1))),
    "pages": Workload(
        (SERSYNC_PY, LSYNCD), steady.pages, {ONE_SHOT: steady.pages},
        Sheet("pages: 9,000 files/s of 1 to 50 KB for 15 s, or 70% of what one rsync carries", STREAM),
        (Goal("9,000 files/s or 70% of one rsync, written", "/s", "rate", None, (SERSYNC_PY, "one_shot")),
         Goal("that stream, drained after", "s", "drain", 1))),
    "events": Workload(
        OURS, watching.events, {},
        Sheet("events: taken from a full inotify queue, with 20 excludes; events a second",
              (("events", "events", 0), ("bare", "bare decoding", 0), ("watcher", "to dirty paths", 0),
               ("ratio", "ratio", 2))),
        (Goal("events decoded, filtered, merged", "/s", "watcher", 250000, (SERSYNC_PY, "bare"), least=True),)),
    "start": Workload(
        OURS, watching.start, {WATCHES_SHOT: watching.start},
        Sheet("start: from the program's start to the last watch", START),
        (*_start_goals("100,000"), Goal("memory at rest, 100,000 folders", "MB", "idle", 60))),
    "start-million": Workload(
        OURS, watching.start_million, {WATCHES_SHOT: watching.start_million},
        Sheet("start-million: the same with ten times as many folders", START),
        _start_goals("1,000,000"), asked_for=True),
    "big": Workload(
        OURS, single.big, {},
        Sheet("big: small files alone, and while one of 2 GB is under way to the same remote; ms",
              (("p50_alone", "p50 alone", 1), ("p99_alone", "p99 alone", 1), ("under_way", "under way s", 1),
               ("count", "files meanwhile", 0), ("p50", "p50 beside", 1), ("p99", "p99 beside", 1))),
        (Goal("latency beside a 2 GB file, p50", "ms", "p50", 2, (SERSYNC_PY, "p50_alone"), times=True),)),
    "crowd": Workload(
        OURS, crowd.crowd, {ONE_SHOT: crowd.crowd_one_shots},
        Sheet("crowd: 50 remotes; one change at all of them in ms; then many files, processor time a file and remote",
              (("changes", "changes", 0), ("p50", "p50", 0), ("worst", "worst", 0), ("files", "files", 0),
               ("equal", "all equal s", 2), ("each", "cpu us", 0))),
        (Goal("50 remotes, cpu a file and remote", "us", "each", 1.2, (ONE_SHOT, "each"), times=True),
         Goal("50 remotes, one change at all, worst", "ms", "worst", 1000, (ONE_SHOT, "worst")))),
    "idle": Workload(
        OURS, rest.idle, {},
        Sheet("idle: with nothing to do, no session waiting",
              (("seconds", "seconds", 0), ("woken", "wake-ups/min", 1), ("cpu", "cpu s", 2),
               ("processes", "processes", 0), ("connections", "connections", 0), ("idle", "memory MB", 1))),
        (Goal("idle, wake-ups", "/min", "woken", 7), Goal("idle, processes", "", "processes", 0),
         Goal("idle, connections", "", "connections", 0))),
    "tree": Workload(
        (), bulk.tree, {ONE_SHOT: bulk.tree},
        Sheet("tree: a Python library copied in with cp -a, then removed with rm -rf; seconds",
              (("entries", "entries", 0), ("copy_equal", "copy: first write", 2), ("copy_after", "last write", 2),
               ("copy_one_shot", "one rsync", 2), ("copy_ratio", "ratio", 2),
               ("remove_equal", "rm: first write", 2), ("remove_after", "last write", 2),
               ("remove_one_shot", "one rsync", 2), ("remove_ratio", "ratio", 2)))),
    "silent": Workload(
        (SERSYNC_PY, LSYNCD), single.silent, {},
        Sheet("silent: 20 files/s to one good remote, alone and beside one that accepts and says nothing; ms",
              (("count", "files", 0), ("alone", "arrived alone", 0), ("p50_alone", "p50 alone", 1),
               ("reached", "arrived beside", 0), ("p50", "p50 beside", 1), ("p99", "p99 beside", 1)))),
    "hot": Workload((), single.hot, {}, Sheet("hot: one file rewritten every 2 ms, its size changing", HOT)),
    "hot-fixed": Workload((), single.hot_fixed, {}, Sheet("hot-fixed: the same, its size never changing", HOT)),
}
USUAL = [name for name, workload in WORKLOADS.items() if not workload.asked_for]
GOALS = {name: workload.goals for name, workload in WORKLOADS.items()}
