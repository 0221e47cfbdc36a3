"""Numbers in plain words, to the letter."""

from __future__ import annotations

import math

import pytest

from coalmine.analysis.sentences import effect, evidence, joined, number, percent, seconds, times


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (None, "unknown"),
        (math.nan, "unknown"),
        (math.inf, "unknown"),
        (0.0, "0 %"),
        (0.0048, "0.48 %"),
        (0.000012345, "0.00123 %"),
        (0.00001, "0.001 %"),
        (0.00000987, "0.001 %"),
        (0.00000456, "0.0005 %"),
        (0.0999, "9.99 %"),
        (0.1, "10.0 %"),
        (0.12345, "12.3 %"),
        (1.0, "100.0 %"),
    ],
)
def test_percent(share: float | None, text: str) -> None:
    assert percent(share) == text


@pytest.mark.parametrize(
    ("ratio", "text"),
    [
        (1.1, "x1.10"),
        (1.999, "x2.00"),
        (2.0, "x2.0"),
        (4.94, "x4.9"),
        (99.94, "x99.9"),
        (100.0, "x100"),
        (123.6, "x124"),
    ],
)
def test_times(ratio: float, text: str) -> None:
    assert times(ratio) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "unknown"), (0.25, "250 ms"), (0.0012345, "1.23 ms"), (0.9996, "1e+03 ms"), (1.0, "1 s"), (1.5, "1.5 s")],
)
def test_seconds(value: float | None, text: str) -> None:
    assert seconds(value) == text


def test_number() -> None:
    assert number(5210) == "5,210"
    assert number(1234567.4) == "1,234,567"


@pytest.mark.parametrize(
    ("log_e", "text"),
    [
        (0.0, "1 to 1"),
        (-1.0, "0.37 to 1"),
        (1.0, "2.7 to 1"),
        (1.01, "3 to 1"),
        (math.log(1240), "1,240 to 1"),
        (16.0, "8,886,111 to 1"),
        (16.01, "over ten million to 1"),
    ],
)
def test_evidence(log_e: float, text: str) -> None:
    assert evidence(log_e) == text


@pytest.mark.parametrize(
    ("ratio", "interval", "text"),
    [
        (None, (1.0, 2.0), "too few events to compare; margin x1.20"),
        (3.0, None, "too few events to compare; margin x1.20"),
        (4.9, (3.1, 9.0), "x4.9, at least x3.1; margin x1.20"),
        (1.4, (1.2, 9.0), "x1.40, between x1.20 and x9.0; margin x1.20"),
        (1.4, (0.7, 400.0), "x1.40, at least x0.70; margin x1.20"),
        (1.4, (0.7, 399.7), "x1.40, at least x0.70; margin x1.20"),
        (1.4, (0.7, 399.0), "x1.40, between x0.70 and x399; margin x1.20"),
        (1.4, (1 / 30, 400.0), "x1.40, no bound yet; margin x1.20"),
        (1.4, (0.0334, 400.0), "x1.40, at least x0.03; margin x1.20"),
        (0.4, (1 / 30, 1.5), "x0.40, at most x1.50; margin x1.20"),
        (0.4, (0.03335, 1.5), "x0.40, at most x1.50; margin x1.20"),
        (0.4, (0.0334, 1.5), "x0.40, between x0.03 and x1.50; margin x1.20"),
    ],
)
def test_effect(ratio: float | None, interval: tuple[float, float] | None, text: str) -> None:
    assert effect(ratio, interval, 1.2) == text


@pytest.mark.parametrize(
    ("parts", "text"), [([], ""), (["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")]
)
def test_joined(parts: list[str], text: str) -> None:
    assert joined(parts) == text
