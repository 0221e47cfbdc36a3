"""``coalmine ledger``: is it as it was written, and if not, where was it changed; and what is old enough to go."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from coalmine.cli._ledger_place import add_ledger, ledger_of
from coalmine.cli._output import Output, columns
from coalmine.cli._parser import Args, Parser, duration

if TYPE_CHECKING:
    from activities.ledgers.stated import Stated
    from activities.ledgers.verification import Verification
    from coalmine.records import ChainTip

ACTIONS = ("verify", "prune")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=f"what to do: {', '.join(ACTIONS)}")
    add_ledger(parser)
    parser.add_argument(
        "--key",
        metavar="PEM",
        action="append",
        default=[],
        help="a public key heads may be signed with; repeatable. What no signed head vouches for is then a finding",
    )
    parser.add_argument(
        "--signed-from",
        metavar="N:HASH",
        help="with --key: heads before N are from before workers had a key, and end in HASH (the finding prints both)",
    )
    parser.add_argument(
        "--unchained",
        metavar="N:HASH",
        help="with --key: these N records are from before ledgers were chained (the finding prints both)",
    )
    parser.add_argument(
        "--allow-empty",
        action="store_true",
        help="verify, with --key: nothing was written yet, so it may be empty",
    )
    parser.add_argument(
        "--tips", metavar="FILE", help="compare with tips kept elsewhere: the -o json of an earlier verification"
    )
    parser.add_argument(
        "--connect", action="store_true", help="compare with the results of the rollouts that Temporal still holds"
    )
    parser.add_place()
    parser.add_connection()
    parser.add_output()
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        type=retention,
        help="prune: drop rollouts whose last record is older, such as 400d",
    )
    parser.add_argument("--yes", action="store_true", help="prune: really drop them; without it they are only listed")
    parser.add_argument(
        "--by", metavar="WHO", help="prune: who drops them (default: COALMINE_BY, git's user.email, or $USER@host)"
    )
    parser.epilog = (
        "verify exits with 0 when nothing was changed, with 1 when something was: stdout says which file and line. "
        "prune drops whole chains with their histories and leaves a tombstone; one that was changed stays."
    )


def run(args: Args, out: Output) -> int:
    """Do it and print."""
    from coalmine.errors import InputError

    for option, action in (
        ("older_than", "prune"),
        ("yes", "prune"),
        ("by", "prune"),
        ("tips", "verify"),
        ("connect", "verify"),
        ("allow_empty", "verify"),
    ):
        if getattr(args, option) and args.action != action:
            raise InputError(f"--{option.replace('_', '-')} belongs to coalmine ledger {action}")
    for option in ("signed_from", "unchained", "allow_empty"):
        if getattr(args, option) and not args.key:
            raise InputError(f"--{option.replace('_', '-')} belongs to --key: without a key nothing has to be signed")
    return _verify(args, out) if args.action == "verify" else _prune(args, out)


def retention(text: str) -> timedelta:
    """``400d`` on the command line; more than zero."""
    from coalmine.spec.durations import LONGEST_RETENTION

    return duration(text, LONGEST_RETENTION)


def _prune(args: Args, out: Output) -> int:
    from datetime import UTC, datetime

    from activities.ledgers.heads_reading import demand_key
    from activities.ledgers.pruning import plan, prune
    from activities.ledgers.registry import open_pages
    from activities.ledgers.sealing import reader_of, sealer_of
    from coalmine.cli import _words
    from coalmine.cli._who import speaker
    from coalmine.errors import InputError

    if args.older_than is None:
        raise InputError("--older-than is missing: say how old the last record of a rollout must be, such as 400d")
    pages = open_pages(ledger_of(args))
    if args.yes:
        demand_key(pages, sealer_of(os.environ))
    planned = plan(pages, reader_of(args.key), datetime.now(UTC) - args.older_than, _stated(args))
    gone = list(prune(pages, planned, speaker(args.by)) if args.yes else planned.old)
    data = {
        "ledger": pages.place,
        "dropped": args.yes,
        "rollouts": [
            {
                "rollout_id": one.rollout_id,
                "last": one.last.isoformat(),
                "records": one.tip.records,
                "tip": one.tip.hash,
                "histories": len(one.kept),
                "closed": one.closed,
            }
            for one in gone
        ],
        "spared": [
            {"file": report.file, "faults": [vars(fault) for fault in report.faults]} for report in planned.spared
        ],
        "young": planned.young,
    }
    rows = [
        [one.rollout_id, _words.moment(one.last), one.tip.records, "" if one.closed else "never closed"] for one in gone
    ]
    out.data(data, columns(["rollout", "last record", "records", ""], rows, right=[2]) if rows else "")
    what = f"{len(gone)} rollouts {'were' if args.yes else 'would be'} dropped, {planned.young} are younger"
    out.say(f"{pages.place}: {what}{'' if args.yes or not gone else '; --yes drops them'}")
    for report in planned.spared:
        out.say(f"kept, because it is not as it was written: {report.file}; coalmine ledger verify tells more")
    return 1 if planned.spared else 0


def _verify(args: Args, out: Output) -> int:
    from activities.ledgers.registry import open_pages
    from activities.ledgers.sealing import reader_of
    from activities.ledgers.verification import verify

    pages, reader = open_pages(ledger_of(args)), reader_of(args.key)
    kept = {**_tips(args.tips), **(_connected(args) if args.connect else {})}
    found = verify(pages, reader, kept, _stated(args))
    out.data(as_object(found, args), "\n".join(map(str, found.faults)))
    out.say(_said(found))
    for warning in _unprotected(found, args):
        out.say(f"note: {warning}")
    return 1 if found.faults else 0


def _stated(args: Args) -> Stated:
    from activities.ledgers.stated import Stated, pin_of

    mend = "copy it from the finding that coalmine ledger verify --key prints without it"
    pins = [
        pin_of(text, option, mend) if text is not None else None
        for option, text in (("--signed-from", args.signed_from), ("--unchained", args.unchained))
    ]
    return Stated(signed_from=pins[0], unchained=pins[1], empty=args.allow_empty)


def as_object(found: Verification, args: Args) -> dict[str, Any]:
    """What programs read, and what ``--tips`` reads later."""
    from activities.ledgers.verification import tips_of

    heads = found.heads
    return {
        "ledger": found.place,
        "sound": not found.faults,
        "chains": len(found.chains),
        "records": found.records,
        "unchained": found.unchained,
        "archives": found.archives,
        "unnamed_archives": found.unnamed,
        "pruned": len(heads.pruned),
        "heads": {
            "count": heads.count,
            "signed": heads.signed,
            "unchecked": heads.unchecked,
            "last_signed": heads.last_signed,
        },
        "faults": [vars(fault) for fault in found.faults],
        "more_faults": found.more,
        "compared": found.compared,
        "not_protected": _unprotected(found, args),
        "tips": {rollout_id: tip.model_dump() for rollout_id, tip in sorted(tips_of(found).items())},
        "seconds": round(found.seconds, 3),
    }


def _said(found: Verification) -> str:
    what = f"{found.records:,} records in {len(found.chains):,} chains"
    if not found.chains and not found.heads.count and not found.faults:
        return f"{found.place}: the ledger is empty"
    if not found.faults:
        return f"{found.place}: {what}: as they were written ({found.seconds:.1f} s)"
    more = f", and {found.more} more that are not listed" if found.more else ""
    return f"{found.place}: {what}: CHANGED; {len(found.faults)} findings{more}"


def _unprotected(found: Verification, args: Args) -> list[str]:
    """What this verification cannot rule out, in sentences."""
    heads, said = found.heads, []
    if found.unchained and args.key and not found.faults:
        said.append(f"{found.unchained} records are unchained: no key vouches for them, only --unchained")
    elif found.unchained:
        said.append(f"{found.unchained} records are unchained: older than the chain, so nothing proves them")
    if not heads.count:
        return said
    if not heads.last_signed and not heads.unchecked and not args.key:
        said.append(
            "the heads are not signed: whoever may write here can make the whole ledger anew, heads and all, and it "
            "would pass; give workers a key (COALMINE_LEDGER_KEY)"
        )
    elif heads.unchecked and not args.key:
        said.append("the heads are signed, but no signature was checked: name the public key with --key")
    if not args.tips and not args.connect:
        said.append(
            "a tail that was cut off together with its heads, or a chain that was made anew without heads and then "
            "signed by a worker that wrote on in it, is found only by comparing with tips kept elsewhere: --tips (the "
            "-o json of an earlier verification), or --connect"
        )
    return said


def _tips(path: str | None) -> dict[str, ChainTip]:
    if path is None:
        return {}
    import json
    from pathlib import Path

    from pydantic import TypeAdapter, ValidationError

    from coalmine.errors import InputError
    from coalmine.records import ChainTip

    mend = "name what coalmine ledger verify -o json printed"
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
        return TypeAdapter(dict[str, ChainTip]).validate_python(data["tips"])
    except OSError as error:
        raise InputError(f"--tips: {path} cannot be read ({error.strerror or error}): {mend}") from None
    except (ValueError, KeyError, TypeError, RecursionError, ValidationError):
        raise InputError(f"--tips: {path} holds no tips: {mend}") from None


def _connected(args: Args) -> dict[str, ChainTip]:
    from coalmine.cli._session import on_connection

    return on_connection(args, lambda coalmine: coalmine.ledger_tips(args.environment, args.region))
