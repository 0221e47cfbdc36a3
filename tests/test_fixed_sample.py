"""Statistics of one look: against exact tests, other estimates of the same thing, simulation; and without the extra."""

from __future__ import annotations

import subprocess
import sys
from math import log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, fisher_exact
from statsmodels.genmod.families import Poisson
from statsmodels.genmod.generalized_linear_model import GLM
from statsmodels.stats.contingency_tables import Table2x2
from statsmodels.stats.proportion import confint_proportions_2indep

from coalmine import fixed_sample
from coalmine.errors import MissingExtra
from coalmine.fixed_sample import Estimate, Table, holm, odds_ratio


def known(estimate: Estimate) -> tuple[float, float, float]:
    assert estimate.effect is not None
    assert estimate.low is not None
    assert estimate.high is not None
    return estimate.effect, estimate.low, estimate.high


@pytest.mark.parametrize("counts", [(46, 5_000, 90, 45_000), (30, 100, 700, 900), (10**6, 10**9, 10**9, 10**12)])
def test_one_stratum_is_the_logit_interval(counts: tuple[int, int, int, int]) -> None:
    found = known(odds_ratio([Table(*counts)], 0.01))
    published = confint_proportions_2indep(*counts, compare="odds-ratio", method="logit", alpha=0.01)
    assert found[1:] == pytest.approx(published, rel=1e-9)
    assert found[0] == pytest.approx(Table2x2(Table(*counts).cells()).oddsratio, rel=1e-12)


def test_levels_that_differ_between_steps_do_not_show_as_an_effect() -> None:
    # The baseline's rate rises tenfold while the canary's share rises fifty-fold: alike in both steps.
    steps = [Table(10, 1_000, 990, 99_000), Table(5_000, 50_000, 5_000, 50_000)]
    effect, low, high = known(odds_ratio(steps, 0.05))
    assert effect == pytest.approx(1.0, abs=0.001)
    assert low < 1 < high
    whole = Table(5_010, 51_000, 5_990, 149_000)
    assert known(odds_ratio([whole], 0.05))[1] > 2, "the steps together, as if they were one, say otherwise"


def test_rates_agree_with_a_poisson_regression() -> None:
    events, exposure = np.array([60.0, 600.0, 40.0, 20.0]), np.array([0.05, 0.95, 0.5, 0.5])
    design = np.array([[1, 1, 0], [0, 1, 0], [1, 0, 1], [0, 0, 1]], float)
    fitted = GLM(events, design, family=Poisson(), offset=np.log(exposure)).fit()
    steps = [Table.of_rates(60, 0.05, 600, 0.95), Table.of_rates(40, 0.5, 20, 0.5)]
    effect, low, high = known(odds_ratio(steps, 0.05))
    # Mantel-Haenszel and maximum likelihood weigh the steps differently: so they are near, not the same.
    width = log(high / low)
    assert log(effect) == pytest.approx(fitted.params[0], abs=width / 10)
    assert [log(low), log(high)] == pytest.approx(fitted.conf_int(alpha=0.05)[0], abs=width / 10)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 6), st.integers(1, 300), st.integers(0, 40), st.integers(40, 3_000))
def test_few_events_are_tested_exactly(canary: int, more: int, baseline: int, total: int) -> None:
    table = Table(canary, canary + more, baseline, total + baseline)
    if not table.tells:
        assert odds_ratio([table], 0.01) == Estimate()
        return
    found = odds_ratio([table], 0.01)
    assert found.chance is not None
    assert 0 <= found.chance <= 1
    if found.effect is None and fixed_sample._smallest([table]) < fixed_sample.ENOUGH:
        assert found.chance == pytest.approx(fisher_exact(table.cells().astype(int)).pvalue, rel=1e-6, abs=1e-12)


def test_few_events_of_several_steps_and_of_huge_totals() -> None:
    rates = odds_ratio([Table.of_rates(12, 0.05, 0, 0.95)], 0.01)
    assert rates.effect is None
    assert rates.chance == pytest.approx(binomtest(12, 12, 0.05).pvalue, rel=1e-2)
    rng = np.random.default_rng(5)
    steps = [Table(3, 400, 20, 9_600), Table(0, 1_000, 10, 9_000)]
    drawn = [rng.hypergeometric(s.events, s.total - s.events, s.canary_total, 200_000) for s in steps]
    law = np.bincount(drawn[0] + drawn[1]) / 200_000
    told = odds_ratio(steps, 0.01).chance
    assert told == pytest.approx(law[law <= law[3] * 1.001].sum(), abs=0.005)
    assert odds_ratio([Table(1, 10**12, 3, 10**12)], 0.01).chance == pytest.approx(0.625, rel=1e-6)
    assert odds_ratio([Table(100, 100, 50, 10**4)], 0.01).chance == pytest.approx(0.0, abs=1e-60)


def test_nothing_to_compare() -> None:
    tables = [Table(0, 100, 0, 900), Table(5, 5, 9, 9), Table(3, 9, 0, 0), Table(0, 0, 4, 9)]
    assert odds_ratio(tables, 0.01) == Estimate()
    assert odds_ratio([], 0.01) == Estimate()
    one_sided = odds_ratio([Table(40, 1_000, 0, 1_000)], 0.01)
    assert one_sided.effect is None, "no event in the baseline: the ratio has no end"
    assert one_sided.chance is not None
    assert one_sided.chance < 1e-9


def test_one_look_is_right_as_often_as_it_says_and_many_are_not() -> None:
    rng = np.random.default_rng(12)
    once, ever = 0, 0
    for _ in range(200):
        canary, baseline = rng.binomial(1_000, 0.02, 30).cumsum(), rng.binomial(9_000, 0.02, 30).cumsum()
        missed = []
        for look, (x_c, x_b) in enumerate(zip(canary.tolist(), baseline.tolist(), strict=True), 1):
            _, low, high = known(odds_ratio([Table(x_c, 1_000 * look, x_b, 9_000 * look)], 0.05))
            missed.append(not low <= 1 <= high)
        once += missed[-1]
        ever += any(missed)
    assert 1 <= once <= 20, "5 % of 200"
    assert ever > 2 * 20, "the reason why the judge does not use it"


def test_holm_of_known_and_unknown_tests() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.01], tests=5) == pytest.approx([0.05])
    assert holm([]) == []


def test_tests_that_are_not_at_hand_never_help() -> None:
    rng = np.random.default_rng(8)
    for number in (1, 2, 7, 12):
        for listed in {1, number // 2, number} - {0}:
            chances = (rng.random(number) ** 4).tolist()
            partly = holm(chances[:listed], tests=number)
            assert all(mine >= theirs - 1e-12 for mine, theirs in zip(partly, holm(chances), strict=False))


def test_without_the_extra_it_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fixed_sample.missing() == ""
    monkeypatch.setitem(sys.modules, "statsmodels.stats.multitest", None)
    assert "pip install 'coalmine[statistics]'" in fixed_sample.missing()
    for ask in (lambda: odds_ratio([], 0.01), lambda: holm([0.5])):
        with pytest.raises(MissingExtra, match="extra 'statistics'"):
            ask()


@pytest.mark.parametrize("module", ["worker", "coalmine.cli._app", "coalmine.cli.validate", "coalmine.cli.plan"])
def test_it_is_not_loaded_before_it_is_used(module: str) -> None:
    late = ["statsmodels", "pandas", "scipy.stats"]
    if module == "worker":
        # A worker that has just started serves rollbacks before it can judge.
        late += ["numpy", "scipy"]
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in {late}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
