"""The fake router as a world of the contract, and fakes that can less."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from activities.routers.base import Router
from coalmine.records import Confirmation, Weights
from coalmine.spec.canary import Route
from coalmine.testing.fake_router import FakeRouter
from coalmine.testing.router_contract import CANARY, DEAD, STABLE, Lack, RouterWorld


@dataclass
class FakeWorld(RouterWorld):
    """A fake data plane."""

    router: FakeRouter
    route: Route = field(default_factory=lambda: Route(router="fake", name="shop"))
    lacks: Mapping[Lack, str] = field(
        default_factory=lambda: {
            "missing route": "the fake has every route it is asked for",
            "hang": "no proxy of the fake makes anybody wait",
        }
    )

    @property
    def workers(self) -> Sequence[Router]:
        return [self.router, self.router]

    @property
    def proxies(self) -> Sequence[str]:
        return list(self.router.shown(self.route.name))

    @property
    def second(self) -> Route:
        return Route(router="fake", name="store")

    async def stop(self, proxy: str) -> None:
        self.router.take_down(proxy)

    async def start(self, proxy: str) -> None:
        self.router.bring_up(proxy)

    async def meddle(self, weights: Weights) -> None:
        generation = (await self.router.read(self.route)).generation
        self.router.overtake(self.route.name, weights, generation)

    async def foreign(self) -> object:
        return self.router.shown(self.second.name)

    def refuse_next(self) -> None:
        self.router.reject_next(route=self.route.name)

    def lose_next_answer(self) -> None:
        self.router.lose_answers(1)

    def cut_next_short(self) -> None:
        self.router.cut_short(1)


class Forgetful(FakeRouter):
    """Its proxies forget the weights when they restart, until they are written again."""

    def bring_up(self, proxy: str) -> None:
        super().bring_up(proxy)
        for plane in self._planes.values():
            shown = plane.proxies[proxy]
            shown.weights, shown.generation, shown.cut = self._first, 0, True


class Unconfirming(FakeRouter):
    """Nobody can say which proxies have taken a write."""

    able = FakeRouter.able.model_copy(update={"confirm": False})

    async def confirm(self, route: Route, generation: int, backends: Sequence[str] = ()) -> Confirmation:
        told = await super().confirm(route, generation, backends)
        unsaid = Confirmation(answer="unsupported", reason="the proxies do not say", proxies=told.proxies)
        return told if told.answer == "no" else unsaid


def fake_of(kind: type[FakeRouter]) -> FakeWorld:
    """A fake of that kind, at rest."""
    router = kind({STABLE: 100, CANARY: 0, DEAD: 0})
    router.end_endpoints(DEAD)
    return FakeWorld(router)
