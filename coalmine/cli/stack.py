"""``coalmine up`` and ``coalmine down``: the local stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._output import Output, pairs
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.local.stack import Stack


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "--folder", metavar="PATH", help="where its files are (default: COALMINE_HOME, or .coalmine/local here)"
    )
    parser.add_output()
    if verb == "up":
        parser.epilog = "Every other verb finds the stack from the same folder, unless TEMPORAL_ADDRESS is set."


def run(args: Args, out: Output) -> int:
    """Start or stop it."""
    from coalmine.local.stack import default_folder

    folder = Path(args.folder).absolute() if args.folder else default_folder()
    return _up(folder, out) if args.verb == "up" else _down(folder, out)


def _up(folder: Path, out: Output) -> int:
    import asyncio
    from dataclasses import asdict

    from coalmine.local.signals import cancelled_by_signals
    from coalmine.local.stack import SERVICE, default_folder, up

    out.say("starting Temporal, Envoy, Prometheus, the demo service and a worker ...")

    async def start() -> Stack:
        with cancelled_by_signals():
            return await up(folder)

    stack = asyncio.run(start())
    out.data(asdict(stack), _text(stack, SERVICE))
    if folder != default_folder():
        out.say(f"other verbs find it with: export COALMINE_HOME={folder}")
    out.say("stop it with: coalmine down")
    return 0


def _down(folder: Path, out: Output) -> int:
    from coalmine.local.stack import down

    stopped = down(folder)
    out.data({"folder": str(folder), "stopped": stopped}, f"stopped: {', '.join(stopped)}" if stopped else "")
    if not stopped:
        out.say(f"nothing runs from {folder}")
    return 0


def _text(stack: Stack, service: str) -> str:
    return pairs(
        {
            "temporal": f"{stack.temporal['address']}, namespace {stack.temporal['namespace']}",
            "ui": stack.temporal.get("ui", ""),
            "envoy": f"{stack.envoy['url']} (route {service}; admin {stack.envoy['admin']})",
            "route file": stack.envoy["route_file"],
            "prometheus": stack.prometheus["url"],
            "backends": ", ".join(f"{slot} on port {port}" for slot, port in stack.slots.items()),
            "logs": stack.logs,
        }
    )
