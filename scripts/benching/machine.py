"""What machine the numbers are from."""
import os
import platform
import re
import subprocess
import sys
import time
from typing import Dict, List


def first_line(argv: List[str]) -> str:
    """The first line that a program prints, "" if it is not here."""
    try:
        answer = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    except OSError:
        return ""
    return (answer.stdout.decode("utf-8", "replace").strip().splitlines() or [""])[0]


def cpu_model() -> str:
    """The processor's name as the kernel has it."""
    with open("/proc/cpuinfo") as handle:
        found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", handle.read(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def facts(python: str) -> Dict[str, object]:
    """Cores, processor, kernel, load, versions and date; `python`: the interpreter that sersync-py runs under."""
    here = os.path.dirname(os.path.abspath(__file__))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu_model(),
        "kernel": platform.release(),
        "load": list(os.getloadavg()),
        "rsync": first_line(["rsync", "--version"]),
        "lsyncd": first_line(["lsyncd", "--version"]),
        "python": first_line([python, "--version"]),
        "bench_python": sys.version.split()[0],
        "commit": first_line(["git", "-C", here, "describe", "--always", "--dirty"]),
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }
