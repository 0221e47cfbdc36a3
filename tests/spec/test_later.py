"""What is not built is refused by its own name, however AWS or its tools spell it."""

from __future__ import annotations

from typing import Any

import pytest

from coalmine.errors import SpecError
from coalmine.spec import check_spec


@pytest.mark.parametrize(
    "router",
    [
        *("sagemaker", "apigateway", "api-gateway", "appconfig", "app-config", "lattice", "vpc-lattice"),
        *("aws-sagemaker", "aws-apigateway", "aws-api-gateway", "aws-appconfig", "aws-app-config"),
        *("aws-lattice", "aws-vpc-lattice", "aws-cloudfront", "cloudfront", "aws-ecs", "ecs"),
    ],
)
def test_a_router_that_is_not_built_is_refused_as_that(small: dict[str, Any], router: str) -> None:
    small["route"] = {"router": router, "name": "shop"}
    with pytest.raises(SpecError) as caught:
        check_spec(small)
    (problem,) = caught.value.problems
    assert problem.field == "route.router"
    assert f"the router '{router}' is not built yet (known: aws-alb, " in problem.message
