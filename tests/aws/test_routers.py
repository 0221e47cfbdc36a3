"""What is each AWS router's own, beside the contract."""

from __future__ import annotations

from typing import Any

import pytest

from activities.aws_services import AwsPlace, AwsServices
from activities.routers import alb_actions
from activities.routers.alb_places import TAG
from activities.routers.aws_alb import AlbRouter
from activities.routers.aws_lambda import LambdaRouter
from activities.routers.aws_route53 import Route53Router
from activities.routers.route53_records import changes, longest_ttl, mark_record, marked, plain_name, weighted
from coalmine.errors import MissingExtra, RouteRejected, RouterUnreachable, StaleGeneration
from coalmine.spec.canary import Route
from coalmine.testing.aws_faults import AwsFault, add_fault, clear_faults
from coalmine.testing.router_world import back, confirmed, live, shown, split, state_of
from tests.aws.worlds import AlbWorld, LambdaWorld, Route53World
from tests.routers.doctor import write_line

NOBODY = "http://127.0.0.1:9"


class TestAnyOfThem:
    @pytest.mark.parametrize(
        ("code", "status", "error", "word"),
        [
            ("AccessDeniedException", 403, RouteRejected, "let the worker's role do lambda:GetAlias"),
            ("TooManyRequestsException", 429, RouterUnreachable, "quota"),
            ("ServiceException", 500, RouterUnreachable, "lambda:GetAlias"),
            ("UnrecognizedClientException", 403, RouteRejected, "renew the worker's AWS credentials"),
            ("ExpiredTokenException", 403, RouterUnreachable, "ExpiredTokenException"),
        ],
    )
    async def test_what_aws_answers_is_told_with_its_mend(
        self, lambda_world: LambdaWorld, code: str, status: int, error: type[Exception], word: str
    ) -> None:
        match = f"GET /2015-03-31/functions/{lambda_world.function}/aliases"
        add_fault(lambda_world.url, AwsFault(match, code=code, status=status, times=-1))
        with pytest.raises(error, match=word):
            await lambda_world.workers[0].read(lambda_world.route)
        clear_faults(lambda_world.url)

    async def test_nobody_there_is_unreachable(self, aws_environment: None) -> None:
        route = Route.model_validate({"router": "aws-lambda", "name": "shop", "alias": "live", "endpoint": NOBODY})
        with pytest.raises(RouterUnreachable, match=r"127\.0\.0\.1:9"):
            await LambdaRouter().read(route)

    async def test_no_region_says_where_to_write_it(
        self, aws_environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        route = Route.model_validate({"router": "aws-lambda", "name": "shop", "alias": "live"})
        with pytest.raises(RouteRejected, match="write region"):
            await LambdaRouter(AwsServices()).read(route)

    async def test_no_credentials_say_how_to_give_some(
        self, aws_environment: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        route = Route.model_validate({"router": "aws-lambda", "name": "shop", "alias": "live"})
        with pytest.raises(RouteRejected, match="give the worker a role"):
            await LambdaRouter(AwsServices()).read(route)

    async def test_without_boto3_the_extra_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "boto3", None)
        with pytest.raises(MissingExtra, match=r"coalmine\[aws\]"):
            await AwsServices().ask(AwsPlace("eu-west-1"), "lambda", "get_alias")


class TestLambda:
    async def test_what_people_wrote_into_the_description_stays(self, lambda_world: LambdaWorld) -> None:
        for generation in (1, 2):
            await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), generation)
        found = lambda_world.aws.get_alias(FunctionName=lambda_world.function, Name="live")
        assert found["Description"] == "What live callers use. [coalmine 2: 1=90 2=10] [coalmine generation 2]"
        assert found["RoutingConfig"] == {"AdditionalVersionWeights": {"2": 0.1}}

    async def test_what_people_write_behind_the_generation_does_not_let_older_writes_in(
        self, lambda_world: LambdaWorld
    ) -> None:
        where = {"FunctionName": lambda_world.function, "Name": "live"}
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 7)
        said = lambda_world.aws.get_alias(**where)["Description"]
        lambda_world.aws.update_alias(**where, Description=f"{said} (ask ana)")
        assert (await state_of(lambda_world)).generation == 7
        assert (await lambda_world.workers[0].confirm(lambda_world.route, 7, ["1", "2"])).answer == "yes"
        with pytest.raises(StaleGeneration):
            await lambda_world.workers[1].apply(lambda_world.route, await split(lambda_world, 50), 3)
        await lambda_world.workers[1].apply(lambda_world.route, await split(lambda_world, 50), 8)
        assert lambda_world.aws.get_alias(**where)["Description"] == (
            "What live callers use. (ask ana) [coalmine 8: 1=50 2=50] [coalmine generation 8]"
        )

    async def test_a_description_without_room_is_refused_and_nothing_written(self, lambda_world: LambdaWorld) -> None:
        where = {"FunctionName": lambda_world.function, "Name": "live"}
        lambda_world.aws.update_alias(**where, Description="x" * 240)
        with pytest.raises(RouteRejected, match="shorten it"):
            await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1)
        assert "RoutingConfig" not in lambda_world.aws.get_alias(**where)

    async def test_where_the_weights_have_no_room_the_generation_has(self, lambda_world: LambdaWorld) -> None:
        where = {"FunctionName": lambda_world.function, "Name": "live"}
        lambda_world.aws.update_alias(**where, Description="x" * 230)
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1)
        assert lambda_world.aws.get_alias(**where)["Description"] == "x" * 230 + " [coalmine generation 1]"
        assert (await confirmed(lambda_world, 1)).answer == "yes"

    async def test_weights_that_an_older_build_left_there_are_not_compared(self, lambda_world: LambdaWorld) -> None:
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1)
        where = {"FunctionName": lambda_world.function, "Name": "live"}
        said = lambda_world.aws.get_alias(**where)["Description"].replace("generation 1]", "generation 2]")
        weights = {"AdditionalVersionWeights": {"2": 0.5}}
        lambda_world.aws.update_alias(**where, FunctionVersion="1", RoutingConfig=weights, Description=said)
        assert (await confirmed(lambda_world, 2)).answer == "yes"
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 3)
        said = lambda_world.aws.get_alias(**where)["Description"]
        assert said == "What live callers use. [coalmine 3: 1=90 2=10] [coalmine generation 3]"

    async def test_at_the_end_one_version_is_all_there_is(self, lambda_world: LambdaWorld) -> None:
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 50), 1)
        await lambda_world.workers[0].apply(lambda_world.route, {"1": 0.0, "2": 100.0}, 2)
        found = lambda_world.aws.get_alias(FunctionName=lambda_world.function, Name="live")
        assert found["FunctionVersion"] == "2"
        assert not (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights")

    @pytest.mark.parametrize(
        ("weights", "word"), [({"1": 50.0, "$LATEST": 50.0}, "published"), ({"1": 50.0, "2": 25.0, "3": 25.0}, "two")]
    )
    async def test_what_an_alias_cannot_do_is_refused(
        self, lambda_world: LambdaWorld, weights: dict[str, float], word: str
    ) -> None:
        with pytest.raises(RouteRejected, match=word):
            await lambda_world.workers[0].apply(lambda_world.route, weights, 1)

    async def test_a_version_that_sleeps_is_woken_on_the_way_back_only(self, lambda_world: LambdaWorld) -> None:
        lambda_world.fail_version("2", "Inactive")
        with pytest.raises(RouteRejected, match="not healthy: Inactive"):
            await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1)
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1, restoring=True)

    async def test_one_that_was_overtaken_between_reading_and_writing_reads_again(
        self, lambda_world: LambdaWorld
    ) -> None:
        """The first write is answered as AWS answers a stale revision; the second try has a new one."""
        add_fault(lambda_world.url, AwsFault(lambda_world.writes, code="PreconditionFailedException", status=412))
        await lambda_world.workers[0].apply(lambda_world.route, await split(lambda_world, 10), 1)
        assert (await lambda_world.workers[1].read(lambda_world.route)).generation == 1


