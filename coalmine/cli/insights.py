"""``coalmine insights``: what the ledger tells of a period, and what people write down of one release."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from coalmine.cli._ledger_place import add_ledger, ledger_of
from coalmine.cli._output import Output, columns, pairs
from coalmine.cli._parser import Args, Parser, duration

if TYPE_CHECKING:
    from activities.ledgers.insights import Figures, Insights, Rate


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    from activities.ledgers.insights import WAS

    parser.add_argument(
        "rollout",
        metavar="NAME",
        nargs="?",
        help="a service (default: all); with --write a rollout, or its service's latest",
    )
    parser.add_place()
    add_ledger(parser)
    parser.add_argument("--since", metavar="AGE", type=_age, help="how far back (default: 90d)")
    parser.add_argument("--write", metavar="TEXT", help="keep what this release taught, in its record")
    parser.add_argument("--was", choices=WAS, metavar="WHAT", help=f"with --write: the judge was {', '.join(WAS)}")
    parser.add_argument("--by", metavar="WHO", help="with --write: who says so (default: as of approve)")
    parser.add_output()
    parser.epilog = "Reads the ledger only. What each figure counts is in docs/insights.md."


def run(args: Args, out: Output) -> int:
    """Tell, or write."""
    from coalmine.errors import InputError

    if args.write is not None:
        return _write(args, out)
    for option in ("was", "by"):
        if getattr(args, option):
            raise InputError(f"--{option} belongs to --write TEXT: say what the release taught")
    found = _read(args)
    out.data(found.as_object(), _page(found))
    if not found.total.promoted + found.total.failed + found.total.blocked:
        out.say(f"no rollout ended since {found.since:%Y-%m-%d %H:%M} UTC; --since looks further back")
    if found.untold:
        first = found.untold[0]["rollout_id"]
        out.say(f"{len(found.untold)} failed releases taught nothing yet: coalmine insights {first} --write '...'")
    return 0


def _read(args: Args) -> Insights:
    from datetime import UTC, datetime

    from activities.ledgers.events_table import events_table
    from activities.ledgers.insights import insights
    from activities.ledgers.registry import open_pages

    until = datetime.now(UTC)
    with events_table(open_pages(ledger_of(args)), _wanted(args)) as database:
        return insights(database, until - (args.since or timedelta(days=90)), until)


def _wanted(args: Args) -> Callable[[str], bool]:
    """Which chains are read: those of the books that are meant."""
    from coalmine.errors import InputError
    from coalmine.rollout_names import parse_name

    service, environment, region = None, args.environment, args.region
    if args.rollout:
        name = parse_name(args.rollout, environment, region)
        if name.version is not None:
            raise InputError(f"{args.rollout!r} is one rollout: insights tell of many; coalmine report tells of one")
        service, environment, region = name.service, name.environment, name.region

    def meant(chain: str) -> bool:
        parts = chain.split("/")[:-1]
        there = dict(zip(("environment", "service", "region"), parts, strict=False))
        asked = {"environment": environment, "service": service, "region": region}
        return all(value is None or there.get(key) == value for key, value in asked.items())

    return meant


def _write(args: Args, out: Output) -> int:
    """Append to the rollout's chain; who is faster gets the lower number, nothing is lost."""
    import asyncio
    from datetime import UTC, datetime

    from activities.ledgers.heads_reading import demand_key
    from activities.ledgers.insights import INSIGHT, next_insight
    from activities.ledgers.names import book_of, version_of
    from activities.ledgers.registry import open_pages
    from activities.ledgers.sealing import sealer_of
    from coalmine.cli._ledger_place import meant_in_ledger
    from coalmine.cli._output import plain
    from coalmine.cli._who import speaker
    from coalmine.errors import InputError
    from coalmine.records import LedgerEntry

    if not args.rollout:
        raise InputError("--write: say of which rollout, such as production/checkout/1.42.0/3 or its service")
    if not args.write.strip():
        raise InputError("--write is empty: say what the release taught, in a sentence or two")
    if len(args.write) > LONGEST:
        raise InputError(
            f"--write has {len(args.write):,} characters; at most {LONGEST:,}: name a page that says the rest"
        )
    by = speaker(args.by)
    demand_key(open_pages(ledger_of(args)), sealer_of(os.environ))

    async def write() -> LedgerEntry:
        while True:
            store, entries = await meant_in_ledger(args)
            rollout_id = entries[0].rollout_id
            book = book_of(rollout_id)
            known = dict(zip(("environment", "service", "region"), book.split("/"), strict=False))
            entry = LedgerEntry(
                kind=INSIGHT,
                rollout_id=rollout_id,
                sequence=next_insight([entry.sequence for entry in entries]),
                at=datetime.now(UTC),
                reason=args.write.strip(),
                by=by,
                data={"was": args.was} if args.was else {},
                tags={**known, "version": version_of(rollout_id)},
            )
            if await store.append(book, [entry]):
                return entry

    entry = asyncio.run(write())
    out.data(plain(entry), "")
    out.say(f"kept in the record of {entry.rollout_id}, by {entry.by}")
    return 0


