"""What a test that looks once would have said, beside the interval of all looks; and the p-values of a diagnosis."""

from __future__ import annotations

import sys
from datetime import timedelta
from typing import Any

import pytest
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import confint_proportions_2indep

from coalmine.fixed_sample import Table, odds_ratio
from coalmine.records import ArmCounts, LedgerEntry, MetricCounts
from coalmine.report import Story, as_html, as_markdown, tell
from tests.report.page_reader import Page
from tests.report.stories import Book, rolled_back, verdict

METRICS: list[dict[str, Any]] = [
    {"name": "errors", "kind": "ratio", "events": "e", "total": "t", "max": 0.5},
    {"name": "latency", "kind": "latency", "buckets": "b", "objective": {"under": "250ms", "share": 0.99}},
    {"name": "tail", "kind": "latency", "buckets": "b"},
    {"name": "restarts", "kind": "count", "events": "r"},
    {"name": "cpu", "kind": "value", "values": "c"},
]
VERDICTS = [verdict(str(metric["name"])) for metric in METRICS]
BOUNDS = [0.1, 0.25, 1.0]


def counts(canary: tuple[int, int], baseline: tuple[int, int], scale: int = 1) -> list[MetricCounts]:
    def histogram(slow: int) -> ArmCounts:
        buckets = [scale * part for part in (900, 80, 15, slow)]
        return ArmCounts(total=sum(buckets), buckets=buckets)

    def share(events: int, total: int) -> ArmCounts:
        return ArmCounts(total=scale * total, events=scale * events)

    histograms = {"canary": histogram(25), "baseline": histogram(5)}
    return [
        MetricCounts(metric="errors", canary=share(*canary), baseline=share(*baseline)),
        MetricCounts(metric="latency", bounds=BOUNDS, **histograms),
        MetricCounts(metric="tail", bounds=BOUNDS, **histograms),
        MetricCounts(metric="restarts", canary=share(3, 0), baseline=share(9, 0)),
        MetricCounts(metric="cpu", canary=ArmCounts(values=[1.0]), baseline=ArmCounts(values=[1.0, 2.0])),
    ]


def two_steps() -> list[LedgerEntry]:
    """Ten looks at 10 %, ten at 50 % where everything errs ten times as often."""
    book = Book()
    book.admit(metrics=METRICS)
    book.shift(10.0)
    for number in range(1, 11):
        book.look(number, VERDICTS, counts=counts((2, 100), (9, 900)))
    book.shift(50.0)
    for number in range(11, 21):
        book.look(number, VERDICTS, counts=counts((120, 500), (60, 500)), step=1, weight=50.0)
    book.close("promoted", "done")
    for entry in book.entries:
        if entry.kind == "look":
            late = 5 * (entry.data["look"] == 11)
            entry.data["from"] = (entry.at - timedelta(seconds=10 + late)).isoformat()
    return book.entries


@pytest.fixture(scope="module")
def story() -> Story:
    return tell(two_steps())


def test_a_row_a_step_each_of_all_looks_so_far(story: Story) -> None:
    rows = {metric.name: metric.single_looks for metric in story.metrics}
    first, last = rows["errors"]
    assert (first.step, first.look, first.canary_events, first.canary_total) == (1, 10, 20, 1_000)
    assert (last.step, last.look, last.canary_events, last.baseline_total) == (2, 20, 1_220, 14_000)
    published = confint_proportions_2indep(20, 1_000, 90, 9_000, compare="odds-ratio", method="logit", alpha=0.01)
    assert (first.low, first.high) == pytest.approx(published)
    both = odds_ratio([Table(20, 1_000, 90, 9_000), Table(1_200, 5_000, 600, 5_000)], 0.01)
    assert (last.effect, last.low, last.high, last.chance) == (both.effect, both.low, both.high, both.chance)
    assert first.chance is None, "a test may be read once: at the end"
    assert rows["cpu"] == []


def test_latency_at_the_objective_or_next_to_p97(story: Story) -> None:
    rows = {metric.name: metric.single_looks[-1] for metric in story.metrics if metric.single_looks}
    assert rows["latency"].slower_than == 0.25
    assert (rows["latency"].canary_events, rows["latency"].canary_total) == (800, 20_400)
    assert (rows["latency"].baseline_events, rows["latency"].baseline_total) == (400, 20_000)
    assert rows["tail"].slower_than == 0.25, "3 % of both arms together are slower"


