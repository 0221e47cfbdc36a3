"""``coalmine completion``: a script with which a shell completes verbs, options, their values and files."""

from __future__ import annotations

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

SHELLS = ("bash", "zsh", "fish")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("shell", metavar="SHELL", choices=SHELLS, help=", ".join(SHELLS))
    parser.add_output()
    parser.epilog = "The first line of the script says where it belongs."


def run(args: Args, out: Output) -> int:
    """Print the script."""
    from coalmine.cli._completing import script

    text = script(args.shell)
    out.data({"shell": args.shell, "script": text}, text)
    return 0
