"""When a planned rollout will be decided: our sequential test at a stated load, not a sample size of a fixed test.

``Outlook`` answers for one judge, ``Forecaster`` for a whole plan. Deterministic, and checked against the judge itself
(``benchmarks.plan``, docs/plan.md).
"""

from __future__ import annotations

from coalmine.analysis.forecast.outlook import Level, Outlook
from coalmine.analysis.forecast.report import Forecaster
from coalmine.analysis.forecast.told import Forecast

__all__ = ["Forecast", "Forecaster", "Level", "Outlook"]
