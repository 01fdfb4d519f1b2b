"""`python -m soaking`, as scripts/soak calls it."""

import sys

from soaking.command import main

sys.exit(main())
