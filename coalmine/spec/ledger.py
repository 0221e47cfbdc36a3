"""Where the copy of the record goes, as a user writes it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from coalmine.spec.base import SpecModel
from coalmine.spec.durations import Retention


class LedgerLock(SpecModel):
    """S3 Object Lock: what is written can be neither replaced nor deleted for so long."""

    mode: Literal["governance", "compliance"] = Field(
        default="governance",
        description="`compliance` binds the account's owner too; `governance` lets some override it.",
    )
    for_: Retention = Field(alias="for", description="How long from the moment of writing.", examples=["400d"])


class Ledger(SpecModel):
    """Where the copy of the record goes: JSON Lines files under ``path``, or objects in a bucket."""

    kind: Literal["file", "s3"] = Field(
        default="file", description="`file`: JSON Lines files on the worker's disk. `s3`: objects in a bucket."
    )
    path: str = Field(
        default="ledger/", min_length=1, description="The folder, relative to the worker's; of `file` only."
    )
    bucket: str | None = Field(default=None, description="The bucket; of `s3` only.", examples=["acme-releases"])
    prefix: str | None = Field(
        default=None, description="What the names of its objects begin with; of `s3` only.", examples=["coalmine"]
    )
    region: str | None = Field(
        default=None, min_length=1, description="The bucket's region; else as the worker's environment says."
    )
    lock: LedgerLock | None = Field(default=None, description="Object Lock; of `s3` only, and the bucket must have it.")
