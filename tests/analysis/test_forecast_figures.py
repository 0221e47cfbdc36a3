"""The forecasts that were held against the judge itself are those this code makes.

``benchmarks/results/plan.json`` has what each setting was foretold, beside what the judge then took. When a change of
the forecasts is meant, measure them anew: ``python -m benchmarks.plan``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks.plan_settings import FURTHER, SETTINGS, Setting
from benchmarks.report import RESULTS

PUBLISHED: list[dict[str, Any]] = json.loads((RESULTS / "plan.json").read_text())["settings"]
CHOSEN = [row for row in PUBLISHED if not row["drawn"]]


def test_all_chosen_settings_are_published() -> None:
    assert len(CHOSEN) == len(SETTINGS) + len(FURTHER)


@pytest.mark.parametrize(("setting", "row"), list(zip((*SETTINGS, *FURTHER), CHOSEN, strict=True)))
def test_what_was_measured_is_what_is_foretold(setting: Setting, row: dict[str, Any]) -> None:
    found, before = setting.forecast(), sum(setting.looks[: setting.onset])
    for chance in (0.5, 0.8, 0.95):
        looks, published = found.looks(chance), row["looks"][f"{chance:.0%}"]["forecast"]
        assert published == (None if looks is None else looks - before), chance
