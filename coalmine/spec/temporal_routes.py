"""The keys of routes that are worker deployments of Temporal."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from coalmine.spec.base import SpecModel


class TemporalWorkerRoute(SpecModel):
    """Temporal ramps a worker deployment: `name` is the deployment, each `backend` a build id."""

    namespace: str | None = Field(
        default=None,
        min_length=1,
        description="The namespace of the deployment. Absent: the one Coalmine's own worker is connected to.",
        examples=["orders"],
    )
    address: Annotated[str, Field(pattern=r"^[^\s/@]+:[0-9]+$")] | None = Field(
        default=None,
        description="`host:port` of its Temporal server, reached without TLS. Absent: the server of Coalmine's worker.",
        examples=["temporal.internal:7233"],
    )
    profile: str | None = Field(
        default=None,
        min_length=1,
        description="A profile of the worker's Temporal configuration file, with address, TLS and API key. Instead of "
        "`address`.",
        examples=["orders-cloud"],
    )

    @model_validator(mode="after")
    def _one_way_in(self) -> Self:
        if self.address is not None and self.profile is not None:
            raise ValueError("address and profile both say where Temporal is: keep one (a profile has an address)")
        return self
