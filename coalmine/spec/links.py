"""URLs with placeholders, for links to logs, traces and dashboards: what may stand in one, and filling one in."""

from __future__ import annotations

import re
from collections.abc import Mapping

from coalmine.spec.faults import did_you_mean, shown
from coalmine.spec.urls import url_problem

TRACE = "trace_id"
"""A template with this placeholder is filled in for each exemplar."""
PLACEHOLDERS = (
    *("service", "environment", "region", "version", "backend", "baseline", "rollout_id"),
    *("from", "to", "from_ms", "to_ms", TRACE),
)
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_RESERVED = re.compile(rb"[^A-Za-z0-9._~-]")


def link_problem(template: str) -> str | None:
    """Why this cannot be a link, None when it can."""
    for name in _PLACEHOLDER.findall(template):
        if name not in PLACEHOLDERS:
            return f"the placeholder {shown('{' + name + '}')} is not known{did_you_mean(name, PLACEHOLDERS)}"
    bare = _PLACEHOLDER.sub("x", template)
    if "{" in bare or "}" in bare:
        return f"{shown(template)} holds a brace that belongs to no placeholder: write %7B or %7D for one"
    return url_problem(bare, "put it into the tool the link leads to", secrets=False)


def fill_link(template: str, values: Mapping[str, str]) -> str:
    """The URL, each value percent-encoded, so that none can add a path, a parameter or a host; unknown ones empty."""
    return _PLACEHOLDER.sub(lambda match: _encoded(values.get(match[1], "")), template)


def _encoded(text: str) -> str:
    return _RESERVED.sub(lambda byte: b"%%%02X" % ord(byte[0]), text.encode("utf-8", "replace")).decode("ascii")
