"""``coalmine withdraw``: a version that waits behind another is not to start."""

from __future__ import annotations

from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_argument("version", metavar="VERSION", help="the version that waits (coalmine status shows the line)")
    parser.add_speaker()
    parser.add_output()
    parser.epilog = "What runs already is not withdrawn but rolled back: coalmine rollback."


def run(args: Args, out: Output) -> int:
    """Withdraw it."""
    from coalmine.cli._session import on_connection
    from coalmine.cli._who import speaker
    from coalmine.client import Coalmine
    from coalmine.records import CommandReceipt

    by = speaker(args.by)

    async def asked(coalmine: Coalmine) -> CommandReceipt:
        ref = await coalmine.find(args.rollout, args.environment, args.region)
        return await coalmine.withdraw(ref, args.version, by=by, reason=args.reason)

    receipt = on_connection(args, asked)
    out.data({**plain(receipt), "version": args.version}, receipt.message)
    return 0
