"""``coalmine worker``: run a worker in the foreground."""

from __future__ import annotations

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes; the connection comes from the environment, as docs/worker.md tells."""
    parser.add_argument(
        "--create-missing", action="store_true", help="create the namespace and the search attributes when missing"
    )
    parser.add_connection()
    parser.add_output()
    parser.epilog = "Serves until SIGTERM, then drains. Its log goes to stderr. Settings: docs/worker.md."


def run(args: Args, out: Output) -> int:
    """Serve."""
    import os

    import worker

    if args.profile:
        os.environ["TEMPORAL_PROFILE"] = args.profile
    code = worker.main(["--create-missing"] if args.create_missing else [])
    if out.is_json:
        out.data({"served": code == 0, "exit": code}, "")
    return code
