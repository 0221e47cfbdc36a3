"""A slice of the benchmark: ten changes on a real proxy under load lose no request, and the split is as it was put."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.proxy_shifts import PLANES, measure


@pytest.mark.parametrize("name", sorted(set(PLANES) - {"nginx"}))
async def test_no_request_is_lost_while_weights_change(name: str, tmp_path: Path) -> None:
    figures = await measure(name, tmp_path, rate=50, changes=10, counted=500)
    assert (figures["failed_requests"], figures["errors"], figures["split"]["failed_requests"]) == (0, {}, 0)
    assert set(figures["statuses"]) == {"200", "201"}
    # Of 500 requests at 10 %: six standard deviations.
    assert abs(figures["split"]["seen_percent"] - 10) < 8.1
