"""What a test that looks once would have said at the end, beside what the judge says at every look.

People know such figures from elsewhere and ask for them. They decide nothing: see ``coalmine.fixed_sample``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from coalmine import fixed_sample
from coalmine.fixed_sample import Estimate, Table
from coalmine.records import LedgerEntry

ALPHA = 0.01
"""Where the spec does not say another one."""


def read_once(looks: Sequence[LedgerEntry], kinds: Mapping[str, str], alpha: float) -> dict[str, str]:
    """A sentence for every ratio metric that has counts of both arms.

    The looks of one weight are a stratum, because the level may have been another one at another time; p-values are
    adjusted for the number of metrics (Holm, 1979).

    Args:
        looks: entries of the ledger; those of the bake are left out.
        kinds: of each metric, by name.
        alpha: of the judge: the interval holds 1 - alpha.

    Returns:
        By metric. Without the extra a single sentence for each that says which to install.
    """
    tables = {name: found for name, kind in kinds.items() if kind == "ratio" and (found := _tables(name, looks))}
    if absent := fixed_sample.missing():
        return dict.fromkeys(tables, f"{absent}.")
    estimates = {name: fixed_sample.odds_ratio(strata, alpha) for name, strata in tables.items()}
    tested = {name: found.chance for name, found in estimates.items() if found.chance is not None}
    adjusted = dict(zip(tested, fixed_sample.holm(list(tested.values())), strict=True))
    return {name: _said(found, adjusted.get(name), len(tested), alpha) for name, found in estimates.items()}


def _said(found: Estimate, chance: float | None, tests: int, alpha: float) -> str:
    if chance is None:
        return ""
    for_all = f", adjusted for {tests} metrics (Holm)" if tests > 1 else ""
    p = "p < 1e-12" if chance < 1e-12 else f"p = {chance:.2g}"
    if found.effect is None or found.low is None or found.high is None:
        return f"A test that looks once, at the end: {p}{for_all}; too few events for an interval."
    return (
        f"A test that looks once, at the end: x{found.effect:.3g}, between x{found.low:.3g} and x{found.high:.3g} "
        f"({100 * (1 - alpha):.4g} % of such intervals hold the truth), {p}{for_all}. Read at every look it would err "
        "far more often."
    )


def _tables(name: str, looks: Sequence[LedgerEntry]) -> list[Table]:
    """Events and requests of both arms by weight."""
    strata: dict[Any, list[int]] = {}
    for entry in looks:
        if entry.data.get("stage", "compare") != "compare":
            continue
        arms = _arms(name, entry.data.get("counts"))
        if arms is not None:
            sums = strata.setdefault(entry.data.get("weight"), [0, 0, 0, 0])
            strata[entry.data.get("weight")] = [before + more for before, more in zip(sums, arms, strict=True)]
    return [Table(*sums) for sums in strata.values()]


def _arms(name: str, counts: Any) -> list[int] | None:
    """Events and requests of canary and baseline in one look; None where the look does not hold them."""
    listed = [one for one in counts if isinstance(one, dict)] if isinstance(counts, list) else []
    found = next((one for one in listed if one.get("metric") == name), None)
    if found is None or found.get("status", "ok") != "ok":
        return None
    read: list[int] = []
    for arm in ("canary", "baseline"):
        part = found.get(arm)
        if not isinstance(part, dict):
            return None
        events, total = part.get("events"), part.get("total")
        if type(events) is not int or type(total) is not int or min(events, total) < 0:
            return None
        read += [min(events, total), total]
    return read
