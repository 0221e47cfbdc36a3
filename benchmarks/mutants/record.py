"""What is written of a run, and how it changes with tests and explanations that were added since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.mutants.explanations import Explanations, Key
from benchmarks.mutants.population import Mutant
from benchmarks.mutants.trial import Outcome

Record = dict[str, Any]
VERDICTS = ("killed", "timeout", "survived")


@dataclass(frozen=True)
class Tried:
    """A mutant, what became of it, and how many tests it was tried on."""

    mutant: Mutant
    outcome: Outcome
    tests: int


def summed(tried: Sequence[Tried], explanations: Explanations) -> Record:
    """The sums, by operator and by file, and the survivors with their explanations.

    ``score`` is the share that was noticed, of all: mutants that no test can tell from the code count as survivors.
    """
    noticed = [one.outcome for one in tried if one.outcome.verdict == "killed"]
    record = {
        **_counts([one.outcome.verdict for one in tried]),
        "noticed_by": dict(Counter(_sort(outcome) for outcome in noticed).most_common()),
        "operators": _grouped(tried, lambda one: one.mutant.operator),
        "files": _grouped(tried, lambda one: one.mutant.file),
        "survivors": [_survivor(one) for one in tried if one.outcome.verdict == "survived"],
    }
    return explained(record, explanations)


def explained(record: Record, explanations: Explanations) -> Record:
    """The record with what ``explained.toml`` says now."""
    survivors = []
    for one in record["survivors"]:
        found = explanations.of(key_of(one))
        survivors.append(one | {"kind": found.kind if found else None, "why": found.why if found else None})
    return record | {"unexplained": sum(one["kind"] is None for one in survivors), "survivors": survivors}


def tried_again(record: Record, outcomes: Mapping[Key, Outcome]) -> Record:
    """The record after its survivors were tried again; ``score_at_first`` keeps the score before."""
    operators, files = (
        {name: dict(counts) for name, counts in record[group].items()} for group in ("operators", "files")
    )
    totals = {name: record[name] for name in VERDICTS}
    survivors = []
    for one in record["survivors"]:
        verdict = outcomes[key_of(one)].verdict
        if verdict == "survived":
            survivors.append(one)
            continue
        for counts in (totals, operators[one["operator"]], files[one["file"]]):
            counts["survived"] -= 1
            counts[verdict] += 1
    for group in (operators, files):
        group.update({name: _scored(counts) for name, counts in group.items()})
    return record | {
        **_scored(totals),
        "score_at_first": record.get("score_at_first", record["score"]),
        "operators": operators,
        "files": files,
        "survivors": survivors,
    }


def key_of(survivor: Mapping[str, Any]) -> Key:
    """A recorded survivor's ``Mutant.key``."""
    return survivor["file"], survivor["inside"], survivor["before"], survivor["after"]


def _counts(verdicts: Sequence[str]) -> Record:
    return _scored({verdict: verdicts.count(verdict) for verdict in VERDICTS})


def _scored(counts: Mapping[str, Any]) -> Record:
    number = sum(counts[verdict] for verdict in VERDICTS)
    score = round((number - counts["survived"]) / number, 4) if number else None
    return {"mutants": number, **{verdict: counts[verdict] for verdict in VERDICTS}, "score": score}


def _grouped(tried: Sequence[Tried], key: Callable[[Tried], str]) -> dict[str, Record]:
    names = sorted({key(one) for one in tried})
    return {name: _counts([one.outcome.verdict for one in tried if key(one) == name]) for name in names}


def _sort(outcome: Outcome) -> str:
    return "assertion" if outcome.how in ("AssertionError", "Failed") else outcome.how


def _survivor(one: Tried) -> Record:
    mutant = one.mutant
    return {
        "file": mutant.file,
        "line": mutant.line,
        "inside": mutant.inside,
        "operator": mutant.operator,
        "before": mutant.before,
        "after": mutant.after,
        "tests": one.tests,
    }
