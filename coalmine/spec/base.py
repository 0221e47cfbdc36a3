"""What all models of a spec share: strict reading, no nulls written, and names that may stand in a workflow id."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
"""Names that become parts of workflow ids: letters, digits, ``.``, ``_``, ``-``."""


Identifier = Annotated[str, Field(pattern=IDENTIFIER, max_length=100)]


class SpecModel(BaseModel):
    """Base of all spec models: an unknown key is an error, and ``"10"`` is not a number."""

    model_config = ConfigDict(
        extra="forbid", strict=True, allow_inf_nan=False, populate_by_name=True, serialize_by_alias=True
    )

    @model_serializer(mode="wrap")
    def _without_nulls(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not said: a spec travels through every look's history."""
        return {key: value for key, value in handler(self).items() if value is not None}
