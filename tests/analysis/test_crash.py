"""The crash guard against its two likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, nchypergeom_fisher

from coalmine.analysis.channels import Counts
from coalmine.analysis.crash import Crash, ratios
from coalmine.analysis.grids import HARM_LOG_PRIOR, HARM_RATIOS
from coalmine.analysis.increments import curve


def window(x_c: int, n_c: int, x_b: int, n_b: int) -> Counts:
    return Counts(*(np.array([float(value)]) for value in (n_c, x_c, n_b, x_b)))


def test_the_ratios_end_with_the_null() -> None:
    assert ratios(1.1) == pytest.approx([*(2.0 * HARM_RATIOS), 2.0])
    assert ratios(3.0) == pytest.approx([*(3.0 * HARM_RATIOS), 3.0])
    assert len(ratios(1.1)) == 23


def test_it_is_the_weaker_of_the_level_and_the_ratio() -> None:
    looks = [(14, 20, 9, 80), (18, 20, 12, 80)]
    weights, unspent = (0.75, 0.05), 0.2
    guard = Crash.start((1,))
    levels, relatives = [], []
    for (x_c, n_c, x_b, n_b), weight in zip(looks, weights, strict=True):
        likelihood = curve(np.array([x_c]), np.array([n_c]), np.array([x_b]), np.array([n_b]), np.array(ratios(1.1)))
        guard = guard.fold(window(x_c, n_c, x_b, n_b), likelihood, float(np.log(weight)))
        levels.append([binom.pmf(x_c, n_c, share) / binom.pmf(x_c, n_c, 0.5) for share in (0.75, 0.95)])
        pmf = [nchypergeom_fisher.pmf(x_c, n_c + n_b, n_c, x_c + x_b, ratio) for ratio in ratios(1.1)]
        relatives.append(np.array(pmf[:-1]) / pmf[-1])
    level, relative = (
        unspent + (prior * (weights[0] * np.array(one[0]) * one[1] + weights[1] * np.array(one[1]))).sum()
        for one, prior in ((levels, np.array([0.5, 0.5])), (relatives, np.exp(HARM_LOG_PRIOR)))
    )
    assert guard.log_evidence(unspent) == pytest.approx(np.log(min(level, relative)), abs=1e-5)
    assert guard.log_evidence(unspent, alone=True) == pytest.approx(np.log(level))
    assert level != pytest.approx(relative, rel=0.1)


def test_without_a_baseline_the_ratio_stays_as_it_was() -> None:
    first = Crash.start((1,)).fold(window(5, 9, 5, 91), np.zeros((1, 23)), -1.0)
    alone = first.fold(window(9, 9, 0, 0), None, -1.0)
    assert (alone.relative == first.relative).all()
    assert (alone.level > first.level).all()


def test_before_the_first_look_it_says_one() -> None:
    start = Crash.start((2, 1))
    assert start.level.shape == (2, 1, 2)
    assert start.relative.shape == (2, 1, 22)
    assert start.log_evidence(1.0) == pytest.approx(np.zeros((2, 1)))
    assert start.log_evidence(0.0, alone=True) == pytest.approx(np.full((2, 1), np.log(1e-300)))
