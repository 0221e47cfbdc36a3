"""``python -m coalmine.cli``: the same as ``coalmine``."""

from coalmine.cli import entry

entry()
