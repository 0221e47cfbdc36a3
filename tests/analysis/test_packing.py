"""All arrays of a state in one text: what is packed is read, whatever the numbers; so is evidence of before."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coalmine.analysis import evaluate, recall
from coalmine.analysis.grids import PHI_LADDER
from coalmine.analysis.packing import as_text, from_text, pack, unpack
from coalmine.analysis.state import Rounded
from coalmine.analysis.trees import Capital, Count, Curve, Index, Sum
from coalmine.errors import InputError
from coalmine.records import EvaluateRequest, Evaluation
from tests.analysis.looks import fold, judge, ratio

EARLIER = {version: Path(__file__).with_name(f"evidence_{version}.json") for version in (2, 3, 4, 5)}
RUNGS = PHI_LADDER.size


@dataclass(frozen=True)
class State:
    ladder: Capital
    guard: Capital
    curve: Curve
    total: Sum
    seen: Count
    at: Index


def state(seed: int, wild: bool) -> State:
    rng = np.random.default_rng(seed)
    smooth = rng.normal(0, 3, (2, 1, 1)) - np.arange(5) * rng.normal(0, 2, (2, 1, 1)) / PHI_LADDER[:, None]
    ladder = rng.uniform(-40, 1000, (2, RUNGS, 5)) if wild else smooth
    return State(
        np.where(rng.random(ladder.shape) < 0.1, -np.inf, ladder),
        rng.uniform(-40, 1000, (1, 3)),
        -rng.uniform(0, 3000 if wild else 5, 41),
        rng.normal(0, 1e6, 4),
        np.floor(10.0 ** rng.uniform(0, 15, 3)),
        np.array([3, -1]),
    )


@given(st.integers(0, 10_000), st.booleans())
def test_what_is_packed_is_read(seed: int, wild: bool) -> None:
    rounded = Rounded.of(state(seed, wild), look=3)
    read = unpack(pack(rounded), state(0, False))
    for name in ("capital", "curve", "sums", "counts"):
        assert getattr(read, name).tolist() == getattr(rounded, name).tolist(), name
        assert getattr(read, name).dtype == getattr(rounded, name).dtype
    assert read.shapes == rounded.shapes == ((2, RUNGS, 5), (1, 3))


def test_the_bytes_are_those_of_the_format() -> None:
    """What a worker of another machine must read: rises less what the dispersion below foretells, in zigzag."""
    ladder = np.add.outer(np.arange(RUNGS) * 0.5, [-29.0, -28.0]).reshape(RUNGS, 2)
    packed = pack(Rounded.of(State(ladder, *(np.zeros(0),) * 4, np.zeros(0, np.int64)), look=0))
    steps = [round((value + 30) * 64) for value in ladder.reshape(-1)]
    # A dispersion's first number rises from the first one of the dispersion below, the others from the one before.
    rises = [steps[0], *(steps[at] - steps[at - (1 if at % 2 else 2)] for at in range(1, len(steps)))]
    foretold = [0, 0]
    for rung in range(1, RUNGS):
        quotient = round(PHI_LADDER[rung - 1] / PHI_LADDER[rung] * 65536)
        foretold += [0, (rises[2 * rung - 1] * quotient + 32768) // 65536]
    left = [rise - expected for rise, expected in zip(rises, foretold, strict=True)]
    zigzag = [2 * value if value >= 0 else -2 * value - 1 for value in left]
    planes = bytes([one % 256 for one in zigzag] + [one // 256 for one in zigzag])
    assert zlib.decompress(base64.b85decode(packed)) == planes


@given(st.binary(max_size=50))
def test_letters_are_those_of_base_85(data: bytes) -> None:
    whole = data + bytes(-len(data) % 4)
    assert as_text(data) == base64.b85encode(whole).decode()
    assert from_text(as_text(data)) == whole


def test_nothing_is_packed_too() -> None:
    nothing = State(*(np.zeros(0),) * 5, np.zeros(0, np.int64))
    assert unpack(pack(Rounded.of(nothing, look=1)), nothing).capital.size == 0


@pytest.mark.parametrize("text", [None, 5, "", "no text", "AAAAA", "~~~~~", "a,b,c", "\u00e4bcde", "00000"])
def test_damage_is_refused(text: object) -> None:
    with pytest.raises(InputError, match=r"^evidence\.state: cannot be read \("):
        unpack(text, state(0, False))


def test_other_metrics_are_refused() -> None:
    for data in (b"", b"1", zlib.decompress(base64.b85decode(pack(Rounded.of(state(0, False), look=1)))) + b"1"):
        with pytest.raises(InputError, match="was written for other metrics"):
            unpack(as_text(zlib.compress(data)), state(0, False))


@pytest.mark.parametrize("version", EARLIER)
def test_evidence_of_earlier_versions_is_read(version: int) -> None:
    """A rollout that was under way when its worker was replaced goes on with what it knew."""
    recorded = json.loads(EARLIER[version].read_text())
    request = EvaluateRequest.model_validate(recorded["request"])
    assert request.evidence is not None
    assert request.evidence.state["version"] == version
    found = evaluate(request)
    assert found == recorded_answer(recorded, found)
    assert found.evidence.state["version"] == 6
    assert found.evidence.looks == request.evidence.looks + 1
    following = request.model_copy(update={"evidence": found.evidence})
    kept = evaluate(following)
    recall._kept.clear()
    assert evaluate(following) == kept


def recorded_answer(recorded: dict[str, Any], found: Evaluation) -> Evaluation:
    """What was found then, but for the evidence, and for the kinds that verdicts did not say yet."""
    answer = Evaluation.model_validate(recorded["answer"] | {"evidence": found.evidence})
    verdicts = [
        then.model_copy(update={"kind": now.kind}) for then, now in zip(answer.verdicts, found.verdicts, strict=True)
    ]
    return answer.model_copy(update={"verdicts": verdicts})


@pytest.mark.parametrize("damage", [{"capital": "AAAA"}, {"sums": "AAA"}, {"split": {"share": 0.1, "tests": 1}}])
def test_damaged_evidence_of_version_2_is_refused(damage: dict[str, object]) -> None:
    request = EvaluateRequest.model_validate(json.loads(EARLIER[2].read_text())["request"])
    assert request.evidence is not None
    request.evidence.state.update(damage)
    with pytest.raises(InputError, match=r"^evidence\.state: cannot be read"):
        evaluate(request)


def test_a_busy_service_is_reported_with_the_truth_in_its_interval_at_every_look() -> None:
    arms = (500_000, 10_000_000, 500_000, 10_000_000)
    found = fold(judge(), [[ratio(*arms)] for _ in range(40)])
    for evaluation in found:
        low, high = evaluation.verdicts[0].interval or (1.0, 1.0)
        assert low < 1.0 < high


def test_evidence_of_a_bake_keeps_its_version_and_no_curve() -> None:
    """How curves are written is nothing to a bake: it has none, and its evidence is read as it ever was."""
    recorded = json.loads(Path(__file__).with_name("evidence_bake_1.json").read_text())
    request = EvaluateRequest.model_validate(recorded["request"])
    found = evaluate(request)
    answer = Evaluation.model_validate(recorded["answer"] | {"evidence": found.evidence})
    assert (found.finding, found.log_e_harm, found.canary_requests) == (
        answer.finding,
        answer.log_e_harm,
        answer.canary_requests,
    )
    assert [one.log_e_harm for one in found.verdicts] == [one.log_e_harm for one in answer.verdicts]
    assert [one.effect for one in found.verdicts] == [one.effect for one in answer.verdicts]
    for state in (request.evidence and request.evidence.state, found.evidence.state):
        assert state
        assert (state["version"], state["curve"]) == (1, "")
