"""A router of another distribution: built, installed, found by its entry point, and held to the contract from there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "adapter"
SPEC = """\
service: checkout
environment: production
arms:
  baseline: {version: 1.41.0, backend: stable}
  canary: {version: 1.42.0, backend: %(canary)s}
route: {router: weights-file, name: shop, file: %(file)s, fences: %(fences)s}
steps: [{weight: 10, for: 5m}]
metrics:
  - {name: errors, kind: ratio, template: envoy, role: guardrail, margin: 1.1, max: 0.02}
sources: {prometheus: {url: "http://127.0.0.1:9"}}
"""


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The folder the example was installed into, from a copy: nothing of it is imported from this tree."""
    copy, site = tmp_path / "source", tmp_path / "site"
    shutil.copytree(EXAMPLE, copy)
    uv = Path(sys.executable).with_name("uv")
    command: list[str | Path] = [uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--no-build-isolation"]
    told = run([*command, "--python", sys.executable, "--target", site, copy], tmp_path, ROOT)
    assert told.returncode == 0, told.stdout + told.stderr
    assert (site / "weights_file.py").is_file()
    return site


def run(command: list[str | Path], folder: Path, *paths: Path) -> subprocess.CompletedProcess[str]:
    """Run it in ``folder`` with these before all other places Python imports from."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "UV_CACHE_DIR": str(folder / "uv")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150)


def test_it_keeps_the_contract(installed: Path, tmp_path: Path) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        ROOT / "pyproject.toml",
        "-p",
        "no:randomly",
    ]
    told = run([*command, "--rootdir", tmp_path / "source", tmp_path / "source" / "tests"], tmp_path, installed, ROOT)
    assert told.returncode == 0, told.stdout + told.stderr
    assert "45 passed, 12 skipped" in told.stdout


def test_a_spec_names_it_and_what_is_wrong_is_told(installed: Path, tmp_path: Path) -> None:
    weights = tmp_path / "weights.json"
    weights.write_text(json.dumps({"shop": {"stable": 100, "canary": 0}}))
    for canary, fine in (("canary", True), ("films", False)):
        spec = tmp_path / f"{canary}.yaml"
        spec.write_text(SPEC % {"canary": canary, "file": weights, "fences": tmp_path / "fences"})
        assert validate(installed, tmp_path, spec).returncode == 0
        told = json.loads(validate(installed, tmp_path, spec, "--connect").stdout)
        checks = {check["name"]: check for check in told["files"][0]["checks"]}
        assert checks["router"]["reason"] == "weights-file: advisory fencing"
        assert checks["file"]["ok"] == fine
        assert fine or "'films'" in checks["file"]["reason"]


def validate(installed: Path, folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """``coalmine validate``."""
    return run([sys.executable, "-m", "coalmine.cli", "validate", "-o", "json", *arguments], folder, installed, ROOT)
