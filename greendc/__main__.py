"""`python -m greendc` is the `greendc` command."""

import sys

from greendc.cli import main

sys.exit(main())