class TestAlb:
    async def test_login_and_stickiness_stay_and_weights_are_what_an_alb_takes(self, alb_world: AlbWorld) -> None:
        await alb_world.workers[0].apply(alb_world.route, await split(alb_world, 0.1), 1)
        (rule,) = alb_world.elb.describe_rules(RuleArns=[alb_world.balancer.rule])["Rules"]
        login, forward = rule["Actions"]
        assert login["Type"] == "authenticate-cognito"
        assert [group["Weight"] for group in forward["ForwardConfig"]["TargetGroups"]] == [999, 1]
        assert forward["ForwardConfig"]["TargetGroupStickinessConfig"] == {"Enabled": True, "DurationSeconds": 60}

    async def test_stickiness_that_outlives_a_rollback_is_told(self, alb_world: AlbWorld) -> None:
        checks = await alb_world.workers[0].check(alb_world.route, alb_world.backends.arms, [10])
        assert any("up to 60 s, also after a rollback" in check.reason for check in checks)

    async def test_a_place_whose_tag_is_newer_than_the_fence_keeps_older_writes_out(self, alb_world: AlbWorld) -> None:
        """As when the fence table was lost."""
        tag = {"Key": TAG, "Value": "9"}
        alb_world.elb.add_tags(ResourceArns=[alb_world.balancer.rule], Tags=[tag])
        with pytest.raises(StaleGeneration, match="9"):
            await alb_world.workers[0].apply(alb_world.route, await split(alb_world, 10), 2)
        assert (await alb_world.workers[0].read(alb_world.route)).generation == 9

    async def test_a_tag_that_is_no_generation_is_refused(self, alb_world: AlbWorld) -> None:
        tag = {"Key": TAG, "Value": "blue"}
        alb_world.elb.add_tags(ResourceArns=[alb_world.balancer.rule], Tags=[tag])
        with pytest.raises(RouteRejected, match="remove the tag"):
            await alb_world.workers[0].read(alb_world.route)

    async def test_a_rule_that_forwards_nothing_is_refused(self, alb_world: AlbWorld) -> None:
        redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "StatusCode": "HTTP_301"}}
        alb_world.elb.modify_rule(RuleArn=alb_world.balancer.rule, Actions=[redirect])
        with pytest.raises(RouteRejected, match="no forward action"):
            await alb_world.workers[0].read(alb_world.route)

    async def test_another_group_with_traffic_fails_the_check(self, alb_world: AlbWorld) -> None:
        await alb_world.meddle(await split(alb_world, 50))
        arms = [alb_world.backends.stable, alb_world.backends.dead]
        checks = await alb_world.workers[0].check(alb_world.route, arms, [10])
        assert any("has traffic too" in check.reason for check in checks if not check.ok)

    async def test_without_its_fence_nothing_is_written(self, alb_world: AlbWorld) -> None:
        route = alb_world.route.model_validate({**alb_world.route.model_dump(), "fence_table": "nowhere"})
        with pytest.raises(RouteRejected, match="fence table nowhere"):
            await AlbRouter().apply(route, await split(alb_world, 10), 1)
        (rule,) = alb_world.elb.describe_rules(RuleArns=[alb_world.balancer.rule])["Rules"]
        assert len(rule["Actions"][1]["ForwardConfig"]["TargetGroups"]) == 1

    def test_a_secret_aws_keeps_to_itself_is_said_to_stay(self) -> None:
        arn = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/stable/1"
        actions: list[dict[str, Any]] = [
            {"Type": "authenticate-oidc", "AuthenticateOidcConfig": {"ClientId": "shop"}},
            {"Type": "forward", "TargetGroupArn": arn},
        ]
        login, forward = alb_actions.with_shares(actions, {"stable": 10_000}, {}, "rule")
        assert login["AuthenticateOidcConfig"] == {"ClientId": "shop", "UseExistingClientSecret": True}
        assert forward == {
            "Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn, "Weight": 999}]},
        }  # fmt: skip

    def test_a_sixth_group_is_one_too_many(self) -> None:
        arns = {f"g{at}": f"arn:aws:elasticloadbalancing:eu:1:targetgroup/g{at}/1" for at in range(6)}
        groups = [{"TargetGroupArn": arns[f"g{at}"], "Weight": 1} for at in range(5)]
        actions = [{"Type": "forward", "ForwardConfig": {"TargetGroups": groups}}]
        with pytest.raises(RouteRejected, match="at most 5"):
            alb_actions.with_shares(actions, {"g0": 5_000, "g5": 5_000}, arns, "rule")