def test_events_without_requests_by_their_share_of_the_traffic(story: Story) -> None:
    first, last = next(metric for metric in story.metrics if metric.name == "restarts").single_looks
    assert (first.canary_events, first.baseline_events) == (30, 90)
    assert first.canary_total is None
    assert first.effect == pytest.approx((30 / 0.1) / (90 / 0.9), rel=1e-4)
    # The first look of the second step began before its shift was read back: its share is not known.
    assert (last.canary_events, last.baseline_events) == (57, 171)


def test_p_values_are_adjusted_for_the_number_of_metrics(story: Story) -> None:
    last = [metric.single_looks[-1] for metric in story.metrics if metric.single_looks]
    raw = [row.chance for row in last]
    assert len(raw) == 4
    assert [row.adjusted for row in last] == pytest.approx(list(multipletests(raw, method="holm")[1]))


def test_both_forms_of_the_page_show_it(story: Story) -> None:
    words = Page(as_html(story)).root.words()
    for text in (words, as_markdown(story).replace("\\", "")):
        assert "errors: had it been read once only, 99 % intervals. Valid for one look" in text
        assert "adjusted for 4 metrics by Holm" in text
        assert "latency, requests slower than 250 ms: had it been read once only" in text
        assert "step 2 (look 20)" in text
        assert "extra 'statistics'" not in text
    assert Story.model_validate_json(story.model_dump_json()) == story


def test_without_the_extra_the_page_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.stats.multitest", None)
    bare = tell(rolled_back(12))
    assert bare.metrics[0].points
    assert all(not metric.single_looks for metric in bare.metrics)
    for text in (Page(as_html(bare)).root.words(), as_markdown(bare).replace("\\", "")):
        assert text.count("pip install 'coalmine[statistics]'") == 1
        assert "read once only" not in text


@pytest.mark.parametrize(
    "spoil",
    [
        {"counts": None},
        {"counts": "x"},
        {"counts": [{"metric": "errors", "canary": {"total": "x"}}]},
        {"counts": []},
        {"counts": [{"metric": "errors", "canary": {"total": 5, "events": -1}, "baseline": {"total": 5}}]},
        {"counts": [{"metric": "errors", "canary": {"total": 10**400, "events": 1}, "baseline": {"total": 5}}]},
        {"counts": [{"metric": "errors", "canary": {"total": 5, "events": 1}}]},
    ],
)
def test_looks_without_counts_are_left_out(spoil: dict[str, Any]) -> None:
    entries = two_steps()
    for entry in entries:
        if entry.kind == "look":
            entry.data.update(spoil)
    assert all(not metric.single_looks for metric in tell(entries).metrics)


def test_a_weight_beyond_every_number_leaves_the_rest_to_be_read() -> None:
    entries = two_steps()
    for entry in entries:
        if entry.kind == "look":
            entry.data["weight"] = 10**400
    assert any(metric.single_looks for metric in tell(entries).metrics)


def test_bounds_that_changed_are_merged_and_foreign_ones_say_nothing() -> None:
    entries = two_steps()
    looks = [entry for entry in entries if entry.kind == "look"]
    for counted in looks[-1].data["counts"]:
        if counted["metric"] == "tail":
            counted["bounds"] = [0.1, 0.3, 1.0]
    found = {metric.name: metric.single_looks for metric in tell(entries).metrics}
    assert found["tail"][-1].slower_than == 1.0, "0.25 s is not among the bounds of every look"
    for counted in looks[-1].data["counts"]:
        if counted["metric"] == "tail":
            counted["bounds"] = [3.0, 4.0, 5.0]
    assert next(metric for metric in tell(entries).metrics if metric.name == "tail").single_looks == []


def test_values_of_a_label_are_adjusted_for_all_that_were_looked_at() -> None:
    entries = rolled_back(4, text="/pay")
    for entry in entries:
        if entry.kind == "diagnosis":
            (ranking,) = entry.data["diagnosis"]["rankings"]
            (value,) = ranking["values"]
            ranking["values"] = [{**value, "p": 0.001}, {**value, "value": "/cart", "p": 0.4}, {**value, "p": None}]
            ranking["folded"] = 8
    story = tell(entries)
    (ranking,) = story.diagnoses[0].rankings
    assert [value.adjusted for value in ranking.values] == pytest.approx([0.01, 1.0, None])
    assert "0 of 2 values significant (Holm, p < 0.01)" in as_markdown(story).replace("\\", "")
    entries[-2].data["diagnosis"]["rankings"][0]["folded"] = 0
    assert "1 of 2 values significant" in Page(as_html(tell(entries))).root.words()
