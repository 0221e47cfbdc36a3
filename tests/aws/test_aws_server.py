"""What our layers before moto stand for: what AWS documents, and moto lacks."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.trimmed_counts import trimmed_count
from tests.aws.lambdas import make_function
from tests.aws.places import client

AT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class TestRevisionsOfAnAlias:
    """UpdateAlias: "Only update the alias if the revision ID matches the ID that's specified"."""

    @pytest.fixture
    def alias(self, aws_environment: None) -> dict[str, Any]:
        function = make_function()
        found: dict[str, Any] = client("lambda").create_alias(FunctionName=function, Name="live", FunctionVersion="1")
        return {"FunctionName": function, "Name": "live", "RevisionId": found["RevisionId"]}

    def test_a_change_gives_a_new_one_and_reading_does_not(self, alias: dict[str, Any]) -> None:
        aws = client("lambda")
        first = alias.pop("RevisionId")
        assert aws.get_alias(**alias)["RevisionId"] == first
        changed = aws.update_alias(**alias, RevisionId=first, FunctionVersion="2")
        assert changed["RevisionId"] != first
        read = aws.get_alias(**alias)
        assert (read["RevisionId"], read["FunctionVersion"]) == (changed["RevisionId"], "2")

    def test_a_stale_one_is_refused_with_412_and_nothing_changes(self, alias: dict[str, Any]) -> None:
        aws = client("lambda")
        aws.update_alias(**alias, FunctionVersion="2")
        with pytest.raises(aws.exceptions.PreconditionFailedException) as refused:
            aws.update_alias(**alias, FunctionVersion="3")
        assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
        assert aws.get_alias(FunctionName=alias["FunctionName"], Name="live")["FunctionVersion"] == "2"

    def test_without_one_the_change_is_made(self, alias: dict[str, Any]) -> None:
        aws = client("lambda")
        aws.update_alias(**alias, FunctionVersion="2")
        del alias["RevisionId"]
        assert aws.update_alias(**alias, FunctionVersion="3")["FunctionVersion"] == "3"

    def test_a_refused_change_keeps_the_revision(self, alias: dict[str, Any]) -> None:
        aws = client("lambda")
        with pytest.raises(aws.exceptions.ResourceNotFoundException):
            aws.update_alias(**alias, FunctionVersion="99")
        assert aws.update_alias(**alias, FunctionVersion="2")["FunctionVersion"] == "2"

    def test_aliases_of_one_name_are_apart_by_region(self, alias: dict[str, Any]) -> None:
        other = make_function("us-east-1", alias["FunctionName"])
        far = client("lambda", "us-east-1").create_alias(FunctionName=other, Name="live", FunctionVersion="1")
        assert far["RevisionId"] != alias["RevisionId"]
        client("lambda").update_alias(**alias, FunctionVersion="2")


class TestFaults:
    @pytest.mark.parametrize(
        ("service", "operation", "match"),
        [
            ("elbv2", "describe_load_balancers", "Action=DescribeLoadBalancers"),
            ("route53", "list_hosted_zones", "GET /2013-04-01/hostedzone"),
            ("dynamodb", "list_tables", "ListTables"),
            ("lambda", "list_functions", "GET /2015-03-31/functions"),
            ("cloudwatch", "describe_alarms", "DescribeAlarms"),
            ("sns", "list_topics", "Action=ListTopics"),
            ("events", "list_rules", "ListRules"),
        ],
    )
    def test_an_error_reaches_boto3_under_its_name(
        self, aws: str, aws_environment: None, service: str, operation: str, match: str
    ) -> None:
        clear_faults(aws)
        add_fault(aws, AwsFault(match, code="AccessDenied"))
        call = getattr(client(service), operation)
        with pytest.raises(ClientError) as refused:
            call()
        assert refused.value.response["Error"]["Code"] == "AccessDenied"
        call()

    def test_a_call_whose_answer_is_lost_arrives(self, aws: str, aws_environment: None) -> None:
        clear_faults(aws)
        name = f"lost-{uuid.uuid4().hex[:8]}"
        add_fault(aws, AwsFault(name, code="ServiceUnavailable", status=503, times=-1, arrives=True))
        with pytest.raises(ClientError):
            client("sns").create_topic(Name=name)
        clear_faults(aws)
        topics = client("sns").get_paginator("list_topics").paginate().build_full_result()["Topics"]
        assert any(topic["TopicArn"].endswith(name) for topic in topics)


class TestTrimmedCounts:
    """The user guide: "TC(0.005:0.030) is the count of data points between 0.005 (exclusive) and 0.030 (inclusive)"."""

    @pytest.mark.parametrize(
        ("stat", "counted"), [("TC(0.1:0.3)", 2), ("TC(:0.1)", 1), ("TC(0.3:)", 1), ("TC(:)", 4), ("Sum", None)]
    )
    def test_the_range_is_open_below_and_closed_above(self, stat: str, counted: int | None) -> None:
        assert trimmed_count(stat, [0.1, 0.2, 0.3, 0.4]) == counted

    def test_cloudwatch_answers_it(self, aws_environment: None) -> None:
        aws, name = client("cloudwatch"), f"time-{uuid.uuid4().hex[:8]}"
        data = [{"MetricName": name, "Timestamp": AT, "Value": value} for value in (0.1, 0.2, 0.2, 0.9)]
        aws.put_metric_data(Namespace="Shop", MetricData=data)
        stat = {"Metric": {"Namespace": "Shop", "MetricName": name}, "Period": 60, "Stat": "TC(:0.2)"}
        (found,) = aws.get_metric_data(
            MetricDataQueries=[{"Id": "a", "MetricStat": stat}], StartTime=AT, EndTime=AT + timedelta(minutes=1)
        )["MetricDataResults"]
        assert found["Values"] == [3.0]
