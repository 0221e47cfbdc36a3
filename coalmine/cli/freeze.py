"""``coalmine freeze`` and ``coalmine unfreeze``: times in which nothing may start, and the emergency brake."""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser, duration


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("service", metavar="SERVICE", nargs="?", help="one service (default: all of the environment)")
    parser.add_argument(
        "-e",
        "--environment",
        metavar="NAME",
        default=os.environ.get("COALMINE_ENVIRONMENT") or None,
        help="environment (default: COALMINE_ENVIRONMENT)",
    )
    parser.add_argument("--everywhere", action="store_true", help="every environment of this namespace")
    if verb == "freeze":
        end = parser.add_mutually_exclusive_group()
        end.add_argument("--until", metavar="TIME", type=_moment, help="such as 2026-12-27T08:00Z (default: no end)")
        end.add_argument("--for", dest="length", metavar="TIME", type=duration, help="from now, such as 2h or 3d")
        parser.add_argument(
            "--brake",
            metavar="hold|roll_back",
            choices=("hold", "roll_back"),
            help="emergency brake: pause, or roll back, everything in flight there",
        )
        parser.add_argument("--list", action="store_true", help="list what is frozen instead")
    parser.add_speaker()
    parser.add_connection()
    parser.add_output()
    parser.epilog = (
        "What is frozen is blocked at admission; a person may start it all the same: start --during-freeze. Rollouts "
        "in flight go on unless the brake is pulled, and a rollback asks nobody."
    )


def run(args: Args, out: Output) -> int:
    """Freeze, lift a freeze, or list."""
    from coalmine.cli._session import on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.errors import InputError
    from coalmine.records import EVERYWHERE, Frozen

    environment = EVERYWHERE if args.everywhere else args.environment
    if not environment:
        raise InputError("-e/--environment is missing: which one (or set COALMINE_ENVIRONMENT, or say --everywhere)")
    listing = args.verb == "freeze" and args.list
    if listing and (args.brake or args.until or args.length or args.service or args.reason):
        raise InputError("--list only shows what is frozen: leave out SERVICE, --until, --for, --brake and --reason")
    by = "" if listing else speaker(args.by)

    async def asked(coalmine: Coalmine) -> Frozen:
        if listing:
            return await coalmine.freezes(environment)
        if args.verb == "unfreeze":
            return await coalmine.unfreeze(environment, args.service, by=by)
        until = datetime.now(UTC) + args.length if args.length else args.until
        return await coalmine.freeze(
            environment, args.service, by=by, reason=args.reason, until=until, brake=args.brake
        )

    frozen = on_connection(args, asked)
    out.data({"environment": environment, **plain(frozen)}, _text(frozen, args))
    if listing and not frozen.freezes:
        out.say(f"nothing is frozen in {environment}" if environment != EVERYWHERE else "nothing is frozen everywhere")
    return 0


def _text(frozen: Args, args: Args) -> str:
    from coalmine import freezing

    if frozen.lifted is not None:
        return f"lifted: {freezing.sentence(frozen.lifted)}"
    if not args.list:
        new = next(one for one in frozen.freezes if one.service == args.service)
        return "\n".join([freezing.sentence(new), *(_braked(frozen.brake) if args.brake else [])])
    rows = [
        [freezing.place(one.environment, one.service), _end(one.until), one.by, one.reason] for one in frozen.freezes
    ]
    listed = [columns(["frozen", "until", "by", "reason"], rows)] if rows else []
    return "\n".join([*listed, *(_braked(frozen.brake) if rows and frozen.brake is not None else [])])


def _braked(brake: Args) -> list[str]:
    word = "roll back" if brake.action == "roll_back" else "hold"
    state = "nobody else is in flight" if brake.done else "still telling; freeze --list shows how far it is"
    lines = [f"emergency brake ({word}, by {brake.by}): {len(brake.told)} took it, {state}"]
    lines += [f"  {workflow_id.removeprefix('canary/')}" for workflow_id in brake.told]
    lines += [f"  {name.removeprefix('canary/')}: not yet, {why}" for name, why in brake.refused.items()]
    if brake.failure:
        lines.append(f"  the last try failed, and is repeated: {brake.failure}")
    return lines


def _end(until: datetime | None) -> str:
    from coalmine.cli._words import moment

    return moment(until.astimezone(UTC)) if until is not None else "lifted"


def _moment(text: str) -> datetime:
    """An ISO 8601 time with its zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} must be a time, such as 2026-12-27T08:00Z") from None
    if at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} names no time zone: add Z for UTC, or +01:00")
    return at
