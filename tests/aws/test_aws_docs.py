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