class TestRoute53:
    async def test_a_change_that_is_pending_is_not_confirmed_yet(self, route53_world: Route53World) -> None:
        router, route = route53_world.workers[0], route53_world.route
        await router.apply(route, await split(route53_world, 10), 1)
        add_fault(route53_world.url, AwsFault("GET /2013-04-01/change/", swap=("INSYNC", "PENDING")))
        answer = await router.confirm(route, 1, route53_world.backends.arms)
        assert answer.answer == "no"
        assert "not reached all servers" in answer.reason
        assert (await router.confirm(route, 1)).answer == "yes"

    async def test_confirm_says_what_dns_cannot_prove(self, route53_world: Route53World) -> None:
        await route53_world.workers[0].apply(route53_world.route, await split(route53_world, 10), 1)
        answer = await route53_world.workers[0].confirm(route53_world.route, 1)
        assert answer.answer == "yes"
        assert "resolvers may keep an older answer for 30 s" in answer.reason

    async def test_weights_and_generation_are_one_batch(self, route53_world: Route53World) -> None:
        await route53_world.workers[0].apply(route53_world.route, back(route53_world), 4)
        records = route53_world.dns.list_resource_record_sets(HostedZoneId=route53_world.zone)["ResourceRecordSets"]
        weights = {one["SetIdentifier"]: one["Weight"] for one in records if one["Type"] == "A"}
        (mark,) = (one for one in records if one["Type"] == "TXT")
        assert weights == {"stable": 200, "canary": 0, "dead": 0}
        assert mark["Name"] == f"_coalmine-a.{route53_world.name}."
        assert mark["ResourceRecords"] == [{"Value": '"generation=4"'}]

    async def test_a_mark_that_is_newer_than_the_fence_keeps_older_writes_out(
        self, route53_world: Route53World
    ) -> None:
        """As when the fence table was lost."""
        mark = mark_record(route53_world.name, "A", 9)
        route53_world.dns.change_resource_record_sets(
            HostedZoneId=route53_world.zone,
            ChangeBatch={"Changes": [{"Action": "UPSERT", "ResourceRecordSet": mark}]},
        )
        with pytest.raises(StaleGeneration, match="9"):
            await route53_world.workers[0].apply(route53_world.route, await split(route53_world, 10), 2)
        state = await state_of(route53_world)
        assert (state.generation, live(state.weights)) == (9, live(back(route53_world)))

    async def test_a_record_nobody_made_is_refused(self, route53_world: Route53World) -> None:
        route = route53_world.route.model_validate({**route53_world.route.model_dump(), "type": "CNAME"})
        with pytest.raises(RouteRejected, match="make a weighted one"):
            await Route53Router().read(route)

    @pytest.mark.parametrize(
        ("records", "word"),
        [
            ([{"Name": "a", "Type": "A"}], "not weighted"),
        ],
    )
    def test_records_that_cannot_be_shifted_are_refused(self, records: list[dict[str, Any]], word: str) -> None:
        with pytest.raises(RouteRejected, match=word):
            weighted(records, "A shop")

    def test_what_is_beside_the_weight_stays(self) -> None:
        alias = {
            "Name": "shop",
            "SetIdentifier": "a",
            "Weight": 1,
            "AliasTarget": {"DNSName": "lb"},
            "HealthCheckId": "h",
        }
        mark = mark_record("shop.", "A", 7)
        batch = changes({"a": alias}, {"a": 10_000}, mark)
        assert [change["ResourceRecordSet"] for change in batch] == [{**alias, "Weight": 200}, mark]
        assert longest_ttl({"a": alias}) is None
        assert marked([mark], "shop") == 7

    def test_a_mark_of_somebody_else_is_refused(self) -> None:
        with pytest.raises(RouteRejected, match="remove it"):
            marked([{"Name": "x", "ResourceRecords": [{"Value": '"v=spf1"'}]}], "shop")

    def test_names_are_compared_as_dns_does(self) -> None:
        assert plain_name("\\052.Shop.Example.") == plain_name("*.shop.example")


