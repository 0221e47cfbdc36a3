"""Sources and notifiers of another distribution: found by their entry points, named in a spec, and made."""

from __future__ import annotations

from pathlib import Path

import pytest

from activities.notifiers.registry import make_notifier, notifier_kinds
from activities.sources.registry import make_source, source_kinds
from coalmine.cli._specs import read_spec
from coalmine.errors import InputError, SpecError
from coalmine.spec import recheck

SPEC = """\
service: checkout
environment: production
arms:
  baseline: {version: 1.41.0, backend: old}
  canary: {version: 1.42.0, backend: new}
route: {router: flagd, name: shop, places: [/etc/flags.json]}
steps:
  - {weight: 10, for: 10m}
metrics:
  - {name: errors, kind: ratio, total: "all of {arm.version}", events: "failed of {arm.version}", max: 0.02}
sources:
  tea: {kind: tealeaves, cup: 3, url: "tea://pot"}
notify:
  - {kind: pigeon, loft: north}
"""
CODE = """\
class Leaves:
    pass


class Pigeon:
    async def send(self, channel, notification):
        pass
"""


@pytest.fixture
def spec(tmp_path: Path) -> str:
    file = tmp_path / "spec.yaml"
    file.write_text(SPEC)
    return str(file)


@pytest.fixture
def distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What an installed distribution leaves on the path."""
    info = tmp_path / "site" / "teatime-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: teatime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[coalmine.sources]\ntealeaves = teatime:Leaves\n\n[coalmine.notifiers]\npigeon = teatime:Pigeon\n"
    )
    (info.parent / "teatime.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(info.parent))
    return info


def test_kinds_nobody_brings_are_refused(spec: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_spec(spec)
    fields = [problem.field for problem in caught.value.problems]
    assert fields == ["sources.tea.kind", "notify[0].kind"]
    assert "'tealeaves' is not known" in str(caught.value)


@pytest.mark.usefixtures("distribution")
def test_kinds_of_a_distribution_are_taken_with_their_own_keys(spec: str) -> None:
    read = read_spec(spec)
    assert read.sources["tea"].options == {"cup": 3}
    assert read.notify[0].options == {"loft": "north"}
    # As a workflow gets it, which cannot look what is installed.
    assert recheck(type(read).model_validate_json(read.model_dump_json())) == []
    assert type(make_source("tealeaves")).__name__ == "Leaves"
    assert type(make_notifier("pigeon")).__name__ == "Pigeon"
    assert "tealeaves" in source_kinds()
    assert "pigeon" in notifier_kinds()


@pytest.mark.usefixtures("distribution")
def test_a_key_of_theirs_on_a_kind_of_ours_is_unknown(spec: str) -> None:
    Path(spec).write_text(SPEC.replace("kind: tealeaves", "kind: http").replace("tea://pot", "http://pot"))
    with pytest.raises(SpecError, match=r"sources\.tea\.cup: unknown key 'cup'"):
        read_spec(spec)


def test_a_kind_of_ours_is_not_taken_over(distribution: Path) -> None:
    (distribution / "entry_points.txt").write_text("[coalmine.sources]\nprometheus = teatime:Leaves\n")
    with pytest.raises(InputError, match="two sources are called 'prometheus'"):
        make_source("prometheus")
