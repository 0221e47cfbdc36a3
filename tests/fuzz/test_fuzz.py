"""A few inputs of each fuzz target; ``python -m tests.fuzz`` tries for minutes."""

from __future__ import annotations

import json
import random

import pytest

from tests.fuzz.attempt import attempt, warm_up
from tests.fuzz.mutation import mutated
from tests.fuzz.seeds import ledgers, signals
from tests.fuzz.targets import TARGETS, sent

FEW = 40


@pytest.mark.parametrize("name", TARGETS)
def test_whatever_comes_is_answered(name: str) -> None:
    target, rng = TARGETS[name], random.Random(f"test {name}")
    warm_up(target)
    for data in [*target.seeds, *(mutated(rng, target.seeds) for _ in range(FEW))]:
        assert not attempt(target, data), data[:2000]


FOUND = [
    ("prometheus", b'{"status":"success","data":{"resultType":"scalar","result":[%b,"1"]}}' % (b"9" * 400)),
    ("webhook", b"HTTP/1.1 429 Busy\r\nRetry-After: Sun, 01 Mar 2026 12:00:%b GMT\r\n\r\n" % (b"9" * 400)),
    ("webhook", b"HTTP/1.1 200 OK\r\nContent-Type: a%b\r\n\r\n{}" % (b"(" * 2_000)),
    ("ledger", ledgers()[0].replace(b"12:00:50Z", b"12:00:50")),
    ("ledger", ledgers()[0].replace(b"2026-03-01T12:00:50Z", b"2026-03-01")),
    ("ledger", ledgers()[0].replace(b"2026-03-01T12:00:50Z", b"0001-01-01T00:00:00+12:00")),
]
"""What fuzzing has found once."""


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_once_is_answered(name: str, data: bytes) -> None:
    warm_up(TARGETS[name])
    assert not attempt(TARGETS[name], data)


def test_what_is_sent_to_a_rollout_reaches_its_commands() -> None:
    """Refused by the converter, every input would count as answered."""
    assert [sent(data) for data in signals()] == [json.loads(data) for data in signals()]
