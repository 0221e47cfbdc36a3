"""The contract of sources over CloudWatch, and what is its own: periods, dimensions, alarms, errors."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from activities.aws_services import AwsServices
from activities.sources.base import MetricSource
from activities.sources.cloudwatch import CloudwatchSource
from activities.sources.cloudwatch_series import CloudwatchReader
from coalmine.errors import QueryRejected, SourceUnreachable
from coalmine.records import Window
from coalmine.spec.canary import Arm, ArmName, Arms
from coalmine.spec.cloudwatch import series_of
from coalmine.spec.metrics import Metric, Slo
from coalmine.spec.selectors import fill_selector, parse_selector
from coalmine.spec.sources import Source
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.source_contract import Happened, MetricSourceContract, collect
from tests.aws.places import client

BEGIN = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
PERIOD = timedelta(minutes=1)
VALUES = (0.1, 0.25, 3.0)
"""What falls into each bucket: bounds are part of theirs."""
ARMS = Arms(baseline=Arm(version="1.41.0", backend="shop-v41"), canary=Arm(version="1.42.0", backend="shop-v42"))


class CloudwatchWorld:
    """A namespace of its own; requests come in the first, failures in the second minute of a window of two."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = f"Shop/{uuid.uuid4().hex[:8]}"
        # moto tells namespaces apart only where a metric has no dimensions.
        self.balancer = f"app/shop/{self.namespace[5:]}"
        self.aws = client("cloudwatch")
        self.adapter: MetricSource = CloudwatchSource()
        self.source = Source(kind="cloudwatch", scrape=PERIOD, flush=timedelta(0))
        self.arms, self.now = ARMS, BEGIN
        total, failed = (self.selector(name) for name in ("RequestCount", "HTTPCode_Target_5XX_Count"))
        self.ratio = Metric(name="errors", kind="ratio", source="cloudwatch", total=total, events=failed)
        times = self.selector("TargetResponseTime", ',le=~"0.1|0.25"')
        self.latency = Metric(name="latency", kind="latency", source="cloudwatch", buckets=times)
        for name in ("baseline", "canary"):
            self.put(name, "RequestCount", BEGIN - PERIOD, 1)
            self.put(name, "TargetResponseTime", BEGIN - PERIOD, 0.2)

    def selector(self, name: str, further: str = "") -> str:
        dimensions = f'TargetGroup="{{arm.backend}}",LoadBalancer="{self.balancer}"'
        return f'{name}{{namespace="{self.namespace}",{dimensions}{further}}}'

    def pattern(self, name: str) -> str:
        """The same metric, by dimensions that CloudWatch is to list."""
        return f'{name}{{namespace="{self.namespace}",TargetGroup=~"{{arm.backend}}",LoadBalancer=~"app/.*"}}'

    def put(self, arm: ArmName, name: str, at: datetime, value: float, times: int = 1) -> None:
        dimensions = {"TargetGroup": getattr(ARMS, arm).backend, "LoadBalancer": self.balancer}
        told = [{"Name": key, "Value": one} for key, one in dimensions.items()]
        data = {"MetricName": name, "Dimensions": told, "Timestamp": at, "Value": value}
        for first in range(0, times, 500):
            self.aws.put_metric_data(Namespace=self.namespace, MetricData=[data] * min(500, times - first))

    async def happen(self, arms: Mapping[ArmName, Happened]) -> Window:
        start, self.now = self.now, self.now + 2 * PERIOD
        for name, happened in arms.items():
            # As AWS does: a metric has no data point where nothing happened.
            if happened.total:
                self.put(name, "RequestCount", start, happened.total)
            if happened.events:
                self.put(name, "HTTPCode_Target_5XX_Count", start + PERIOD, happened.events)
            for value, times in zip(VALUES, happened.buckets, strict=True):
                self.put(name, "TargetResponseTime", start, value, times)
        return Window(start=start, end=self.now)

    async def go_down(self) -> None:
        add_fault(self.url, AwsFault("GetMetricData|DescribeAlarms", code="ServiceUnavailable", status=503, times=-1))


@pytest.fixture
def cloudwatch(aws: str, aws_environment: None) -> CloudwatchWorld:
    clear_faults(aws)
    return CloudwatchWorld(aws)


class TestCloudwatch(MetricSourceContract):
    @pytest.fixture
    def world(self, cloudwatch: CloudwatchWorld) -> Any:
        yield cloudwatch
        clear_faults(cloudwatch.url)


async def test_a_point_belongs_to_the_window_its_period_ends_in(cloudwatch: CloudwatchWorld) -> None:
    for minute in range(4):
        for arm in ("baseline", "canary"):
            cloudwatch.put(arm, "RequestCount", BEGIN + minute * PERIOD, 10**minute)
    cuts = [BEGIN, BEGIN + timedelta(seconds=90), BEGIN + timedelta(seconds=150), BEGIN + 4 * PERIOD]
    found = []
    for start, end in pairwise(cuts):
        counts = await collect(cloudwatch, cloudwatch.ratio, Window(start=start, end=end))
        assert counts.canary is not None
        found.append(counts.canary.total)
    assert found == [1, 10, 1100]


