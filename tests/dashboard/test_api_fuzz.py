"""Whatever is sent to the API by its own description: no error nobody foresaw, and never a write by nobody.

A few examples, always the same, keep the suite fast. ``COALMINE_FUZZ_EXAMPLES=500`` tries so many of each, new ones
every time; what fails comes with a blob for ``@reproduce_failure``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import response_schema_conformance, status_code_conformance
from starlette.requests import Request
from starlette.testclient import TestClient

from coalmine.dashboard import app
from coalmine.dashboard.acting import Actor
from coalmine.dashboard.auth.bearer import Bearer
from coalmine.dashboard.auth.nobody import Nobody
from coalmine.dashboard.context import Settings
from coalmine.dashboard.limits import Limits
from coalmine.dashboard.people import Denied, Person
from coalmine.dashboard.places import Place
from coalmine.dashboard.session import Sessions
from coalmine.records import Verb
from coalmine.testing.fake_rollouts import FakeRollouts, a_status
from tests.dashboard.served import KEY, SECRET

TOKEN = "of-ana"


class OneToken(Bearer):
    """Knows one token; issuers are tested elsewhere."""

    def __init__(self) -> None:
        super().__init__([])

    async def who(self, request: Request) -> Person | None:
        """ana, for her token."""
        given = request.headers.get("authorization")
        if given is not None and given != f"Bearer {TOKEN}":
            raise Denied(401, "not the token")
        return Person("ana", proved_by="token") if given is not None else None


def build() -> tuple[Any, FakeRollouts]:
    """The application on rollouts that are there again after everything that was said to them."""
    fake = FakeRollouts()
    fake.put(a_status("checkout"))
    place = Place("http://testserver")
    built = app.build(
        Settings(
            rollouts=fake,
            access=Nobody("ana"),
            sessions=Sessions(SECRET, place.secure),
            place=place,
            actor=Actor(fake, KEY),
            bearer=OneToken(),
            # The clock runs fast: nobody sends too much.
            limits=Limits(iter(range(0, 10**9, 100)).__next__),
        )
    )
    return built, fake


APP, FAKE = build()
SCHEMA = schemathesis.openapi.from_asgi("/api/v1/openapi.json", APP)
MORE = int(os.environ.get("COALMINE_FUZZ_EXAMPLES", "0"))
FEW = settings(
    max_examples=MORE or 8,
    deadline=None,
    database=None,
    derandomize=not MORE,
    print_blob=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
CLIENT = TestClient(APP, raise_server_exceptions=False)
CHECKS = [not_a_server_error, status_code_conformance, response_schema_conformance]


@SCHEMA.parametrize()
@FEW
def test_whatever_is_sent_is_answered_as_described(case: schemathesis.Case[Any]) -> None:
    if FAKE.statuses.keys() != {"canary/production/checkout"}:
        FAKE.statuses.clear()
        FAKE.put(a_status("checkout"))
    case.call_and_validate(headers={"Authorization": f"Bearer {TOKEN}"}, checks=CHECKS)


# JSON's escapes carry halves of characters, which the description's own strategies leave out.
HALVES = st.characters(categories=["Cs"])
TEXTS = st.tuples(st.text(max_size=4), HALVES, st.text(max_size=4)).map("".join)
VALUES = st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2))
KEYS = st.sampled_from(("reason", "rollout_id", "gate", "attempt", "for", "service", "arms", "people")) | TEXTS
PATHS = [f"/api/v1/rollouts/production/checkout/{verb}" for verb in Verb] + ["/api/v1/rollouts", "/api/v1/validate"]


@pytest.mark.parametrize("path", PATHS)
@FEW
@given(body=st.dictionaries(KEYS, VALUES, min_size=1, max_size=3))
def test_half_a_character_anywhere_is_the_senders_error(path: str, body: Any) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    FAKE.sent.clear()
    answer = CLIENT.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    assert told["problems"]
    assert all(problem["field"] for problem in told["problems"])
    json.dumps(told, ensure_ascii=False).encode()
    assert FAKE.sent == []


@SCHEMA.include(method="POST").parametrize()
@settings(FEW, max_examples=MORE or 4)
def test_nobody_writes(case: schemathesis.Case[Any]) -> None:
    FAKE.sent.clear()
    FAKE.started.clear()
    case.headers.pop("Authorization", None)
    answer = case.call(headers={})
    if not case.path.endswith("/validate"):
        assert 400 <= answer.status_code < 500
    assert FAKE.sent == []
    assert FAKE.started == []
