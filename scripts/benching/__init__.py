"""The parts of scripts/bench: rig and trees below, peers on them, workloads on those, table and picture on top."""
