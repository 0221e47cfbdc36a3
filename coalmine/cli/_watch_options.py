"""The options of a watcher, apart from what it does with them: ``--help`` must not wait for its imports."""

from __future__ import annotations

from coalmine.cli._ci_files import ci_options
from coalmine.cli._parser import Parser, duration


def watch_options(parser: Parser) -> None:
    """When a watcher stops; the rollout never does because of it."""
    parser.add_argument(
        "--timeout", metavar="TIME", type=duration, help="stop watching after this time, such as 30m (exit 8 or 7)"
    )
    held = parser.add_mutually_exclusive_group()
    held.add_argument(
        "--leave-when-held",
        action="store_true",
        default=None,
        help="stop watching when it is held for a human (exit 8); the default when stdout is no terminal",
    )
    held.add_argument("--stay-when-held", dest="leave_when_held", action="store_false", help="go on watching")
    ci_options(parser)
