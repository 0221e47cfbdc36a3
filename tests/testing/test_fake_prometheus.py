"""The fake of a Prometheus: queries that only some commands ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from coalmine.testing.fake_prometheus import FakePrometheus

MINUTE = 60_000


@pytest.fixture
def fake() -> Iterator[FakePrometheus]:
    with FakePrometheus() as made:
        for pod, at in (("a", 1), ("b", 2), ("a", 3)):
            made.add("requests_total", {"pod": pod, "instance": str(at)}, [(at * MINUTE, at)])
        made.add("requests_total", {"instance": "9"}, [(3 * MINUTE, 9)])
        yield made


@pytest.mark.parametrize(("seconds", "values"), [(180, [{"pod": "a"}, {"pod": "b"}, {}]), (30, [{"pod": "a"}, {}])])
def test_series_are_grouped_by_a_label(fake: FakePrometheus, seconds: int, values: list[dict[str, str]]) -> None:
    query = f"group by (pod) (last_over_time(requests_total[{seconds}s]))"
    status, body = fake.evaluate(query, 3 * MINUTE)
    assert (status, body["data"]["resultType"]) == (200, "vector")
    assert body["data"]["result"] == [{"metric": one, "value": [180.0, "1"]} for one in values]


@pytest.mark.parametrize(
    ("inner", "said"), [("requests_total[5s]", "instant vector"), ("rate(x[5s])[5m:]", "this fake does not know")]
)
def test_what_cannot_be_grouped_is_refused(fake: FakePrometheus, inner: str, said: str) -> None:
    found: tuple[int, dict[str, Any]] = fake.evaluate(f"group by (pod) ({inner})", MINUTE)
    assert found[0] == 400
    assert said in found[1]["error"]
