"""``coalmine backtest --from-ledger``: a past rollout, judged again by another spec."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from coalmine.cli._output import Output
from coalmine.cli._parser import Args
from coalmine.errors import InputError

if TYPE_CHECKING:
    from coalmine.backtest import Course, Rules
    from coalmine.backtest.past import Past
    from coalmine.spec.canary import CanarySpec


def judge_again(args: Args, spec: CanarySpec, rules: Rules, out: Output) -> list[Course]:
    """Judge the rollout ``args.from_ledger`` by ``rules``; its ledger is the one ``spec`` names.

    The service's history is ``args.history`` when given, else what the ledger held when the rollout began.

    Raises:
        InputError: the id is no rollout's, or the ledger does not hold it.
        LedgerError, LedgerCorrupt: the ledger cannot be read.
    """
    from coalmine.backtest import history_of, judge_traces, read_trace
    from coalmine.cli._specs import read_text

    past, known = asyncio.run(_read(args.from_ledger, spec, rules))
    if args.history is not None:
        trace = read_trace(read_text(args.history).split("\n"), args.history, rules.metrics)
        known = replace(known, history=history_of(trace, rules.metrics))
    if past.left_out:
        out.say(f"counted then and not judged now: {', '.join(past.left_out)}")
    courses = judge_traces(known, [past.trace], all_looks=args.all_looks)
    out.say(_compared(past, courses[0]))
    return courses


async def _read(rollout: str, spec: CanarySpec, rules: Rules) -> tuple[Past, Rules]:
    from activities.ledger import HISTORY_AGE, HISTORY_LOOKS
    from activities.ledgers.registry import open_ledger
    from coalmine.backtest.history import history_of_looks
    from coalmine.backtest.learnt import in_stretches, known_then
    from coalmine.backtest.past import past_rollout, promoted_before
    from coalmine.rollout_names import split_rollout_id

    exact = split_rollout_id(rollout)
    if exact is None:
        raise InputError(f"{rollout!r} is no rollout id: <environment>/<service>[/<region>]/<version>/<n>")
    book, rollout_id = exact
    store = open_ledger(spec.ledger)
    entries = await store.read(book)
    past = past_rollout(rollout_id, entries, rules.metrics)
    began = past.trace.at[0]
    earlier = promoted_before(entries, began, HISTORY_AGE)[-HISTORY_LOOKS:]
    stored = known_then(await store.split_looks(book, began - HISTORY_AGE), began)
    earlier = in_stretches([*earlier, *stored], HISTORY_LOOKS)
    return past, replace(rules, history=history_of_looks(earlier, rules.metrics))


def _compared(past: Past, course: Course) -> str:
    """What was decided then, and whether it would have been caught earlier."""
    if not past.decision or past.look is None:
        return "then nothing was decided by a look"
    text = f"then: {past.decision.replace('_', ' ')} at look {past.look}: {past.reason}"
    if past.decision != "roll_back" or course.decision != "roll_back" or course.look is None:
        return text
    sooner = past.look - course.look
    if not sooner:
        return f"{text}\nnow: at the same look"
    first, last = sorted((course.look, past.look))
    apart = (past.trace.at[last] - past.trace.at[first]).total_seconds()
    requests = max(int(column.totals[0, first + 1 : last + 1].sum()) for column in past.trace.columns.values())
    looks = f"{last - first} look{'s' * (last - first != 1)} ({apart:,.0f} s)"
    what = "earlier, {} canary requests fewer" if sooner > 0 else "later, {} canary requests more"
    return f"{text}\nnow: {looks} {what.format(f'{requests:,}')}"
