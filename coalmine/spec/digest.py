"""A spec's fingerprint: what tells two specs apart in a record, whoever wrote them and in whatever order of keys."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from coalmine.spec.canary import CanarySpec

SHOWN = 12
"""Characters of a digest that people are shown."""
_KEPT_BACK = ("hooks", "notify")
"""Sections that may hold tokens in their URLs; nothing of them is needed to judge."""


def spec_digest(spec: CanarySpec) -> str:
    """SHA-256 (64 hexadecimal digits) of the spec as canonical JSON: keys sorted, defaults written out."""
    plain = spec.model_dump(mode="json", by_alias=True)
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def spec_record(spec: CanarySpec) -> dict[str, Any]:
    """The spec as a record keeps it: all that judged and moved traffic, without what may hold secrets."""
    plain: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    for section in _KEPT_BACK:
        plain.pop(section, None)
    for source in plain.get("sources", {}).values():
        source.pop("headers", None)
    return plain
