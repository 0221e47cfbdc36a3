"""Statistics of a test that looks once only, by statsmodels: what people know from elsewhere, beside our own figures.

Nothing here decides anything. A judge that looks at every window may not use it: read repeatedly, such intervals miss
the truth far more often than they say. statsmodels is the extra ``statistics`` and is imported on the first use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
from numpy.typing import NDArray

from coalmine.errors import MissingExtra

EXTRA = "statistics"
RARE = 100_000
"""Requests per event at which an odds ratio is a ratio of rates, to five digits."""
ENOUGH = 5.0
"""Events that must be expected in the smallest cell for a normal approximation (Mantel and Fleiss 1980)."""

IMPOSSIBLE = 1e-60
"""Numbers of events that are less likely are left out of an exact law."""


@dataclass(frozen=True)
class Table:
    """Events out of requests of both arms, under the same conditions (one step, one route)."""

    canary_events: int
    canary_total: int
    baseline_events: int
    baseline_total: int

    @staticmethod
    def of_rates(canary_events: int, canary_exposure: float, baseline_events: int, baseline_exposure: float) -> Table:
        """Events over exposures, in any unit both arms share; the odds ratio is then that of the rates."""
        scale = RARE * max(canary_events + baseline_events, 1) / min(canary_exposure, baseline_exposure)
        canary, baseline = (round(exposure * scale) for exposure in (canary_exposure, baseline_exposure))
        return Table(canary_events, canary, baseline_events, baseline)

    @property
    def tells(self) -> bool:
        """Whether both arms have requests, and some but not all of them are events."""
        return self.canary_total > 0 and self.baseline_total > 0 and 0 < self.events < self.total

    @property
    def events(self) -> int:
        """Of both arms."""
        return self.canary_events + self.baseline_events

    @property
    def total(self) -> int:
        """Requests of both arms."""
        return self.canary_total + self.baseline_total

    def cells(self) -> NDArray[np.float64]:
        """Events and the rest, canary first, [2, 2]."""
        return np.array(
            [
                [self.canary_events, self.canary_total - self.canary_events],
                [self.baseline_events, self.baseline_total - self.baseline_events],
            ],
            float,
        )


@dataclass(frozen=True)
class Estimate:
    """The odds ratio canary over baseline after one look.

    ``effect``, ``low`` and ``high`` are None where fewer than ``ENOUGH`` events are expected in a cell, ``chance``, the
    two-sided p-value of no difference, where there is nothing to compare.
    """

    effect: float | None = None
    low: float | None = None
    high: float | None = None
    chance: float | None = None


def missing() -> str:
    """Which extra to install; empty when it is there."""
    try:
        _statsmodels()
    except MissingExtra as error:
        return str(error)
    return ""


def odds_ratio(tables: Sequence[Table], alpha: float) -> Estimate:
    """The common odds ratio of these strata, whatever the level of each.

    Mantel-Haenszel with the variance of Robins, Breslow and Greenland (1986), for one stratum the logit interval. The
    p-value is Mantel-Haenszel's too, without continuity correction; with few events the exact one, given all margins,
    for one stratum Fisher's.

    Args:
        tables: strata, such as the steps of a rollout; those that tell nothing are left out.
        alpha: of the two-sided interval, 0-1 exclusive.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    module = _statsmodels()
    telling = [table for table in tables if table.tells]
    if not telling:
        return Estimate()
    if _smallest(telling) < ENOUGH:
        return Estimate(chance=_exact(telling))
    # Loaded where it is called: half a second, which a command that shows no such statistic need not wait.
    from scipy.special import chdtrc

    strata = module.StratifiedTable([table.cells() for table in telling])
    # The statistic, because its own p-value is 1 less a probability: nothing below 1e-16 is told apart from 0.
    chance = float(chdtrc(1, strata.test_null_odds(correction=False).statistic))
    (a, b), (c, d) = strata.table.astype(float)
    if not (a * d).any() or not (b * c).any():
        return Estimate(chance=chance)
    low, high = strata.oddsratio_pooled_confint(alpha=alpha)
    return Estimate(float(strata.oddsratio_pooled), float(low), float(high), chance)


def _smallest(tables: Sequence[Table]) -> float:
    """How far the expected number of the canary's events is from the fewest and the most there could be."""
    expected = fewest = most = 0.0
    for table in tables:
        expected += table.events * table.canary_total / table.total
        fewest += max(0, table.events - table.baseline_total)
        most += min(table.events, table.canary_total)
    return min(expected - fewest, most - expected)


def _exact(tables: Sequence[Table]) -> float:
    """P(the canary's events are so many, or any number no likelier), given events and requests of each stratum."""
    from scipy.special import softmax

    law, first = np.ones(1), 0
    for table in tables:
        fewest, most = max(0, table.events - table.baseline_total), min(table.events, table.canary_total)
        # Neighbours' ratios, because factorials of large totals leave no digits for their differences.
        k = np.arange(fewest, most, dtype=float)
        others = table.baseline_total - table.events + k + 1.0
        steps = np.log((table.events - k) * (table.canary_total - k)) - np.log((k + 1.0) * others)
        own = softmax(np.concatenate([[0.0], np.cumsum(steps)]))
        possible = np.flatnonzero(own > IMPOSSIBLE)
        law = np.convolve(law, own[possible[0] : possible[-1] + 1])
        first += fewest + int(possible[0])
    at = sum(table.canary_events for table in tables) - first
    if not 0 <= at < law.size:
        return 0.0
    # Numbers that are equally likely differ by rounding.
    return min(1.0, float(law[law <= law[at] * (1 + 1e-7)].sum()))


def holm(chances: Sequence[float], tests: int | None = None) -> list[float]:
    """P-values adjusted for their number (Holm 1979), in the order they came.

    Args:
        chances: p-values.
        tests: how many were made, when some of them are not at hand: those are taken for 1, which adjusts the others
            by no less than knowing them would.

    Raises:
        MissingExtra: statsmodels is not installed.
    """
    module = _statsmodels()
    if not chances:
        return []
    unknown = max((tests or 0) - len(chances), 0)
    adjusted = module.multipletests([*chances, *[1.0] * unknown], method="holm")[1]
    return [float(value) for value in adjusted[: len(chances)]]


def _statsmodels() -> SimpleNamespace:
    """The few names that are used, so that the rest of statsmodels is never loaded."""
    try:
        from statsmodels.stats.contingency_tables import StratifiedTable
        from statsmodels.stats.multitest import multipletests
    except ImportError as error:
        raise MissingExtra(EXTRA, "what a test would say that looks once") from error
    return SimpleNamespace(StratifiedTable=StratifiedTable, multipletests=multipletests)