LONGEST = 4_000
"""Characters of a written insight."""


def total_facts(total: Figures) -> dict[str, str]:
    """The figures of all that is meant, by name; empty ones say nothing."""
    return {
        "released": f"{total.promoted} ({total.deployments_a_week:.1f} a week)",
        "failed": f"{total.failed}; {total.blocked} more were blocked before they began",
        "lead time": _times(total.lead_median, total.lead_p90),
        "change failure": _rate(total.change_failure),
        "time to restore": _times(total.restore_median, total.restore_p90, total.restore_longest),
        "false rollbacks": _rate(total.false_rollbacks),
        "called right": str(total.called_right) if total.called_right else "",
        "missed": str(total.missed) if total.missed else "",
        "overrides": _rate(total.overrides),
        "held": f"{total.held}, of which {total.resumed_and_promoted} were resumed and promoted" if total.held else "",
    }


def _page(found: Insights) -> str:
    parts = [pairs(total_facts(found.total))]
    if len(found.services) > 1:
        head = [
            "service",
            "promoted",
            "failed",
            "a week",
            "lead time",
            "change failure",
            "false rollbacks",
            "overrides",
        ]
        parts.append(columns(head, [service_row(one) for one in found.services], right=[1, 2, 3]))
    if found.gates:
        rows = [
            [_place(gate), gate["gate"], gate["times"], span_text(gate["median"]), span_text(gate["longest"])]
            for gate in found.gates
        ]
        parts.append(columns(["slowest gates", "gate", "times", "median", "longest"], rows, right=[2]))
    if found.lessons:
        rows = [
            [one["at"][:10], one["rollout_id"], one["was"] or "", one["by"], one["text"].replace("\n", " ")]
            for one in found.lessons
        ]
        parts.append(columns(["at", "what it taught", "judge was", "by", "text"], rows))
    return "\n\n".join(parts)


def service_row(one: Figures) -> list[str]:
    """One service as a row of the table."""
    return [
        "/".join(part for part in (one.environment, one.service, one.region) if part),
        str(one.promoted),
        str(one.failed),
        f"{one.deployments_a_week:.1f}",
        span_text(one.lead_median),
        _rate(one.change_failure),
        _rate(one.false_rollbacks),
        _rate(one.overrides),
    ]


def _place(gate: dict[str, str]) -> str:
    return "/".join(part for part in (gate["environment"], gate["service"], gate["region"]) if part)


def _rate(rate: Rate) -> str:
    return "-" if rate.rate is None else f"{100 * rate.rate:.0f} % ({rate.part} of {rate.whole})"


def _times(median: float | None, most: float | None, longest: float | None = None) -> str:
    if median is None:
        return "-"
    last = f", longest {span_text(longest)}" if longest is not None else ""
    return f"median {span_text(median)}, 9 of 10 within {span_text(most)}{last}"


def span_text(seconds: float | None) -> str:
    """``4m10s``; ``-`` when it is not known."""
    if seconds is None:
        return "-"
    from coalmine.spec.durations import format_duration

    return format_duration(timedelta(seconds=round(seconds) if seconds >= 10 else round(seconds, 1)))


def _age(text: str) -> timedelta:
    from coalmine.spec.durations import LONGEST_RETENTION

    return duration(text, LONGEST_RETENTION)
