"""What carries a regression: a metric by the values of its labels, ranked by their share of the excess. Pure."""

from __future__ import annotations

from coalmine.diagnosis.metrics import rank
from coalmine.diagnosis.ranking import BY_CHANCE, Found

__all__ = ["BY_CHANCE", "Found", "rank"]
