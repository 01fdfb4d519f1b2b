"""What scripts/bench runs."""
import os
import sys

from .command import main

if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)  # it was for us, not for what we start
    sys.exit(main())
