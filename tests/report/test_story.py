"""A rollout out of its ledger entries: whole, old, torn or still going on."""

from __future__ import annotations

import json

import pytest

from coalmine.records import Exemplar, LedgerEntry, Link
from coalmine.report import as_markdown, tell
from tests.report.stories import NASTY, NOON, Book, diagnosis, rolled_back, verdict


def test_a_rollback_is_told_whole() -> None:
    story = tell(list(reversed(rolled_back(12))))
    assert (story.outcome, story.cause, story.open) == ("rolled_back", "analysis", False)
    assert (story.environment, story.service, story.region) == ("test", "checkout", None)
    assert (story.version, story.baseline_version, story.by) == ("1.1.0", "1.0.0", "ana@example.org")
    assert [shift.weight for shift in story.weights] == [10, 0]
    assert [metric.name for metric in story.metrics] == ["errors", "latency"]
    assert [point.look for point in story.metrics[0].points] == list(range(1, 13))
    assert story.metrics[0].kind == "ratio"
    assert story.metrics[0].verdict == "fail"
    assert story.metrics[1].points[2].effect is None
    assert story.diagnoses[0].rankings[0].values[0].share == 0.94
    assert story.notes == []
    assert json.loads(story.model_dump_json())["seconds_to_restore"] == 0.42


def test_the_spec_is_kept_without_what_may_hold_secrets() -> None:
    story = tell(rolled_back(2, notify=[{"kind": "webhook", "url": "https://chat.example/hook?token=s3cret"}]))
    assert story.spec["policy"]["alpha"] == 0.01
    assert "s3cret" not in story.model_dump_json()
    other = tell(rolled_back(2, policy={"look": "10s", "alpha": 0.02}))
    assert story.spec_hash != other.spec_hash


def test_an_older_ledger_says_what_it_lacks() -> None:
    entries = rolled_back(10)
    for entry in entries:
        for key in ("effects", "spec", "spec_hash"):
            entry.data.pop(key, None)
    story = tell(entries)
    assert [point.look for point in story.metrics[0].points] == [10]
    assert any("9 of 10 looks were written without the effect" in note for note in story.notes)
    assert any("did not keep the spec" in note for note in story.notes)
    assert [shift.weight for shift in story.weights] == [10, 0], "known from the snapshot alone"


def test_entries_that_are_missing_are_counted() -> None:
    entries = rolled_back(10)
    assert tell([entries[0], *entries[4:]]).notes == ["3 of 16 entries are not in the ledger (the first is 2)."]
    lost = entries[-1].model_copy(update={"sequence": 10**15})
    (note,) = tell([*entries[:-1], lost]).notes
    assert note == "999999999999984 of 1000000000000000 entries are not in the ledger (the first is 16)."


def test_a_verdict_of_an_earlier_look_says_so() -> None:
    book = Book()
    book.admit()
    book.look(1, [verdict(text="so far so good")], "advance")
    book.look(2, [verdict()])
    assert tell(book.entries).metrics[0].sentence == "At look 1: so far so good"


@pytest.mark.parametrize("value", ["Infinity", None, True, "x", 10**400, [1], {"a": 1}, float("nan")])
def test_what_is_no_number_is_not_known(value: object) -> None:
    book = Book()
    book.look(1, [verdict()])
    book.entries[0].data["effects"][0]["high"] = value
    book.entries[0].data["canary_requests"] = value
    point = tell(book.entries).metrics[0].points[0]
    assert point.high is None
    assert point.effect == 1.0


@pytest.mark.parametrize("data", [{}, {"effects": 3}, {"effects": [None, {}]}, {"verdicts": "x"}, {"verdicts": [{}]}])
def test_a_look_that_cannot_be_read_is_no_error(data: dict[str, object]) -> None:
    entry = LedgerEntry(kind="look", rollout_id="test/checkout/1.1.0/7", sequence=1, at=NOON, data=data)
    assert as_markdown(tell([entry]))


def test_entries_of_two_rollouts_are_refused() -> None:
    with pytest.raises(ValueError, match="these entries are of 2"):
        tell(
            [*rolled_back(1), *Book("test/cart/1/1").entries, rolled_back(1)[0].model_copy(update={"rollout_id": "x"})]
        )
    with pytest.raises(ValueError, match="these entries are of 0"):
        tell([])


def test_markdown_escapes_what_people_write() -> None:
    text = as_markdown(tell(rolled_back(4, text=NASTY)))
    assert "<script>" not in text.replace("\\<", "")
    assert "](javascript" not in text.replace("\\]", "")
    assert all(line.count("|") - line.count("\\|") in (0, 4, 5, 7, 8) for line in text.splitlines())


def test_markdown_keeps_a_long_link_whole() -> None:
    """A search in a log store easily has more characters than a reason may have, and a pipe in it."""
    query = "&panes=%7B%22a%22:%7B%22expr%22:%22" + "x" * 700
    search = f"https://grafana.example/explore?q=a|b{query}&last=1"
    book = Book()
    book.look(1, [verdict()], "hold")
    found = diagnosis().model_copy(
        update={
            "links": [Link(name="logs", url=search)],
            "exemplars": [Exemplar(trace_id="4bf9", at=NOON, value=1.2, link=f"https://traces.example/4bf9?q={query}")],
        }
    )
    book.add("diagnosis", diagnosis=found.model_dump(mode="json"))
    text = as_markdown(tell(book.entries))
    assert f"- logs: https://grafana.example/explore?q=a%7Cb{query}&last=1\n" in text
    assert f"- trace 4bf9: https://traces.example/4bf9?q={query}\n" in text
