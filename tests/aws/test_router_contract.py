"""The contract of routers over a fake AWS: it shows our calls and our fence, never that AWS moves traffic."""

from __future__ import annotations

import pytest

from coalmine.testing.router_contract import RouterContract
from coalmine.testing.router_fencing import FencingCases
from tests.aws.worlds import AlbWorld, LambdaWorld, Route53World


class TestLambda(RouterContract):
    @pytest.fixture
    def world(self, lambda_world: LambdaWorld) -> LambdaWorld:
        return lambda_world


class TestAlbFencedByDynamoDb(RouterContract):
    @pytest.fixture
    def world(self, alb_world: AlbWorld) -> AlbWorld:
        return alb_world


class TestAlbFencedByAFile(FencingCases):
    @pytest.fixture
    def world(self, alb_file_world: AlbWorld) -> AlbWorld:
        return alb_file_world


class TestRoute53(RouterContract):
    @pytest.fixture
    def world(self, route53_world: Route53World) -> Route53World:
        return route53_world
