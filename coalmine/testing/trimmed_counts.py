"""What moto's CloudWatch lacks and our source asks for: the statistic ``TC(low:high)``, a count of values in a range.

AWS counts values above ``low`` and up to ``high`` (CloudWatch user guide, "Statistics definitions"); moto 5.2 answers
500.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

_RANGE = re.compile(r"TC\(([0-9.]*):([0-9.]*)\)")


def trimmed_count(stat: str, values: Iterable[float]) -> int | None:
    """How many values are in the range of ``stat``; None when it is no trimmed count of a range."""
    found = _RANGE.fullmatch(stat)
    if found is None:
        return None
    low, high = float(found[1] or "-inf"), float(found[2] or "inf")
    return sum(low < value <= high for value in values if not math.isnan(value))


def teach(statistics: Any) -> None:
    """Let moto's class ``Statistics`` answer it."""
    known = statistics.get_statistics_for_type

    def get_statistics_for_type(self: Any, stat: str) -> Any:
        counted = trimmed_count(stat, self.metric_single_values_list)
        return known(self, stat) if counted is None else counted

    statistics.get_statistics_for_type = get_statistics_for_type
