"""Plain data and models: every problem at once, none of them twice, and no secret shown."""

from __future__ import annotations

import math
from typing import Any

import pytest

from coalmine.errors import InputError, SpecError
from coalmine.spec import check_spec, recheck
from coalmine.spec.canary import CanarySpec
from coalmine.spec.foreign import Foreign


def fields(data: Any, **known: Any) -> list[str]:
    with pytest.raises(SpecError) as caught:
        check_spec(data, **known)
    return [problem.field for problem in caught.value.problems]


def test_every_section_is_judged_although_others_are_broken(small: dict[str, Any]) -> None:
    del small["service"]
    small["steps"][1]["weight"] = 0.5
    small["arms"]["canary"]["backend"] = "checkout-v41"
    small["policy"] = {"look": "soon"}
    small["notify"] = [{"kind": "webhook"}]
    small["typo"] = 1
    assert sorted(fields(small)) == [
        "arms.canary.backend",
        "notify[0].url",
        "policy.look",
        "service",
        "steps[1].weight",
        "typo",
    ]


@pytest.mark.parametrize(
    ("section", "data", "field"),
    [
        ("metrics", [{"name": "errors", "kind": "ratio", "tempalte": "envoy", "max": 0.02}], "metrics[0].tempalte"),
        ("sources", {"prometheus": {"ulr": "http://127.0.0.1"}}, "sources.prometheus.ulr"),
        ("promotion", {"bak": "0s"}, "promotion.bak"),
        ("metrics", [{"name": "cpu", "kind": "median", "query": "x"}], "metrics[0].kind"),
    ],
)
def test_what_follows_from_a_misspelt_key_is_not_told_too(
    small: dict[str, Any], section: str, data: Any, field: str
) -> None:
    assert fields({**small, section: data}) == [field]


def test_what_does_not_follow_from_a_misspelt_key_is_told_too(small: dict[str, Any]) -> None:
    small["steps"][1] = {"weight": 0.5, "fro": "10m", "wieght": 1}
    small["metrics"][0] = {"nmae": "errors", "kind": "ratio", "template": "envoy", "max": 2}
    assert sorted(fields(small)) == [
        "metrics[0].max",
        "metrics[0].nmae",
        "steps[1].fro",
        "steps[1].weight",
        "steps[1].wieght",
    ]


def test_a_metric_without_a_source_means_the_only_one(small: dict[str, Any]) -> None:
    small["sources"] = {"west": {"url": "http://127.0.0.1:9090"}}
    assert check_spec(small).metrics[0].source == "west"


def test_a_metric_without_a_source_may_mean_prometheus(small: dict[str, Any]) -> None:
    small["sources"]["west"] = {"url": "http://127.0.0.1:9090"}
    assert check_spec(small).metrics[0].source == "prometheus"


def test_a_router_from_elsewhere_brings_its_own_keys(small: dict[str, Any]) -> None:
    small["route"] = {"router": "pigeons", "name": "loft", "birds": 7}
    assert fields(small) == ["route.router"]
    assert check_spec(small, foreign=Foreign(routers=["pigeons"])).route.options == {"birds": 7}


def test_a_later_router_may_come_from_elsewhere(small: dict[str, Any]) -> None:
    small["route"] = {"router": "caddy", "name": "shop"}
    assert check_spec(small, foreign=Foreign(routers=["caddy"])).route.router == "caddy"


def test_several_identities_count_once(small: dict[str, Any]) -> None:
    small["people"] = {"sre": ["ana@example.org"], "leads": ["ana@example.org"]}
    approval = {"by": ["sre", "leads", "ana@example.org"], "count": 2}
    small["steps"][1]["gate"] = {"approval": approval}
    assert fields(small) == ["steps[1].gate.approval.count"]
    approval["by"] = ["sre", "bo@example.org"]
    assert check_spec(small).steps[1].gate is not None


def test_anyone_may_approve(small: dict[str, Any]) -> None:
    small["steps"][1]["gate"] = {"approval": {"count": 5}}
    assert check_spec(small).steps[1].gate is not None


@pytest.mark.parametrize(
    ("source", "field"),
    [
        ({"url": "http://ana:hunter2@db"}, "url"),
        ({"url": "http://db/?token=hunter2"}, "url"),
        ({"url": "http://db", "username": "ana", "password_env": "hunter2!"}, "password_env"),
        ({"url": "http://db", "token_env": "hunter2.x"}, "token_env"),
        ({"url": "http://db", "headers": {"X-Api-Key": "hunter2"}}, "headers.X-Api-Key"),
        ({"url": "http://db", "proxy": "http://ana:hunter2@proxy"}, "proxy"),
    ],
)
def test_secrets_are_refused_and_not_shown(small: dict[str, Any], source: dict[str, Any], field: str) -> None:
    small["sources"] = {"prometheus": source}
    with pytest.raises(SpecError) as caught:
        check_spec(small)
    assert [problem.field for problem in caught.value.problems] == [f"sources.prometheus.{field}"]
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["", "db", "ftp://db", "http://", "http://db:0", "http://db:99999", "http://d b", "//db"]
)
def test_what_is_no_url_is_refused(small: dict[str, Any], url: str) -> None:
    small["hooks"] = {"verify": url}
    small["route"]["admins"] = [url]
    assert sorted(fields(small)) == ["hooks.verify", "route.admins[0]"]


@pytest.mark.parametrize("data", [None, [], "text", 3, {}])
def test_what_is_no_spec_is_answered(data: Any) -> None:
    assert fields(data)


def test_problems_of_data_name_their_field_and_are_for_people(small: dict[str, Any]) -> None:
    small["policy"] = {"alpha": math.nan}
    with pytest.raises(InputError, match=r"^<spec>: policy\.alpha: nan is not a finite number$"):
        check_spec(small)


def test_keys_that_are_no_text_are_refused(small: dict[str, Any]) -> None:
    small[3] = 4  # type: ignore[index]
    small["people"] = {1: ["ana@example.org"]}
    assert fields(small) == ["[3]", "people[1]"]


def test_checking_changes_nothing_of_the_data(small: dict[str, Any]) -> None:
    before = repr(small)
    check_spec(small)
    small["steps"][0]["typo"] = 1
    broken = repr(small)
    assert fields(small) == ["steps[0].typo"]
    assert (before, broken) == (before, repr(small))


def test_a_model_is_checked_again(small: dict[str, Any]) -> None:
    spec = check_spec(small)
    assert recheck(spec) == []
    wrong = CanarySpec.model_validate({**small, "steps": [{"weight": 5}, {"weight": 5, "for": "1s"}]})
    assert [problem.field for problem in recheck(wrong)] == ["steps[1].weight", "steps[1].for"]
    assert str(recheck(wrong)[0]).startswith("steps[1].weight: ")


def test_a_model_is_checked_again_without_knowing_the_routers(small: dict[str, Any]) -> None:
    spec = check_spec({**small, "route": {"router": "pigeons", "name": "loft"}}, foreign=Foreign(routers=["pigeons"]))
    assert recheck(spec) == []
    assert [problem.field for problem in recheck(spec, Foreign())] == ["route.router"]


def test_models_that_were_put_together_wrongly_are_found(small: dict[str, Any]) -> None:
    spec = check_spec(small)
    spec.steps[0].weight = 500
    assert [problem.field for problem in recheck(spec)] == ["steps[0].weight"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"service": "x" * 101}, "service", "at most 100 characters"),
        ({"service": ["checkout"]}, "service", "is not a text"),
        ({"region": ""}, "region", "letters, digits"),
        ({"policy": "strict"}, "policy", "is not a mapping"),
        ({"people": ["ana@example.org"]}, "people", "is not a mapping"),
        ({"steps": [{"weight": 0.01 * count} for count in range(1, 102)]}, "steps", "has 101 entries: at most 100"),
        ({"kind": True}, "kind", "true is not one of Canary"),
        ({"ledger": {"path": ""}}, "ledger.path", "is empty"),
        (
            {"notify": [{"kind": ["log"]}]},
            "notify[0].kind",
            "['log'] is not a text",
        ),
        ({"kind": "Experiment", "arms": 3, "goal": "more"}, "kind", "'Experiment' is not built yet"),
    ],
)
def test_wrong_kinds_of_value_are_told_in_plain_words(
    small: dict[str, Any], change: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(SpecError) as caught:
        check_spec({**small, **change})
    assert [problem.field for problem in caught.value.problems] == [field]
    assert said in str(caught.value)
