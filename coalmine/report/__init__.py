"""The page about one rollout, from its ledger entries alone: as HTML, Markdown or data. Pure: no I/O, no clock."""

from __future__ import annotations

from coalmine.report.html import as_html
from coalmine.report.markdown import as_markdown
from coalmine.report.story import Story
from coalmine.report.telling import tell

__all__ = ["Story", "as_html", "as_markdown", "tell"]
