"""The search attributes of rollouts: their names and types, and the typed keys to write and read them by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from temporalio.common import SearchAttributeKey

SERVICE = SearchAttributeKey.for_keyword("CoalmineService")
ENVIRONMENT = SearchAttributeKey.for_keyword("CoalmineEnvironment")
VERSION = SearchAttributeKey.for_keyword("CoalmineVersion")
PHASE = SearchAttributeKey.for_keyword("CoalminePhase")
OUTCOME = SearchAttributeKey.for_keyword("CoalmineOutcome")
PIPELINE = SearchAttributeKey.for_keyword("CoalminePipeline")
WEIGHT = SearchAttributeKey.for_int("CoalmineWeight")

PROBLEMS = SearchAttributeKey.for_keyword_list("TemporalReportedProblems")
"""The server's own, of a workflow whose tasks have failed five times in a row; older servers do not set it."""

KEYS: tuple[SearchAttributeKey[Any], ...] = (SERVICE, ENVIRONMENT, VERSION, PHASE, OUTCOME, PIPELINE, WEIGHT)
"""All that a namespace has to have."""
SEARCH_ATTRIBUTES: Mapping[str, str] = {key.name: "Int" if key is WEIGHT else "Keyword" for key in KEYS}
"""Their types, as the ``temporal`` CLI calls them."""
