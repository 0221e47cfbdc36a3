"""What docs/aws.md tells users to write is valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from coalmine.spec import check_spec

PAGE = Path(__file__).parents[2] / "docs" / "aws.md"
BLOCKS = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
ALB, LAMBDA, ROUTE53, CLOUDWATCH, OF_LAMBDA, NOTIFY = (YAML(typ="safe").load(block) for block in BLOCKS)
REST = {"service": "checkout", "environment": "production", "steps": [{"weight": 10}]}


@pytest.mark.parametrize("route", [ALB, LAMBDA, ROUTE53], ids=["alb", "lambda", "route53"])
@pytest.mark.parametrize("metrics", [CLOUDWATCH["metrics"], OF_LAMBDA], ids=["of-alb", "of-lambda"])
def test_its_parts_make_a_spec(route: dict[str, Any], metrics: list[dict[str, Any]]) -> None:
    errors = {**metrics[0], "max": 0.02}
    spec = check_spec({**REST, **route, **CLOUDWATCH, **NOTIFY, "metrics": [errors, *metrics[1:]]})
    assert spec.sources["cloudwatch"].kind == "cloudwatch"


def test_errors_of_a_target_group_that_lets_nobody_in_are_counted() -> None:
    """The load balancer answers in its stead, which is no answer of a target."""
    (errors,) = (metric for metric in CLOUDWATCH["metrics"] if metric["name"] == "errors")
    assert [one.partition("{")[0] for one in errors["events"]] == [
        "HTTPCode_Target_5XX_Count",
        "TargetConnectionErrorCount",
    ]
