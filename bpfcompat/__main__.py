"""`python -m bpfcompat`."""

import sys

from bpfcompat.cli import main

sys.exit(main())
