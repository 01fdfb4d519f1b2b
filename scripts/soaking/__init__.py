"""The parts of scripts/soak: hands that write, faults, vital signs, and the command on top."""
