"""Whether an answer is one a Prometheus gives: whatever stands between us and the store may say anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from coalmine.errors import QueryRejected


@dataclass(frozen=True)
class Answer:
    """The result of one query. ``warnings`` say that something is missing from it."""

    result: Sequence[Any]
    warnings: tuple[str, ...] = ()
    sent_at: float = 0.0
    received_at: float = 0.0
    otherwise: str = "the store answered, but not as Prometheus"
    """Said when the result is of another type than the query's."""

    def series(self, key: str) -> list[dict[str, Any]]:
        """The series of a vector (``value``) or a matrix (``values``), native histograms among them.

        Raises:
            QueryRejected: the answer is none.
        """
        found = [item for item in self.result if isinstance(item, dict) and (key in item or _histogram(item))]
        if len(found) != len(self.result):
            raise QueryRejected(self.otherwise)
        return found

    def number(self) -> float:
        """The value of a scalar.

        Raises:
            QueryRejected: the answer is none.
        """
        if not _is_sample(self.result):
            raise QueryRejected(self.otherwise)
        return float(self.result[1])


def well_formed(result: Any) -> bool:
    """Whether it is a vector, a matrix or a scalar: every sample a finite moment and the text of a number."""
    if not isinstance(result, list):
        return False
    return _is_text(result) or all(_is_series(item) for item in result)


def _is_series(item: Any) -> bool:
    if not isinstance(item, dict) or not _is_labels(item.get("metric")):
        return False
    if "values" in item:
        return isinstance(item["values"], list) and all(map(_is_sample, item["values"]))
    return _is_sample(item["value"]) if "value" in item else _histogram(item)


def _is_labels(labels: Any) -> bool:
    return isinstance(labels, dict) and all(isinstance(text, str) for text in labels.values())


def _is_sample(sample: Any) -> bool:
    if not _is_text(sample):
        return False
    try:
        float(sample[1])
    except ValueError:
        return False
    return True


def _is_text(sample: Any) -> bool:
    """A moment and a text: a scalar, or the answer to a query that is a string."""
    if not isinstance(sample, list) or len(sample) != 2:
        return False
    at, text = sample
    return isinstance(text, str) and type(at) in (int, float) and abs(at) < _LATEST


_LATEST = 1e11
"""Seconds since 1970; no store has samples of the year 5138, and a calendar cannot name much later moments."""


def _histogram(item: dict[str, Any]) -> bool:
    return "histogram" in item or "histograms" in item
