"""A threshold's query: any PromQL, asked at the window's end, that answers one number."""

from __future__ import annotations

import math
from typing import Any

from activities.sources.each_arm import NoCounts
from activities.sources.prometheus_arms import milliseconds, refuse_partial
from activities.sources.prometheus_http import PrometheusHttp
from coalmine.errors import QueryRejected
from coalmine.records import MetricCounts, Window
from coalmine.spec.canary import Arm
from coalmine.spec.metrics import Metric
from coalmine.spec.selectors import fill_text


async def ask_threshold(http: PrometheusHttp, metric: Metric, arm: Arm, window: Window) -> MetricCounts:
    """The query's answer for the canary.

    Raises:
        NoCounts: it answers nothing, or no number.
        SourceUnreachable: the store did not answer in time.
        QueryRejected: it has no query, the store refuses it, or it answers many numbers.
    """
    field = f"metrics.{metric.name}.query"
    if not metric.query:
        raise QueryRejected(f"{field} is missing: write PromQL that answers one number")
    query = fill_text(metric.query, arm)
    answer = await http.query(query, milliseconds(window.end))
    refuse_partial(answer.warnings)
    value = _number(field, query, answer.result)
    return MetricCounts(metric=metric.name, value=value, queries=[query])


def _number(field: str, query: str, result: Any) -> float:
    # A scalar is [moment, "value"]; a vector is a list of series; a range's answer has "values".
    if isinstance(result, list) and len(result) == 2 and not isinstance(result[0], dict):
        text = result[1]
    else:
        if not result:
            raise NoCounts(f"empty: {query} answers nothing")
        if "value" not in result[0]:
            raise QueryRejected(f"{field}: {query} answers a range or a histogram: it must answer one number")
        if len(result) > 1:
            raise QueryRejected(
                f"{field}: {query} answers {len(result)} series: put sum(...), max(...) or avg(...) around it"
            )
        text = result[0]["value"][1]
    try:
        number = float(text)
    except (TypeError, ValueError):
        raise QueryRejected(f"{field}: {query} answers a text, {text!r}: it must answer one number") from None
    if not math.isfinite(number):
        raise NoCounts(f"{'NaN' if math.isnan(number) else 'not a number'}: {query} answers {text}")
    return number