@pytest.mark.parametrize("kind", ["alb_world", "route53_world"])
async def test_weights_that_hands_set_to_zero_are_not_confirmed_and_rolled_back(
    kind: str, request: pytest.FixtureRequest
) -> None:
    world: AlbWorld | Route53World = request.getfixturevalue(kind)
    await world.workers[0].apply(world.route, await split(world, 10), 1)
    await confirmed(world, 1)
    await world.meddle({world.backends.stable: 0, world.backends.canary: 0})
    answer = await world.workers[1].confirm(world.route, 1, world.backends.arms)
    assert answer.answer == "no"
    assert "all weights are zero" in answer.reason or "no target group gets any traffic" in answer.reason
    with pytest.raises(RouteRejected, match=r"all weights are zero|no target group gets any traffic"):
        await world.workers[0].apply(world.route, await split(world, 20), 2)
    await world.workers[0].apply(world.route, back(world), 2, restoring=True)
    await confirmed(world, 2)
    assert await shown(world) == live(back(world))


@pytest.mark.parametrize("kind", ["lambda_world", "alb_world", "route53_world"])
async def test_doctor_does_not_say_that_what_can_be_read_can_be_written(
    kind: str, request: pytest.FixtureRequest
) -> None:
    """AWS has no dry run for what moves weights, and IAM may allow one and not the other."""
    world: LambdaWorld | AlbWorld | Route53World = request.getfixturevalue(kind)
    writes = "Action=(ModifyRule|ModifyListener)&" if isinstance(world, AlbWorld) else world.writes
    add_fault(world.url, AwsFault(writes, code="AccessDenied", status=403, times=-1))
    try:
        ok, name, told = await write_line(world, world.route.router)
    finally:
        clear_faults(world.url)
    assert (ok, name) == (True, "route write")
    assert told.endswith("can be read; that it can be written is known once the first step has done it")


async def test_a_description_without_room_fails_the_check(lambda_world: LambdaWorld) -> None:
    where = {"FunctionName": lambda_world.function, "Name": "live"}
    lambda_world.aws.update_alias(**where, Description="x" * 240)
    ok, _, told = await write_line(lambda_world, lambda_world.route.router)
    assert not ok
    assert "its description has no room for" in told
