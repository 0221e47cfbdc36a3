"""Other judges' published rules, re-implemented; each in a file of its own with its source.

A rule takes ``Traffic`` and says for every run after how many looks it would have rolled the canary back, ``NEVER``
when it would not. All are given the same hour of counts. Those with a significance level get ours (1 % for the release,
split between errors and slow requests); those with fixed limits get the objectives of their own documentation.
"""

from __future__ import annotations

from collections.abc import Callable

from benchmarks.judge.rivals import argo, flagger, growthbook, kayenta, msprt, multinomial, z_test
from benchmarks.judge.traffic import Traffic, Values

Rule = Callable[[Traffic], Values]

RIVALS: dict[str, Rule] = {
    "Kayenta": kayenta.first_rollback,
    "Flagger, threshold 5": lambda traffic: flagger.first_rollback(traffic, threshold=5),
    "Argo, failureLimit 0": lambda traffic: argo.first_rollback(traffic, failure_limit=0),
    "Argo, failureLimit 3": lambda traffic: argo.first_rollback(traffic, failure_limit=3),
    "repeated z-test": z_test.first_rollback,
    "mSPRT": msprt.first_rollback,
    "GrowthBook, sequential": growthbook.first_rollback,
    "Lindon, multinomial": multinomial.first_rollback,
}