async def test_a_pattern_of_a_dimension_adds_up_what_it_matches(cloudwatch: CloudwatchWorld) -> None:
    window = await cloudwatch.happen({"baseline": Happened(40, 2), "canary": Happened(4, 1)})
    metric = cloudwatch.ratio.model_copy(update={"total": cloudwatch.pattern("RequestCount")})
    counts = await collect(cloudwatch, metric, window)
    assert counts.canary is not None
    assert (counts.canary.total, counts.canary.events) == (4, 1)


async def test_errors_of_an_arm_that_never_had_one_are_none(cloudwatch: CloudwatchWorld) -> None:
    """CloudWatch lists no 5XX count of a target group that never had one: a sound canary has none."""
    window = await cloudwatch.happen({"baseline": Happened(40, 2), "canary": Happened(4, 0)})
    patterns = {"total": cloudwatch.pattern("RequestCount"), "events": cloudwatch.pattern("HTTPCode_Target_5XX_Count")}
    counts = await collect(cloudwatch, cloudwatch.ratio.model_copy(update=patterns), window)
    assert counts.status == "ok", counts.reason
    assert counts.baseline is not None
    assert counts.canary is not None
    assert (counts.baseline.total, counts.baseline.events) == (40, 2)
    assert (counts.canary.total, counts.canary.events) == (4, 0)


async def test_errors_are_asked_for_before_cloudwatch_lists_them(cloudwatch: CloudwatchWorld) -> None:
    """It lists a new metric after a quarter of an hour, and answers for it at once: by then a canary may be all bad."""
    reader = CloudwatchReader(AwsServices(), "cloudwatch", cloudwatch.source)
    requests, errors = (
        series_of(fill_selector(parse_selector(cloudwatch.pattern(name)), ARMS.canary))
        for name in ("RequestCount", "NotListedYet")
    )
    ((request,),) = await reader.statistics(requests)
    assert await reader.statistics(errors, [request]) == [[dataclasses.replace(request, name="NotListedYet")]]


@pytest.mark.parametrize(("canary", "baseline", "fine"), [("new", "shop-v41", True), ("shop-v42", "gone", False)])
async def test_that_a_canary_had_no_request_yet_is_nothing_wrong(
    cloudwatch: CloudwatchWorld, canary: str, baseline: str, fine: bool
) -> None:
    """As it is before every first step: ``validate --connect`` has to let it pass. A baseline has requests."""
    arms = Arms(baseline=Arm(version="1", backend=baseline), canary=Arm(version="2", backend=canary))
    names: tuple[ArmName, ...] = ("baseline", "canary")
    for name in names:
        cloudwatch.put(name, "RequestCount", datetime.now(UTC) - 5 * PERIOD, 3)
    for metric in (cloudwatch.ratio, cloudwatch.ratio.model_copy(update={"total": cloudwatch.pattern("RequestCount")})):
        told = [one for one in await cloudwatch.adapter.check(cloudwatch.source, metric, arms) if "empty" in one.reason]
        assert [one.ok for one in told] == [fine]
        assert fine == ("natural before its first request" in told[0].reason)


@pytest.mark.parametrize(
    ("ago", "fine", "word"),
    [(5 * PERIOD, True, "3 in 10 min"), (timedelta(hours=1), False, "no data in this window"), (None, False, "empty")],
)
async def test_of_the_baseline_beside_a_canary_that_is_not_listed_it_is_told_whether_it_has_data(
    cloudwatch: CloudwatchWorld, ago: timedelta | None, fine: bool, word: str
) -> None:
    """A pattern finds what CloudWatch has listed for two weeks, whether there is data now or not."""
    arms = Arms(baseline=ARMS.baseline, canary=Arm(version="2", backend="v43"))
    # CloudWatch lists a metric of long ago, of which it keeps no points that are asked for.
    cloudwatch.put("baseline", "RequestCount", datetime.now(UTC) - (ago or timedelta(hours=5)), 3)
    metric = cloudwatch.ratio.model_copy(update={"total": cloudwatch.pattern("RequestCount")})
    told = {one.name: one for one in await cloudwatch.adapter.check(cloudwatch.source, metric, arms)}
    assert told[f"{metric.name}: canary"].ok
    baseline = told[f"{metric.name}: baseline"]
    assert (baseline.ok, word in baseline.reason) == (fine, True), baseline.reason
    assert not baseline.reason.startswith("canary")


@pytest.mark.parametrize(("name", "told"), [("HTTPCode_Target_5XX_Count", False), ("HTTPCode_Target_5XX_Cuont", True)])
async def test_that_events_have_no_data_is_told(cloudwatch: CloudwatchWorld, name: str, told: bool) -> None:
    """A name that is wrong has none for ever, and a bad canary would be taken for a sound one."""
    at = datetime.now(UTC) - 5 * PERIOD
    for arm in ("baseline", "canary"):
        cloudwatch.put(arm, "RequestCount", at, 3)
    cloudwatch.put("baseline", "HTTPCode_Target_5XX_Count", at, 1)
    metric = cloudwatch.ratio.model_copy(
        update={"total": cloudwatch.pattern("RequestCount"), "events": cloudwatch.pattern(name)}
    )
    checks = await cloudwatch.adapter.check(cloudwatch.source, metric, ARMS)
    assert [check for check in checks if not check.ok] == []
    assert ("no data of events: counted as 0" in checks[-1].reason) is told, checks


