"""The picture: how late one file is, and how a mirror keeps up with a stream of them."""
import re
from typing import Dict, List

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

Report = Dict[str, object]
LOOK = (  # peer in the results, name in the picture, colour, thickness
    ("rsync by hand, warm", "a waiting rsync, by hand", "#7f8c8d", 1.8),
    ("sersync-py", "sersync-py", "#c0392b", 2.8),
    ("one-shot", "an rsync for each file", "#2c7fb8", 1.8),
    ("lsyncd", "lsyncd", "#e08e0b", 1.8),
    ("loop", "inotifywait and rsync in a loop", "#7b5ea7", 1.8),
)
INK, GRID = "#333333", "#d9d9d9"


def _rows(report: Report, workload: str, key: str) -> Dict[str, List[Dict[str, object]]]:
    """Peer -> the numbers of its runs of a workload that have this key."""
    found = {}  # type: Dict[str, List[Dict[str, object]]]
    for one in report["results"]:
        if one["workload"] == workload and one["numbers"].get(key):
            found.setdefault(one["peer"], []).append(one["numbers"])
    return found


def _plain(axes: object, title: str) -> None:
    """What both halves have in common."""
    axes.set_title(title, loc="left", fontsize=12, color=INK, pad=12)
    axes.grid(True, which="major", color=GRID, linewidth=0.7)
    axes.tick_params(colors=INK, length=0)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)


def _legend(axes: object) -> None:
    """Below the axes, where no line runs."""
    axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.14), ncol=2, frameon=False, fontsize=9, labelcolor=INK,
                columnspacing=1.6, handlelength=1.6)


def _short(value: float) -> str:
    """A number with as many digits as are of use."""
    return f"{value:.2f}" if value < 1 else f"{value:.1f}" if value < 20 else f"{value:,.0f}"


def _latency(axes: object, report: Report) -> None:
    """The share of files that had arrived after so many milliseconds."""
    _plain(axes, "One file of 4 KB: from its close to the mirror")
    rows, all_taken = _rows(report, "latency", "raw_seconds"), []
    for peer, name, colour, width in LOOK:
        taken = sorted(1000 * seconds for run in rows.get(peer, []) for seconds in run["raw_seconds"])
        if taken:
            all_taken += taken
            shares = [100 * (place + 1) / len(taken) for place in range(len(taken))]
            axes.step([taken[0], *taken], [0, *shares], where="post", color=colour, linewidth=width,
                      solid_capstyle="round", label=f"{name}: median {_short(taken[(len(taken) - 1) // 2])} ms")
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000])
    axes.get_xaxis().set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()
    axes.set_xlim(min(all_taken) * 0.8, max(all_taken) * 1.3)
    axes.set_ylim(0, 102)
    axes.set_xlabel("milliseconds", color=INK)
    axes.set_ylabel("files that have arrived, %", color=INK)
    _legend(axes)


def _stream(axes: object, report: Report) -> None:
    """How many files were at the mirror, second by second."""
    rows = _rows(report, "pictures", "curve")
    ours = rows["sersync-py"][0]
    seconds = ours["files"] / ours["rate"]
    _plain(axes, f"{ours['rate']:,.0f} files a second of 10 to 500 KB, for {seconds:.0f} s")
    axes.plot([0, ours["files"] / ours["one_shot"]], [0, ours["files"] / 1000], color="#2c7fb8", linewidth=1.8,
              linestyle=(0, (4, 3)), label="one rsync, all there from the start")
    axes.plot([look[0] for look in ours["curve"]], [look[1] / 1000 for look in ours["curve"]], color="#7f8c8d",
              linewidth=1.8, label="written")
    for peer, name, colour, width in LOOK:
        for run in rows.get(peer, [])[:1]:
            drained = run["drain"]
            late = "never drained" if drained is None else f"drained {_short(drained)} s after the end"
            axes.plot([look[0] for look in run["curve"]], [look[2] / 1000 for look in run["curve"]], color=colour,
                      linewidth=width, solid_capstyle="round", label=f"{name}: {late}")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds since the first write", color=INK)
    axes.set_ylabel("files at the mirror, thousands", color=INK)
    _legend(axes)


def _origin(machine: Dict[str, object]) -> str:
    """What machine and when, on a line."""
    version = re.search(r"version (\S+)", str(machine["rsync"]))
    return "{} cores, {}, Linux {}, rsync {}, {}, {}, commit {}".format(
        machine["cores"], machine["cpu"], str(machine["kernel"]).split("-")[0], version.group(1) if version else "?",
        machine["python"], str(machine["date"])[:10], machine["commit"])


def draw(report: Report, path: str) -> str:
    """Write a PNG about a report, as its JSON has it; return why there is nothing to draw, "" if there was."""
    halves = [half for half, workload, key in ((_latency, "latency", "raw_seconds"), (_stream, "pictures", "curve"))
              if "sersync-py" in _rows(report, workload, key)]
    if not halves:
        return "no picture: neither `latency` nor `pictures` was measured"
    mpl.rcParams["font.family"] = "DejaVu Sans"
    figure, axes = plt.subplots(1, len(halves), figsize=(6.6 * len(halves), 5.4), squeeze=False)
    for half, place in zip(halves, axes[0]):
        half(place, report)
    figure.text(0.012, 0.012, _origin(report["machine"]), fontsize=7.5, color="#888888")
    figure.subplots_adjust(left=0.11 / len(halves), right=1 - 0.03 / len(halves), bottom=0.28, top=0.9, wspace=0.17)
    figure.savefig(path, dpi=150, facecolor="white")
    plt.close(figure)
    return ""
