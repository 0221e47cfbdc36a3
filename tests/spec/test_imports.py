"""What is loaded with what: models come without the YAML parser, and names of the package when they are used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import coalmine.spec


@pytest.mark.parametrize("module", ["canary", "check", "plan", "routes"])
def test_models_come_without_the_yaml_parser(module: str) -> None:
    code = f"import sys, coalmine.spec.{module}; sys.exit(any(name.startswith('ruamel') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_public_name_is_there() -> None:
    assert all(getattr(coalmine.spec, name).__name__ == name for name in coalmine.spec.__all__)
    with pytest.raises(AttributeError, match="pares_spec"):
        _ = coalmine.spec.pares_spec
