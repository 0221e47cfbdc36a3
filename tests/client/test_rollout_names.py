"""How people name a rollout."""

from __future__ import annotations

import pytest

from coalmine.errors import InputError
from coalmine.rollout_names import RolloutName, parse_name, readings, split_rollout_id


@pytest.mark.parametrize(
    ("text", "environment", "region", "name"),
    [
        ("checkout", None, None, RolloutName("checkout")),
        ("checkout", "production", "eu", RolloutName("checkout", "production", "eu")),
        ("production/checkout", None, None, RolloutName("checkout", "production")),
        ("production/checkout/eu", "production", None, RolloutName("checkout", "production", "eu")),
        ("canary/production/checkout", None, None, RolloutName("checkout", "production")),
        (" canary/production/checkout/eu/ ", None, None, RolloutName("checkout", "production", "eu")),
        ("production/checkout/1.42.0/3", None, None, RolloutName("checkout", "production", None, "1.42.0", 3)),
        ("production/checkout/eu/1.42.0/3", None, "eu", RolloutName("checkout", "production", "eu", "1.42.0", 3)),
        ("canary", None, None, RolloutName("canary")),
        # An environment that is called as workflow ids begin.
        ("checkout", "canary", None, RolloutName("checkout", "canary")),
        ("canary/checkout", None, None, RolloutName("checkout", "canary")),
        ("canary/checkout/eu", "canary", None, RolloutName("checkout", "canary", "eu")),
        ("canary/canary/checkout", None, None, RolloutName("checkout", "canary")),
        ("canary/canary/checkout/eu", "canary", None, RolloutName("checkout", "canary", "eu")),
        ("canary/checkout/eu/1.42.0/3", None, None, RolloutName("checkout", "canary", "eu", "1.42.0", 3)),
        ("canary/checkout/1.42.0/3", "canary", None, RolloutName("checkout", "canary", None, "1.42.0", 3)),
        ("canary/production/checkout/3", None, None, RolloutName("checkout", "production", "3")),
    ],
)
def test_forms(text: str, environment: str | None, region: str | None, name: RolloutName) -> None:
    assert parse_name(text, environment, region) == name


@pytest.mark.parametrize(
    ("text", "environment", "meant"),
    [
        ("canary/checkout/1.42.0/3", None, ["canary/checkout/1.42.0/3", "canary/checkout/1.42.0/3"]),
        ("canary/checkout/1.42.0+b7/3", None, ["canary/checkout/1.42.0+b7/3"]),
        ("canary/checkout/1.42.0/3", "canary", ["canary/checkout/1.42.0/3"]),
        ("canary/checkout/1.42.0/3", "checkout", ["canary/checkout/1.42.0/3"]),
        ("canary/canary/1.42.0/3", "canary", ["canary/canary/1.42.0/3", "canary/canary/1.42.0/3"]),
        ("canary/checkout/eu/x", None, ["canary/checkout/eu/x"]),
        ("production/checkout/1.42.0/3", None, ["production/checkout/1.42.0/3"]),
    ],
)
def test_what_can_be_a_workflow_or_a_rollout(text: str, environment: str | None, meant: list[str]) -> None:
    assert [one.rollout_id() or one.workflow_id for one in readings(text, environment)] == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no rollout"),
        ("a b", "'a b' cannot be a name"),
        ("check'out", "cannot be a name"),
        ("canary/a/b/c/d", "names no rollout: write a service"),
        ("a/b/c/d", "names no rollout: write a service"),
        ("a/b/c/d/e/6", "names no rollout"),
        ("a/b/it's/3", "cannot be a version"),
    ],
)
def test_what_is_no_name(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_name(text)


@pytest.mark.parametrize(("environment", "region"), [("te'st", None), (None, "u/s")])
def test_options_are_names_too(environment: str | None, region: str | None) -> None:
    with pytest.raises(InputError, match="cannot be a name"):
        parse_name("checkout", environment, region)


@pytest.mark.parametrize(("environment", "region"), [("test", None), (None, "us")])
def test_options_must_not_contradict(environment: str | None, region: str | None) -> None:
    with pytest.raises(InputError, match="leave one out"):
        parse_name("production/checkout/eu", environment, region)


def test_ids() -> None:
    assert parse_name("checkout").workflow_id is None
    assert parse_name("production/checkout/eu").workflow_id == "canary/production/checkout/eu"
    assert parse_name("production/checkout").rollout_id() is None
    assert parse_name("production/checkout/1.42.0/3").rollout_id() == "production/checkout/1.42.0/3"
    assert parse_name("production/checkout/1.42.0/3").workflow_id == "canary/production/checkout"


@pytest.mark.parametrize("text", ["production/checkout/1.42.0/3", "canary/checkout/1.42.0/3"])
def test_a_rollout_id_is_told_from_its_book(text: str) -> None:
    assert split_rollout_id(text) == (text.rpartition("/1.42.0")[0], text)
