"""The activity around the judge."""

from __future__ import annotations

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.evaluation import evaluate, numerics
from coalmine.records import EvaluateRequest, Evaluation, Finding
from tests.analysis.looks import judge, ratio


async def test_it_judges_and_repeats_itself() -> None:
    request = EvaluateRequest(judge=judge(), counts=[ratio(20, 20, 2, 1980)])
    first: Evaluation = await ActivityEnvironment().run(evaluate, request)
    again: Evaluation = await ActivityEnvironment().run(evaluate, request)
    assert first.finding is Finding.CRASH
    assert first.model_dump_json() == again.model_dump_json()


async def test_counts_that_cannot_be_are_not_retried() -> None:
    request = EvaluateRequest(judge=judge(), counts=[ratio(1, -5, 1, 5)])
    with pytest.raises(ApplicationError, match=r"total: -5 is negative") as caught:
        await ActivityEnvironment().run(evaluate, request)
    assert caught.value.type == "InputError"
    assert caught.value.non_retryable


def test_warming_up_needs_nothing() -> None:
    assert numerics() is numerics()
