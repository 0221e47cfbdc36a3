"""The command line: ``coalmine VERB``. Verbs are loaded when they are used, so that ``--help`` answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the process's exit code (docs/cli.md)."""
    from coalmine.cli._app import run

    return run(list(sys.argv[1:] if argv is None else argv))
