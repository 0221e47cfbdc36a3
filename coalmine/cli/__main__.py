"""``python -m coalmine.cli``: the same as ``coalmine``."""

import sys

from coalmine.cli import main

sys.exit(main())
