"""Whatever is sent to the API by its own description: no error nobody foresaw, and never a write by nobody.

A few examples, always the same, keep the suite fast. ``COALMINE_FUZZ_EXAMPLES=500`` tries so many of each, new ones
every time; what fails comes with a blob for ``@reproduce_failure``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from copy import deepcopy
from enum import StrEnum
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
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
from coalmine.records import Phase as RolloutPhase
from coalmine.records import Verb
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.dashboard.served import KEY, SECRET
from tests.workflows.specs import make_spec

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
PATIENCE = 60
"""Seconds for one answer: schemathesis' own 10 pass on a machine that has much else to do."""
pytestmark = pytest.mark.timeout(180 + 5 * MORE)
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


Operation = Any
HERE = {"environment": "production", "service": "checkout"}
ROLLOUT = a_status("checkout").rollout_id
OPERATIONS: dict[str, Operation] = {}
for found in SCHEMA.get_all_operations():
    assert isinstance(found, Ok), found
    OPERATIONS[f"{found.ok().method.upper()} {found.ok().path}"] = found.ok()
WRITES = [name for name in OPERATIONS if name.startswith("POST ")]
AS_ANA = {"Authorization": f"Bearer {TOKEN}"}
STRANGERS = [{}, {"Authorization": "Bearer of-bo"}, {"Authorization": "Basic YW5hOmFuYQ=="}, {"Authorization": ""}]
JSON = "application/json"


class Where(StrEnum):
    """What a request meets. Paths and bodies that are made of the description alone never meet a rollout."""

    ACCEPTED = "a rollout that takes it"
    REFUSED = "a rollout that does not"
    ELSEWHERE = "whatever the description gives"


def verb_of(operation: Operation) -> Verb | None:
    last = operation.path.rpartition("/")[2]
    return Verb(last) if last in set(Verb) else None


def takes_spec(operation: Operation) -> bool:
    return f"{operation.method.upper()} {operation.path}" in ("POST /api/v1/rollouts", "POST /api/v1/validate")


def answers_of(operation: Operation) -> set[int]:
    """What must have been answered, or the requests did not reach the operation."""
    if takes_spec(operation):
        return {200, 422}
    if verb_of(operation):
        return {200, 404, 409}
    return {200, 404} if "{service}" in operation.path else {200}


def stand(phase: RolloutPhase) -> None:
    """Let there be one rollout again, to which nothing was said yet."""
    for kept in (FAKE.statuses, FAKE.sent, FAKE.started, FAKE.answers):
        kept.clear()
    FAKE.put(a_status("checkout", phase=phase))


SPEC = make_spec().model_dump(mode="json", by_alias=True, exclude_none=True)


def places_in(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*way, key)
        yield from places_in(inner, (*way, key))


PLACES = list(places_in(SPEC))
FIELDS = sorted({way[-1] for way in PLACES if isinstance(way[-1], str)} | {"region", "people", "gate", "mirror", "by"})
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.text(max_size=8) | st.sampled_from(["30s", "-5m", "1.5h", "../..", "${HOME}", "envoy", "\0", "é" * 3_000])
ODD = st.recursive(
    SCALARS | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=2),
    max_leaves=4,
)


@st.composite
def specs(draw: st.DrawFn, least: int) -> Any:
    """A spec that can be used, in which some fields were left out, replaced and added."""
    spec = deepcopy(SPEC)
    for _ in range(draw(st.integers(least, 3))):
        *way, last = draw(st.sampled_from(PLACES))
        holder: Any = spec
        try:
            for key in way:
                holder = holder[key]
            match draw(st.sampled_from(("leave out", "replace", "add"))):
                case "leave out":
                    del holder[last]
                case "replace":
                    holder[last] = draw(ODD)
                case _ if isinstance(holder, dict):
                    holder[draw(st.sampled_from(FIELDS))] = draw(ODD)
                case _:
                    holder.append(draw(ODD))
        except (AttributeError, LookupError, TypeError):
            # What was changed before has no such place any more.
            continue
    return spec


COMMANDS = st.fixed_dictionaries(
    {"reason": st.text(min_size=1, max_size=8)}, optional={"rollout_id": st.sampled_from(["", ROLLOUT, ROLLOUT + "0"])}
)


@st.composite
def requests(draw: st.DrawFn, operation: Operation, where: Where) -> tuple[schemathesis.Case[Any], RolloutPhase]:
    """A request of the description, led to where it means something, and the phase of the rollout that is there."""
    case = draw(st.one_of([operation.as_strategy(generation_mode=mode) for mode in GenerationMode]))
    verb, phases = verb_of(operation), list(RolloutPhase)
    if where is Where.ELSEWHERE:
        return case, draw(st.sampled_from(phases))
    if "{service}" in operation.path:
        case.path_parameters = dict(HERE)
        case.query = {name: value for name, value in (case.query or {}).items() if name not in ("region", "run")}
    if takes_spec(operation):
        case.body = draw(specs(0 if where is Where.ACCEPTED else 1))
        case.media_type = draw(st.sampled_from((JSON, "application/yaml")))
    if verb is not None:
        phases = [one for one in phases if (verb in a_status("", phase=one).can_send) == (where is Where.ACCEPTED)]
        # The description's own bodies mostly mean another rollout.
        if (command := draw(COMMANDS | st.none())) is not None:
            case.body, case.media_type = command, JSON
    return case, draw(st.sampled_from(phases))


def answered(operation: Operation, where: Where) -> set[int]:
    """Send requests, check each answer, and tell which there were."""
    seen = set()

    @settings(FEW, max_examples=MORE or 4)
    @given(requests(operation, where))
    def send(request: tuple[schemathesis.Case[Any], RolloutPhase]) -> None:
        case, phase = request
        stand(phase)
        seen.add(case.call_and_validate(headers=AS_ANA, checks=CHECKS, timeout=PATIENCE).status_code)

    send()
    return seen


@pytest.mark.parametrize("name", OPERATIONS)
def test_whatever_is_sent_is_answered_as_described(name: str) -> None:
    operation = OPERATIONS[name]
    seen = set().union(*(answered(operation, where) for where in Where))
    assert answers_of(operation) <= seen


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
    headers = {**AS_ANA, "Content-Type": JSON}
    FAKE.sent.clear()
    answer = CLIENT.post(path, content=json.dumps(body), headers=headers)
    assert answer.status_code in (400, 422), answer.text
    told = answer.json()
    assert told["problems"]
    assert all(problem["field"] for problem in told["problems"])
    json.dumps(told, ensure_ascii=False).encode()
    assert FAKE.sent == []


@pytest.mark.parametrize("where", [Where.ACCEPTED, Where.ELSEWHERE])
@pytest.mark.parametrize("name", WRITES)
def test_nobody_writes(name: str, where: Where) -> None:
    accepted = 0

    @settings(FEW, max_examples=MORE or 4)
    @given(requests(OPERATIONS[name], where), st.sampled_from(STRANGERS))
    def send(request: tuple[schemathesis.Case[Any], RolloutPhase], stranger: dict[str, str]) -> None:
        nonlocal accepted
        case, phase = request
        stand(phase)
        case.headers.pop("Authorization", None)
        answer = case.call(headers=stranger, timeout=PATIENCE)
        if not name.endswith("/validate"):
            assert 400 <= answer.status_code < 500
        assert FAKE.sent == []
        assert FAKE.started == []
        # The very same is heard from somebody who is known, so it was for that alone that it was not.
        accepted += case.call(headers=AS_ANA, timeout=PATIENCE).status_code == 200

    send()
    assert accepted or where is Where.ELSEWHERE
