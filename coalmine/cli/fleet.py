"""``coalmine ban`` and ``coalmine unban``: versions that automation may not start."""

from __future__ import annotations

from coalmine.cli._output import Output, columns, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    optional = "?" if verb == "ban" else None
    parser.add_argument("service", metavar="SERVICE", nargs=optional, help="the service")
    parser.add_argument("version", metavar="VERSION", nargs=optional, help="the version")
    if verb == "ban":
        parser.add_argument("--list", action="store_true", help="list the bans of the environment instead")
    parser.add_place(required=True)
    parser.add_speaker()
    parser.add_connection()
    parser.add_output()
    parser.epilog = "A person may still start a banned version; automation (CI) may not. A rollback bans by itself."


def run(args: Args, out: Output) -> int:
    """Ban, lift a ban, or list."""
    from coalmine.cli._session import on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.errors import InputError
    from coalmine.records import Ban

    if args.verb == "ban" and args.list:
        if args.version is not None:
            raise InputError("--list takes a service at most: leave the version out")
        return _list(args, out)
    if args.version is None:
        raise InputError("say which service and version, such as: coalmine ban checkout 1.42.0 -e production")
    by = speaker(args.by)

    async def asked(coalmine: Coalmine) -> Ban:
        act = coalmine.ban if args.verb == "ban" else coalmine.unban
        return await act(args.environment, args.service, args.version, by=by, reason=args.reason, region=args.region)

    ban = on_connection(args, asked)
    what = f"{ban.service} {ban.version} in {args.environment}" + (f"/{ban.region}" if ban.region else "")
    text = f"banned: {what}" if args.verb == "ban" else f"lifted the ban of {what} (it was by {ban.by}: {ban.reason})"
    out.data({**plain(ban), "environment": args.environment, "banned": args.verb == "ban"}, text)
    return 0


def _list(args: Args, out: Output) -> int:
    from coalmine.cli import _words
    from coalmine.cli._session import on_connection
    from coalmine.client import Coalmine
    from coalmine.records import FleetState

    async def asked(coalmine: Coalmine) -> FleetState:
        return await coalmine.bans(args.environment)

    bans = [ban for ban in on_connection(args, asked).bans if args.service in (None, ban.service)]
    rows = [[ban.service, ban.region or "", ban.version, _words.moment(ban.at), ban.by, ban.reason] for ban in bans]
    text = columns(["service", "region", "version", "since", "by", "reason"], rows) if rows else ""
    out.data({"environment": args.environment, "bans": [plain(ban) for ban in bans]}, text)
    if not rows:
        out.say(f"no version is banned in {args.environment}")
    return 0
