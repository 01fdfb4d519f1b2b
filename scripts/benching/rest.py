"""The workload of none: what an agent costs that has nothing to do."""
import time

from .latency import COLD_WARM, QUIET
from .peers import Peer, started
from .processes import offspring, status_number
from .rig import Rig, rig_in
from .setting import Numbers, Setting

SECONDS = 30.0


def idle(peer: Peer, setting: Setting) -> Numbers:
    """30 s of nothing, begun when no session waits any more: wake-ups, processor time, processes, connections."""
    seconds = SECONDS * setting.scale
    with rig_in(setting.fast) as rig, started(peer, rig, [rig.remote()], warm=COLD_WARM) as run:
        time.sleep(COLD_WARM + QUIET + 3)
        woken, cpu = status_number(run.pid, "voluntary_ctxt_switches"), run.cpu()
        time.sleep(seconds)
        woken = status_number(run.pid, "voluntary_ctxt_switches") - woken
        return {"seconds": seconds, "woken": woken * 60 / seconds, "cpu": run.cpu() - cpu,
                "processes": offspring(run.pid), "connections": _connections(rig),
                "idle": status_number(run.pid, "VmRSS") / 1024}


def _connections(rig: Rig) -> int:
    """How many connections to the daemon are open."""
    wanted = f":{rig.port:04X}"
    with open("/proc/net/tcp") as handle:
        rows = [line.split() for line in handle][1:]
    return sum(row[2].endswith(wanted) and row[3] == "01" for row in rows)
