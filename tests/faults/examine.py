"""I1 to I6 after a rollout, from the proxies, the ledger's files and what its histories say."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from temporalio.client import Client

from activities.evaluation import numerics
from activities.ledgers.file_pages import FilePages
from activities.ledgers.sealing import SealReader
from activities.ledgers.verification import verify
from benchmarks.ground import Ground
from coalmine.local.envoy import EnvoyProxy
from coalmine.records import (
    GUARD_RESTORE,
    EvaluateRequest,
    Evaluation,
    GuardRestoreRequest,
    LedgerEntry,
    LedgerKey,
)
from tests.faults.told import Rise, Told
from tests.faults.witness import ledger

Held = dict[tuple[int, float], set[LedgerKey]]
"""What the ledger's files held when a generation with this share of the canary, in percent, was first seen in a route.

By the share too: a change by hand may come first to the generation that the rollout takes next, whose own write is
refused then, and never seen.
"""


def rises(history: Told, held: Held) -> list[str]:
    """I4: no weight rose before the ledger had the decision that allowed it. I2: none rose above what that allowed.

    Args:
        history: In which order the rollout's history has the ledger's answers and its writes of the route.
        held: What the ledger's files held when a write was first seen.
    """
    wrong: list[str] = []
    for rise in history.rises:
        what = f"{rise.share:g} % (generation {rise.generation})"
        if rise.decision is None:
            wrong.append(f"I4: {what} was ordered, and no decision allows it")
        elif rise.spent:
            wrong.append(f"I4: {what} was ordered, and its decision was never handed over: {rise.named} allowed less")
        elif rise.share not in rise.allowed:
            most = ", ".join(f"{share:g} %" for share in sorted(rise.allowed))
            wrong.append(f"I2: {what} was ordered, and its decision {rise.named} allows {most}")
        elif not rise.had_it:
            wrong.append(f"I4: {what} was ordered before the ledger had taken its decision {rise.named}")
        elif not _held(rise, history.rises, held):
            wrong.append(f"I4: {what} was written while the ledger's files lacked its decision {rise.named}")
    return wrong


def _held(rise: Rise, every: Sequence[Rise], held: Held) -> bool:
    """Whether the files had a decision for this share whenever it was first seen, under this generation or a later one.

    Under a later one because a write that is refused is ordered again under the next. A run that takes over after a
    reset orders the write that it forgot under the same generation: which of the two was seen first is not told, so
    that the decision of either is one.
    """
    decisions = {other.decision for other in every if other.write == rise.write}
    return all(
        not decisions.isdisjoint(entries)
        for (generation, share), entries in held.items()
        if generation >= rise.generation and share == rise.write[1]
    )


def in_ledger(folder: Path, service: str) -> set[LedgerKey]:
    """Keys of all entries the ledger's files hold now for a service; a line that is being written is none yet."""
    found: set[LedgerKey] = set()
    for path in (folder / "ledger").glob(f"*/{service}/*.jsonl"):
        *whole, _ = path.read_text().split("\n")
        found |= {LedgerEntry.model_validate_json(line).key for line in whole}
    return found


async def at_rest(ground: Ground, route: str, history: Told, guarded: dict[int, float]) -> list[str]:
    """I1 and the end of I3: every proxy shows what the outcome names; that of a cancelled rollout is in its record."""
    terminated = history.closed == "terminated"
    promoted = history.promoted or history.left_alone if terminated else history.outcome == "promoted"
    # What was promoted stays so where a reset begins it anew after its window: nothing is left to do.
    wanted = 100.0 if promoted or (history.outcome == "blocked" and history.left_promoted) else 0.0
    if not history.generations and guarded:
        # It never wrote: terminated or taken back before its first step. The one before it was promoted and put back by
        # the harness's hand: a change by hand, which the guard mends. What it ordered last has to be on every proxy.
        wanted = guarded[max(guarded)]
    wrong: list[str] = []
    for envoy in ground.envoys[route]:
        shown = await _share(ground, envoy)
        if shown != wanted:
            why = history.outcome or history.closed
            wrong.append(f"I1: a proxy shows {shown:g} % at rest, {why} wants {wanted:g} %")
    return wrong


def mended(history: Told, guarded: Collection[int]) -> list[str]:
    """I1 where the guard was faster than whoever looks: a rollout that came to its end leaves it nothing to put back.

    What the guard wrote for a release before this one is older than the first write of this one.
    """
    if history.closed not in ("completed", "canceled") or not history.generations:
        return []
    after = sorted(generation for generation in guarded if generation > max(history.generations))
    return [f"I1: the guard had to put back what it left, under generations {after}"] if after else []


async def _share(ground: Ground, envoy: EnvoyProxy) -> float:
    """What a proxy shows; on a busy machine it may take some asking."""
    for _ in range(5):
        with suppress(TimeoutError):
            return await ground.canary_share(envoy)
    return float("nan")


