"""Recorded looks judged again, many traces at once, by the very code that decides in the workflow. Pure.

``read_trace`` reads a trace, ``history_of`` learns a service's noise from an A/A one, ``judge_traces`` judges.
"""

from __future__ import annotations

from coalmine.backtest.engine import Rules, judge_traces
from coalmine.backtest.history import history_of
from coalmine.backtest.trace import Trace, read_trace
from coalmine.backtest.verdicts import Course

__all__ = ["Course", "Rules", "Trace", "history_of", "judge_traces", "read_trace"]
