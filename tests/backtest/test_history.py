"""A service's noise from an A/A trace."""

from __future__ import annotations

import numpy as np
import pytest

from coalmine.analysis import summarise_history
from coalmine.backtest import history_of
from coalmine.errors import InputError
from tests.backtest.traces import START, TEN, draw, errors, latency, line, ratio, read, rules


def test_it_is_what_the_ledgers_looks_would_have_said() -> None:
    rule = rules(errors(), latency())
    trace = read(draw(np.random.default_rng(1), 70), rule)
    looks = [trace.counts(look) for look in range(70)]
    known = history_of(trace, rule.metrics)
    assert known == summarise_history(looks, 10.0, rule.metrics, since=START, until=START + 69 * TEN)
    assert known.looks == 70
    assert known.load == pytest.approx(200, rel=0.01)


def test_a_window_that_caught_up_is_no_sample() -> None:
    rule = rules()
    seen = {"errors": {"baseline": ratio(9, 1000), "canary": ratio(9, 1000)}}
    lines = [line(look, seen) for look in range(70)] + [
        line(90, {"errors": {"baseline": ratio(0, 1), "canary": ratio(1, 1)}})
    ]
    assert history_of(read(lines, rule), rule.metrics).looks == 70


def test_one_look_is_refused() -> None:
    rule = rules()
    with pytest.raises(InputError, match=r"trace\.jsonl: one look says nothing of a service's noise"):
        history_of(read([line(0, {})], rule), rule.metrics)
