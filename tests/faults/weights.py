"""I2: what the canary may get at most, by the decisions in a history and by the order a proxy's weights came from."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from coalmine.records import LedgerEntry, Verb

EVERYTHING = 100.0
"""Percent; after the last step."""


def allowed(entries: Iterable[LedgerEntry], steps: Sequence[float], before: float) -> frozenset[float]:
    """The shares of the canary, in percent, that these decisions allow a write to rise to.

    Args:
        entries: Those that let a weight rise, since the last one that did.
        steps: The weights of the spec's steps, in percent.
        before: What was ordered before.
    """
    return frozenset(_allows(entry, (*steps, EVERYTHING), before) for entry in entries)


def _allows(entry: LedgerEntry, weights: Sequence[float], before: float) -> float:
    step: int | None = entry.data.get("step")
    match entry.kind:
        case "override" | "promote":
            return EVERYTHING
        case "command" if entry.data.get("verb") == Verb.PROMOTE:
            return EVERYTHING
        case "admitted":
            return weights[0]
        case "look" if step is not None and step < len(weights) - 1:
            # A look names the step that it was taken in, whether it lets it advance or promotes; the word between two
            # looks the one that is due.
            return weights[step + 1]
        case "advance_due" if step is not None:
            return weights[step]
        case _:
            # A look whose step is not told: one step, whichever comes next.
            return next((weight for weight in weights if weight > before), EVERYTHING)


def unordered(shown: Collection[tuple[int, float]], ordered: Mapping[int, Collection[float]]) -> list[str]:
    """I2: what proxies showed under a generation is what was ordered under it.

    Args:
        shown: Generation and share of the canary in percent, as a proxy showed both at once.
        ordered: The shares by generation; two where a run that took over after a reset wrote under the same one. What
            nobody ordered (before the rollout, or by a stranger) is not judged here.
    """
    return [
        f"I2: a proxy showed {share:g} % under generation {generation}, where {_text(ordered[generation])} was ordered"
        for generation, share in sorted(shown)
        if generation in ordered and all(abs(share - one) > 0.01 for one in ordered[generation])
    ]


def _text(shares: Collection[float]) -> str:
    return " or ".join(f"{share:g} %" for share in sorted(shares))
