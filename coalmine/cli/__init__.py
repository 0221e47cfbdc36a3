"""The command line: ``coalmine VERB``. Verbs are loaded when they are used, so that ``--help`` answers at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the process's exit code (docs/cli.md)."""
    from coalmine.cli._app import run

    return run(list(sys.argv[1:] if argv is None else argv))


def entry() -> NoReturn:
    """Run the verb of this process's command line, and end the process with its exit code."""
    code = main()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        from coalmine.cli._errors import BROKEN_PIPE

        code = BROKEN_PIPE
    # Not sys.exit: native threads of Temporal's SDK that outlive the loop can crash the interpreter's own ending, and
    # pipelines would see a signal in place of the outcome.
    os._exit(code)