async def guarded(client: Client, guard: str) -> dict[str, dict[int, float]]:
    """What the traffic guard's history ordered, by the rollout it wrote for: the canary's share by generation."""
    ordered: dict[str, dict[int, float]] = {}
    async for run in client.list_workflows(f"WorkflowId = '{guard}'"):
        async for event in client.get_workflow_handle(guard, run_id=run.run_id).fetch_history_events():
            scheduled = event.activity_task_scheduled_event_attributes
            if scheduled.activity_type.name == GUARD_RESTORE.name:
                request = GuardRestoreRequest.model_validate_json(scheduled.input.payloads[0].data)
                watched = request.watched
                share = watched.rest.get(watched.canary, 0.0)
                ordered.setdefault(watched.workflow_id, {})[request.generation] = share
    return ordered


def by_generation(history: Told, guarded: Mapping[int, float]) -> dict[int, set[float]]:
    """What was ordered for the canary, in percent, by the rollout's histories and the guard's."""
    ordered = {generation: set(shares) for generation, shares in history.shares.items()}
    for generation, share in guarded.items():
        ordered.setdefault(generation, set()).add(share)
    return ordered


def cancels(history: Told) -> list[str]:
    """I1 where somebody cancelled: heard, never followed by a promotion, and its outcome said alike everywhere."""
    wrong: list[str] = []
    if history.deaf:
        wrong.append(f"I1: it was cancelled, and completed as {history.outcome} all the same")
    if history.cancelled_before_promoted:
        wrong.append("I1: it was promoted after it had been cancelled")
    if history.closed in ("completed", "canceled") and len({history.outcome, history.recorded, history.shown}) > 1:
        said = f"its result {history.outcome}, its record {history.recorded}, its search attribute {history.shown}"
        wrong.append(f"I4: the outcome is not one: {said}")
    return wrong


def strangers(history: Told, seen: list[list[int]], before: int, guarded: Collection[int]) -> list[str]:
    """I6: whatever was written, this rollout's history or the guard's had ordered."""
    strange = (
        {generation for file in seen for generation in file if generation > before} - history.generations - set(guarded)
    )
    return [f"I6: generations nobody's history ordered: {sorted(strange)}"] if strange else []


def fences(seen: list[list[int]], contents: Sequence[Mapping[int, Collection[str]]]) -> list[str]:
    """I3: no file went back, nor held two things under one generation.

    After a reset the way back can have the generation of the write it forgot. No proxy refuses a route here, after
    which the router puts back what was there under the same generation.
    """
    wrong = ["I3: a file went back to an older generation"] if any(file != sorted(file) for file in seen) else []
    double = sorted({number for file in contents for number, versions in file.items() if len(versions) > 1})
    return [*wrong, *(f"I3: a file held two things under generation {number}" for number in double)]


def record(history: Told, folder: Path, runs: list[str]) -> list[str]:
    """I4: the ledger's files hold all that any run was told they hold, each entry once, and nothing else.

    Of a run that was terminated, by hand or by a reset, the traffic guard says that it has kept the history.
    """
    wrong: list[str] = []
    closed = history.closed in ("completed", "canceled")
    for rollout_id in {key[0] for key in history.ledger}:
        entries = [LedgerEntry.model_validate(entry) for entry in ledger(folder, rollout_id)]
        held = [entry.key for entry in entries]
        if len(held) != len(set(held)):
            wrong.append(f"I4: the ledger of {rollout_id} has an entry twice: {sorted(held)}")
        sequences = {entry.sequence for entry in entries}
        if sequences != set(range(1, len(sequences) + 1)):
            wrong.append(f"I4: the ledger of {rollout_id} has the sequences {sorted(sequences)}")
        strange = [e for e in entries if history.ledger.get(e.key) != e.kind and not _by_guard(e, runs)]
        wrong += [
            f"I4: {entry.kind} {entry.key} by {entry.by or 'the rollout'} is not in the history" for entry in strange
        ]
        outcomes = [entry.data["outcome"] for entry in entries if entry.kind == "closed"]
        if closed and history.outcome not in outcomes[-1:]:
            wrong.append(f"I4: the entries that close {rollout_id} say {outcomes}, not {history.outcome}")
        lost = {key for key in history.acknowledged if key[0] == rollout_id} - set(held)
        wrong += [f"I4: {history.ledger[key]} {key} was said to be written, and is not there" for key in sorted(lost)]
    if closed and not history.ledger:
        wrong.append("I4: nothing was handed to the ledger")
    return wrong


def _by_guard(entry: LedgerEntry, runs: list[str]) -> bool:
    return (entry.kind, entry.by) == ("archived", "guard") and entry.data["run_id"] in runs


def chains(folder: Path) -> list[str]:
    """I4 for the whole ledger at the end: its chains, heads and kept histories, verified."""
    found = verify(FilePages(folder / "ledger"), SealReader())
    # A worker that died between a line and its head leaves the line unanchored until the next one: nothing is lost.
    return [f"I4: {f}" for f in found.faults if f.kind != "unanchored"]


def verdicts(history: Told) -> list[str]:
    """I5: judged again here, every look's counts give the very evaluation the history holds."""
    for asked, answered in history.judged:
        again = numerics()(EvaluateRequest.model_validate_json(asked))
        if again != Evaluation.model_validate_json(answered):
            return ["I5: the same counts give another evaluation"]
    return []
