"""The p-values of a diagnosis, adjusted for how many values were looked at (Holm)."""

from __future__ import annotations

from coalmine import fixed_sample
from coalmine.records import Diagnosis


def adjusted(diagnosis: Diagnosis) -> Diagnosis:
    """The same with ``Contribution.adjusted`` over all values of all labels; those that are folded count as tests.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    raw = [value.p for ranking in diagnosis.rankings for value in ranking.values if value.p is not None]
    folded = sum(ranking.folded for ranking in diagnosis.rankings)
    left = iter(fixed_sample.holm(raw, tests=len(raw) + folded))
    rankings = [
        ranking.model_copy(
            update={
                "values": [
                    value if value.p is None else value.model_copy(update={"adjusted": next(left)})
                    for value in ranking.values
                ]
            }
        )
        for ranking in diagnosis.rankings
    ]
    return diagnosis.model_copy(update={"rankings": rankings})
