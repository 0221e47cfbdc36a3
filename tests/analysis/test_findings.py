"""The order in which things matter, and the words for it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coalmine.analysis.findings import Case, conclude, leading
from coalmine.records import Finding, MetricVerdict

NEEDED = math.log(100)


def verdict(name: str, *, role: str = "guardrail", no_harm: bool = False) -> MetricVerdict:
    return MetricVerdict(verdict="inconclusive", metric=name, role=role, sentence=f"{name} is so", no_harm=no_harm)


BOTH = [verdict("errors"), verdict("latency", no_harm=True), verdict("retries", role="signal")]


def concluded(**case: Any) -> tuple[Finding, str]:
    nothing: dict[str, Any] = {"verdicts": BOTH, "harm": 0.0, "crash": 0.0, "alpha": 0.01, "silent": {}}
    return conclude(Case(**(nothing | case)))


def test_a_crash_comes_first() -> None:
    everything: dict[str, Any] = {
        "crash": NEEDED,
        "crashed": ["errors"],
        "sample_ratio": "the sample ratio is off",
        "harm": 9.0,
        "harmful": ["latency"],
        "signals": ["retries"],
        "silent": {"errors": "stale"},
    }
    assert concluded(**everything) == (
        Finding.CRASH,
        "the canary crashes: errors is so; evidence 100 to 1, 100 to 1 needed (alpha 1 %)",
    )
    less = everything | {"crash": NEEDED - 1e-6}
    assert concluded(**less) == (Finding.SAMPLE_RATIO, "the sample ratio is off")
    assert concluded(**(everything | {"crashed": []}))[0] is Finding.SAMPLE_RATIO
    less = less | {"sample_ratio": ""}
    reason = "harm: latency is so; evidence 8,103 to 1, 100 to 1 needed (alpha 1 %)"
    assert concluded(**less) == (Finding.HARM, reason)
    assert concluded(**less, bake=True) == (Finding.HARM, reason.replace("harm:", "limit violated:"))
    assert concluded(**less, unsure="a human decides") == (Finding.HARM_UNSURE, f"{reason}; a human decides")
    assert concluded(**(less | {"harm": NEEDED}))[0] is Finding.HARM
    less = less | {"harm": NEEDED - 1e-6}
    assert concluded(**less) == (Finding.SIGNAL, "a signal fails: retries is so")
    less = less | {"signals": []}
    assert concluded(**less) == (Finding.NO_DATA, "no data: errors: stale")
    both = less | {"silent": {"errors": "stale", "latency": "gone"}}
    assert concluded(**both) == (Finding.NO_DATA, "no data: errors: stale; latency: gone")
    less = less | {"silent": {}}
    assert concluded(**less) == (Finding.UNDECIDED, "neither harm nor no harm is shown yet: errors is so")


def test_no_harm_needs_all_guardrails_and_no_signal() -> None:
    clean = [verdict("errors", no_harm=True), verdict("latency", no_harm=True), verdict("retries", role="signal")]
    assert concluded(verdicts=clean) == (Finding.NO_HARM, "no harm is shown: errors is so; latency is so")
    signals = [verdict("retries", role="signal", no_harm=True)]
    assert concluded(verdicts=signals) == (
        Finding.UNDECIDED,
        "neither harm nor no harm is shown yet: no guardrail",
    )


def test_in_the_bake_what_is_not_violated_is_no_harm() -> None:
    assert concluded(bake=True) == (
        Finding.NO_HARM,
        "no absolute limit is violated: errors is so; latency is so",
    )
    assert concluded(bake=True, verdicts=BOTH[2:]) == (Finding.NO_HARM, "no absolute limit is violated: no guardrail")


def test_names_without_a_sentence_are_said_by_name() -> None:
    assert concluded(harm=9.0, harmful=["a", "b"])[1].startswith("harm: a and b; evidence 8,103 to 1")


def test_alpha_sets_what_is_needed() -> None:
    found, reason = concluded(harm=math.log(20), harmful=["errors"], alpha=0.05)
    assert found is Finding.HARM
    assert reason.endswith("evidence 20 to 1, 20 to 1 needed (alpha 5 %)")
    assert concluded(harm=math.log(20) - 0.01, alpha=0.05)[0] is Finding.UNDECIDED


def test_what_carries_the_sum_is_an_even_share_or_more() -> None:
    assert leading({}, 3.0) == []
    assert leading({"a": 3.0}, 3.0) == ["a"]
    even = {"a": 1.0, "b": 1.0}
    assert leading(even, 1.0 + math.log(2)) == ["a", "b"]
    assert leading({"a": 1.0, "b": 0.9}, float(math.log(math.e + math.exp(0.9)))) == ["a"]
    assert leading({"a": 1.0, "b": -math.inf, "c": 0.99}, math.log(math.e + math.exp(0.99))) == ["a", "c"]


@pytest.mark.parametrize(("less", "count"), [(5e-10, 2), (5e-9, 1)])
def test_rounding_does_not_part_equals(less: float, count: int) -> None:
    total = math.log(2.0)
    assert len(leading({"a": 0.0, "b": -less}, total)) == count
