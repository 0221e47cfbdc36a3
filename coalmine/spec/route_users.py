"""Who meets the new version past the weights, and who keeps theirs: keys of ``route`` that several routers share.

Testers and copies go to backends of their own, never to an arm's: a data plane counts requests by backend, and what did
not come by the weights must not count in the sample ratio, nor in any comparison.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from coalmine.spec.base import SpecModel

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _token(name: str) -> str:
    if not _TOKEN.fullmatch(name):
        raise ValueError(f"{name!r} is not a name a header or cookie can have: letters, digits and -")
    return name


def _visible(value: str) -> str:
    if not value or not value.isascii() or not value.isprintable() or value != value.strip() or ";" in value:
        raise ValueError(f"{value!r} cannot be a header's value: visible ASCII, without ; and spaces around it")
    return value


def _hundredths(percent: float) -> float:
    if abs(percent * 100 - round(percent * 100)) > 1e-6:
        raise ValueError(f"{percent!r} is finer than 0.01: round it")
    return percent


Name = Annotated[str, AfterValidator(_token), Field(json_schema_extra={"pattern": f"^{_TOKEN.pattern}$"})]
Values = list[Annotated[str, AfterValidator(_visible), Field(json_schema_extra={"pattern": r"^[^;\s]([^;]*[^;\s])?$"})]]


class UserKey(SpecModel):
    """What tells users apart: a header or a cookie."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["header"]}, {"required": ["cookie"]}]})

    header: Name | None = Field(default=None, description="A request header.", examples=["x-user-id"])
    cookie: Name | None = Field(default=None, description="A cookie.", examples=["uid"])

    @model_validator(mode="after")
    def _one(self) -> UserKey:
        if (self.header is None) == (self.cookie is None):
            raise ValueError("give a header or a cookie, one of them")
        return self


class Sticky(UserKey):
    """Users keep their version while the canary grows: those who had it at 5 % have it at 10 %."""


class PinnedMatch(UserKey):
    """Requests that carry one of these values."""

    values: Values = Field(
        min_length=1, description="The values, each in full; one is enough.", examples=[["beta", "staff"]]
    )


class PinnedTesters(SpecModel):
    """Requests that go to the new version whatever its weight, while two versions share the traffic."""

    backend: str = Field(
        min_length=1,
        description="The new version under a name of its own, so that its testers are not counted as users. Envoy: a "
        "cluster with the canary's endpoints.",
        examples=["checkout-v42-testers"],
    )
    match: list[PinnedMatch] = Field(min_length=1, description="Who they are; one match is enough.")


class Mirror(SpecModel):
    """A copy of requests for the new version, whose answers nobody gets, while two versions share the traffic."""

    backend: str = Field(
        min_length=1,
        description="The new version under a name of its own, so that copies are not counted as requests.",
        examples=["checkout-v42-shadow"],
    )
    percent: Annotated[float, AfterValidator(_hundredths)] = Field(
        default=100.0, ge=0.01, le=100, description="How many of the requests, in steps of 0.01."
    )
