"""``coalmine guard``: routes that no live rollout owns, looked at, told of and restored."""

from __future__ import annotations

from datetime import timedelta

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser, duration


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("--every", type=duration, metavar="TIME", help="between two looks (default: 1m)")
    parser.add_argument(
        "--policy",
        choices=("restore", "tell"),
        metavar="POLICY",
        help="restore: put back what nobody owns; tell: only tell people (default: restore)",
    )
    parser.add_argument(
        "--grace", type=_grace, metavar="TIME", help="how long a finding lasts before it is restored (default: 2m; 0s)"
    )
    parser.add_argument("--off", action="store_true", help="turn the guard off")
    parser.add_argument("--status", action="store_true", help="show what it found; changes nothing")
    parser.add_argument(
        "-e",
        "--environment",
        metavar="NAME",
        default=_environment(),
        help="environment (default: COALMINE_ENVIRONMENT)",
    )
    parser.add_argument(
        "--by", metavar="WHO", help="who says so (default: COALMINE_BY, git's user.email, or $USER@host)"
    )
    parser.add_connection()
    parser.add_output()
    parser.epilog = "Options that are not given keep what the guard has. --status exits 0 also when something is found."


def run(args: Args, out: Output) -> int:
    """Turn it on, change it, turn it off, or show it."""
    from coalmine import guard_client
    from coalmine.cli._session import on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.errors import InputError
    from coalmine.records import GuardSettings, GuardStatus

    if not args.environment:
        raise InputError("-e/--environment is missing: which environment's routes (or set COALMINE_ENVIRONMENT)")
    changes = {name: getattr(args, name) for name in ("every", "policy", "grace") if getattr(args, name) is not None}
    if args.status + args.off + bool(changes) > 1:
        raise InputError(
            "--status, --off and settings (--every, --policy, --grace) exclude each other: use one of them"
        )
    by = "" if args.status or args.off else speaker(args.by)

    async def asked(coalmine: Coalmine) -> GuardStatus:
        client = coalmine.temporal
        if args.off:
            return await guard_client.turn_off(client, args.environment)
        if args.status:
            return await guard_client.status(client, args.environment)
        now = await guard_client.status(client, args.environment)
        before = now.settings if now.running else GuardSettings()
        return await guard_client.turn_on(client, args.environment, before.model_copy(update={**changes, "by": by}))

    status = on_connection(args, asked)
    out.data(plain(status), _text(status))
    return 0


def _text(status: Args) -> str:
    from coalmine.guard_page import not_taken_text, said, settings_text, stuck_text

    name = f"the guard of {status.environment}"
    if not status.running:
        return f"{name} is off"
    lines = [f"{name} {settings_text(status.settings)}"]
    if status.last_look is not None:
        at = f"{status.last_look:%Y-%m-%d %H:%M:%S} UTC"
        lines.append(f"look {status.looks} at {at}: {status.looked} routes at rest, {status.live} live rollouts")
    if status.failure:
        lines.append(f"the last look did not see everything: {status.failure}")
    if status.archive_failure:
        lines.append(f"a history could not be kept, and is tried again: {status.archive_failure}")
    lines += [text] if (text := not_taken_text(status)) else []
    lines += [stuck_text(one) for one in status.stuck]
    rows = [
        [
            opened.finding.workflow_id.removeprefix("canary/"),
            opened.finding.kind,
            f"{opened.since:%H:%M:%S}",
            said(opened),
        ]
        for opened in status.findings
    ]
    if rows:
        lines.append(columns(["route of", "finding", "since", "what"], rows))
    elif status.last_look is not None:
        lines.append("no finding is open")
    return "\n".join(lines)


def _grace(text: str) -> timedelta:
    return timedelta(0) if text.strip() in ("0", "0s") else duration(text)


def _environment() -> str | None:
    import os

    return os.environ.get("COALMINE_ENVIRONMENT") or None
