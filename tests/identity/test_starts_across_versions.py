"""A start that was signed by a version of Coalmine which knows other fields of a spec than the worker."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from coalmine.identity.claims import Decided, start_subject
from coalmine.identity.keys import read_jwks
from coalmine.identity.service import sign_for
from coalmine.identity.signing import public_half
from coalmine.identity.verification import BadToken, verify
from coalmine.spec.canary import CanarySpec
from coalmine.spec.digest import spec_digest
from tests.dashboard.served import KEY
from tests.workflows.specs import make_spec

WORKFLOW = "canary/test/checkout"
NOW = datetime.now(UTC)
KEYS = read_jwks(json.dumps({"keys": [public_half(KEY)]}), "the worker's")


class NewerSpec(CanarySpec):
    """With a field that was added since, which nobody has to write."""

    added_since: int = 5


def decided(spec: CanarySpec, version: str = "1.1.0") -> Decided:
    return Decided("start", start_subject(WORKFLOW, version, spec_digest(spec)), "ship it")


def test_it_is_refused_with_what_to_do() -> None:
    older = make_spec()
    newer = NewerSpec.model_validate(older.model_dump(by_alias=True))
    signed = sign_for(KEY, "ana@example.org", (), decided(older), NOW, "once")
    assert verify(signed, decided(older), KEYS, NOW).person == "ana@example.org"
    with pytest.raises(BadToken, match=r"another rollout.*sign with the worker's version \(docs/upgrading.md\)"):
        verify(signed, decided(newer), KEYS, NOW)


def test_a_start_of_another_version_has_nothing_to_do_with_it() -> None:
    signed = sign_for(KEY, "ana@example.org", (), decided(make_spec(), "1.0.0"), NOW, "once")
    with pytest.raises(BadToken, match="decides another rollout") as refused:
        verify(signed, decided(make_spec()), KEYS, NOW)
    assert "upgrading" not in str(refused.value)
