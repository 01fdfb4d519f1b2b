"""Lets `python -m sersync_py` do what the `sersync-py` command does."""

import sys

from sersync_py.cli import main

if __name__ == "__main__":
    sys.exit(main())
