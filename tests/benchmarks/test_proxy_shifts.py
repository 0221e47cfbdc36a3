"""A slice of the benchmark: ten changes on a real proxy under load lose no request, and the split is as it was put."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import proxy_shifts, report
from benchmarks.proxy_shifts import PLANES, measure


@pytest.mark.parametrize("name", sorted(set(PLANES) - {"nginx"}))
async def test_no_request_is_lost_while_weights_change(name: str, tmp_path: Path) -> None:
    figures = await measure(name, tmp_path, rate=50, changes=10, counted=500)
    assert (figures["failed_requests"], figures["errors"], figures["split"]["failed_requests"]) == (0, {}, 0)
    assert set(figures["statuses"]) == {"200", "201"}
    # What was lost while the weights were held can be explained as well.
    assert figures["split"]["errors"] == {}
    assert sum(figures["split"]["statuses"].values()) == figures["split"]["requests"]
    # Of 500 requests at 10 %: six standard deviations.
    assert abs(figures["split"]["seen_percent"] - 10) < 8.1


@pytest.mark.parametrize(("lost_before", "lost_now", "code"), [(5, 0, 0), (0, 5, 1), (0, 0, 0)])
@pytest.mark.parametrize("under_load", [True, False])
def test_only_what_is_measured_now_is_judged(
    lost_before: int, lost_now: int, code: int, under_load: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def figures(lost: int) -> dict[str, Any]:
        split = {"asked_percent": 10, "seen_percent": 10, "failed_requests": 0}
        return {"failed_requests": lost, "all_under_load": under_load, "split": split}

    async def measured(*_: object) -> dict[str, Any]:
        return figures(lost_now)

    results = tmp_path / "proxy_shifts.json"
    results.write_text(json.dumps({"proxies": {"nginx": figures(lost_before), "haproxy": figures(lost_before)}}))
    for module in (proxy_shifts, report):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(proxy_shifts, "measure", measured)
    monkeypatch.setattr("sys.argv", ["proxy_shifts", "--only", "haproxy"])
    assert proxy_shifts.main() == (code if under_load else 1)
    kept = json.loads(results.read_text())["proxies"]
    assert {name: one["failed_requests"] for name, one in kept.items()} == {"nginx": lost_before, "haproxy": lost_now}