async def test_a_pattern_nothing_matches_has_no_data(cloudwatch: CloudwatchWorld) -> None:
    window = await cloudwatch.happen({"baseline": Happened(40, 2), "canary": Happened(4, 1)})
    text = f'RequestCount{{namespace="{cloudwatch.namespace}",TargetGroup=~"{{arm.backend}}x"}}'
    counts = await collect(cloudwatch, cloudwatch.ratio.model_copy(update={"total": text}), window)
    assert counts.status == "no_data"
    assert "15 min" in counts.reason


async def test_an_objective_has_its_burn_windows(cloudwatch: CloudwatchWorld) -> None:
    first = await cloudwatch.happen({"baseline": Happened(100, 5), "canary": Happened(100, 5)})
    window = await cloudwatch.happen({"baseline": Happened(10), "canary": Happened(10)})
    metric = cloudwatch.ratio.model_copy(update={"kind": "slo", "slo": Slo(objective=0.99)})
    counts = await collect(cloudwatch, metric, window)
    assert first.end == window.start
    assert counts.canary is not None
    assert counts.canary.burn is not None
    assert [(one.seconds, one.total, one.events) for one in counts.canary.burn] == [
        (300, 111, 5), (1800, 111, 5), (3600, 111, 5), (21600, 111, 5),
    ]  # fmt: skip


class TestAlarms:
    """Alarms as a guardrail: a threshold of kind ``alarm: ...`` whose limit is none in ALARM."""

    @pytest.fixture
    def alarms(self, cloudwatch: CloudwatchWorld) -> dict[str, str]:
        names = {state: f"{cloudwatch.namespace[5:]}-{state}" for state in ("OK", "ALARM", "INSUFFICIENT_DATA")}
        for state, name in names.items():
            cloudwatch.aws.put_metric_alarm(
                AlarmName=name,
                Namespace=cloudwatch.namespace,
                MetricName="RequestCount",
                ComparisonOperator="GreaterThanThreshold",
                EvaluationPeriods=1,
                Period=60,
                Statistic="Sum",
                Threshold=1,
            )
            cloudwatch.aws.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
        return names

    @pytest.mark.parametrize(("states", "value"), [(["OK"], 0), (["OK", "ALARM"], 1)])
    async def test_those_in_alarm_are_counted(
        self, cloudwatch: CloudwatchWorld, alarms: dict[str, str], states: list[str], value: float
    ) -> None:
        counts = await self._ask(cloudwatch, ", ".join(alarms[state] for state in states))
        assert (counts.status, counts.value) == ("ok", value)

    async def test_one_without_data_is_no_data(self, cloudwatch: CloudwatchWorld, alarms: dict[str, str]) -> None:
        counts = await self._ask(cloudwatch, f"{alarms['OK']}, {alarms['INSUFFICIENT_DATA']}")
        assert counts.status == "no_data"
        assert alarms["INSUFFICIENT_DATA"] in counts.reason

    async def test_one_that_is_not_there_is_named(self, cloudwatch: CloudwatchWorld) -> None:
        with pytest.raises(QueryRejected, match="no alarm 'nobody'"):
            await self._ask(cloudwatch, "nobody")

    async def _ask(self, cloudwatch: CloudwatchWorld, names: str) -> Any:
        limits = {"max": 0.0}
        told = {"name": "alarms", "kind": "threshold", "source": "cloudwatch", "query": f"alarm: {names}"}
        metric = Metric.model_validate({**told, "limits": limits})
        return await collect(cloudwatch, metric, Window(start=BEGIN, end=BEGIN + PERIOD))


async def test_throttling_is_named_and_worth_another_try(cloudwatch: CloudwatchWorld) -> None:
    window = await cloudwatch.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
    add_fault(cloudwatch.url, AwsFault("GetMetricData", code="Throttling", times=-1))
    with pytest.raises(SourceUnreachable, match=r"cloudwatch:GetMetricData: Throttling.*quota"):
        await collect(cloudwatch, cloudwatch.ratio, window)
    clear_faults(cloudwatch.url)


async def test_forbidden_says_what_to_allow(cloudwatch: CloudwatchWorld) -> None:
    window = await cloudwatch.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
    add_fault(cloudwatch.url, AwsFault("GetMetricData", code="AccessDenied"))
    with pytest.raises(QueryRejected, match="let the worker's role do cloudwatch:GetMetricData"):
        await collect(cloudwatch, cloudwatch.ratio, window)


async def test_a_fraction_is_no_count(cloudwatch: CloudwatchWorld) -> None:
    window = await cloudwatch.happen({"baseline": Happened(40, 1), "canary": Happened(4, 2)})
    cloudwatch.put("canary", "RequestCount", BEGIN, 0.5)
    counts = await collect(cloudwatch, cloudwatch.ratio, window)
    assert counts.status == "no_data"
    assert "not a whole number" in counts.reason
