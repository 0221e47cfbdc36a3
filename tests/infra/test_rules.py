"""Prometheus' own tool checks the alerts, and runs their tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "infra" / "prometheus"


@pytest.mark.parametrize(
    "words",
    [("check", "rules", "--lint=all", "--lint-fatal", "coalmine.rules.yaml"), ("test", "rules", "coalmine.test.yaml")],
)
def test_promtool_is_content(words: tuple[str, ...]) -> None:
    ran = subprocess.run(["promtool", *words], cwd=FOLDER, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "SUCCESS" in ran.stdout + ran.stderr


def test_every_alert_is_tested() -> None:
    rules, tests = ((FOLDER / name).read_text() for name in ("coalmine.rules.yaml", "coalmine.test.yaml"))
    alerts = {line.split()[-1] for line in rules.splitlines() if line.strip().startswith("- alert:")}
    assert len(alerts) >= 8
    assert [alert for alert in sorted(alerts) if f"alertname: {alert}" not in tests] == []
