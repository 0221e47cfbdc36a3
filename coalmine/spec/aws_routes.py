"""The keys of routes in AWS. Region and endpoint are the worker's own where a spec names none."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from coalmine.spec.base import SpecModel
from coalmine.spec.distinct import distinct
from coalmine.spec.secret_names import BY_NAME
from coalmine.spec.urls import url_problem

ALB_STEP = 0.1
"""Percent: a target group's weight is a whole number up to 999, so of round shares a thousandth is the finest left."""
ROUTE53_STEP = 0.5
"""Percent: a record's weight is a whole number up to 255, so of round shares half a percent is the finest left."""
_VERSION = re.compile(r"[0-9]{1,18}")


def is_lambda_version(name: str) -> bool:
    """Whether it can be a published version: aliases are divided between those, never with ``$LATEST``."""
    return _VERSION.fullmatch(name) is not None


def _endpoint(url: str) -> str:
    problem = url_problem(url, BY_NAME, parameters=False, named=True)
    if problem:
        raise ValueError(problem)
    return url


def _place(arn: str) -> str:
    kind = arn.split(":")[-1].split("/")[0]
    if not arn.startswith("arn:") or kind not in ("listener", "listener-rule"):
        raise ValueError(f"{arn!r} is no ARN of a listener or a rule: take it from aws elbv2 describe-rules")
    return arn


class AwsRoute(SpecModel):
    """What every route in AWS may say."""

    region: str | None = Field(
        default=None,
        min_length=1,
        description="The region; else as the worker's environment says.",
        examples=["eu-west-1"],
    )
    endpoint: Annotated[str, AfterValidator(_endpoint)] | None = Field(
        default=None, description="Where AWS answers, such as a VPC endpoint; else as the worker's environment says."
    )


class FencedRoute(AwsRoute):
    """A route whose plane keeps no token: the fence is kept beside it."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["fence_table"]}, {"required": ["fence_folder"]}]}
    )

    fence_table: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9_.-]{3,255}$",
        description="The DynamoDB table that keeps who may write, with the key `route` (text). All workers share it.",
        examples=["coalmine-fences"],
    )
    fence_folder: str | None = Field(
        default=None,
        min_length=1,
        description="Instead of a table: a folder on the worker's disk, where all workers run on one host.",
    )

    @model_validator(mode="after")
    def _one_fence(self) -> Self:
        if (self.fence_table is None) == (self.fence_folder is None):
            raise ValueError("name one of fence_table and fence_folder: without it an older write could win unseen")
        return self


class AlbRoute(FencedRoute):
    """Weighted target groups of listeners and rules. `arms.*.backend` is the target group's name."""

    places: Annotated[list[Annotated[str, AfterValidator(_place)]], AfterValidator(distinct)] = Field(
        min_length=1,
        max_length=20,
        description="ARNs of the listeners (their default action) and rules whose weights move together.",
        examples=[["arn:aws:elasticloadbalancing:eu-west-1:111122223333:listener-rule/app/shop/50dc6c/f2f7dc/9683b2"]],
    )


class LambdaRoute(AwsRoute):
    """A function's alias. `route.name` is the function; `arms.*.backend` its version's number."""

    alias: str = Field(
        pattern=r"^[0-9]*[a-zA-Z_-][a-zA-Z0-9_-]*$",
        max_length=128,
        description="The alias that callers use.",
        examples=["live"],
    )


class Route53Route(FencedRoute):
    """Weighted records. `route.name` is the records' name; `arms.*.backend` their set identifier."""

    zone: str = Field(
        pattern=r"^[A-Z0-9]{1,32}$", description="The hosted zone's id.", examples=["Z0123456789ABCDEFGHIJ"]
    )
    type: str = Field(
        default="A", pattern=r"^(A|AAAA|CNAME)$", description="The records' type: `A`, `AAAA` or `CNAME`."
    )
