"""The keys of the router that moves users by feature flags."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field

from coalmine.spec.base import SpecModel
from coalmine.spec.distinct import distinct


def _place(place: str) -> str:
    bucket, _, key = place.removeprefix("s3://").partition("/")
    if place.startswith("s3://") and not (bucket and key):
        raise ValueError(f"{place!r} names no object: write s3://BUCKET/KEY.json")
    if "://" in place and not place.startswith("s3://"):
        raise ValueError(f"{place!r} cannot be written: name a file, or s3://BUCKET/KEY.json")
    if not place.endswith(".json"):
        raise ValueError(f"{place!r} is not written as JSON: its name must end in .json")
    return place


class FlagTesters(SpecModel):
    """Users who get a variant of their own while both arms have users."""

    variant: str = Field(
        min_length=1, description="The variant they get: none of an arm's, or they would count.", examples=["testers"]
    )
    when: dict[str, Any] = Field(
        min_length=1,
        description="A JsonLogic rule over the evaluation context, as in flagd's `targeting`. Gone when one arm has "
        "all users: a rollback leaves nobody behind.",
        examples=[{"ends_with": [{"var": "email"}, "@example.org"]}],
    )


class FlagdRoute(SpecModel):
    """Feature flags in flagd's format: `name` is the flag's key, each arm's `backend` a variant."""

    places: Annotated[list[Annotated[str, AfterValidator(_place)]], AfterValidator(distinct)] = Field(
        min_length=1,
        description="Files (`.json`) of flag definitions, on the worker's file system or as `s3://BUCKET/KEY.json`.",
        examples=[["/etc/flags/shop.json"]],
    )
    testers: FlagTesters | None = Field(default=None, description="Who meets the new way beside the shares.")
