"""What OpenFeature's own Python providers make of the definitions that are written: who gets what, and when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext

from activities.routers.flag_document import GENERATION
from activities.routers.flagd import FlagdRouter
from coalmine.errors import RouteRejected
from coalmine.flags.endpoint import FlagEndpoint
from coalmine.records import Weights
from coalmine.spec.canary import Route
from tests.routers.flag_worlds import put, remove, text_of

FLAG = "new-checkout"
USERS = 10_000
DEFINITIONS = {
    "flags": {
        FLAG: {
            "state": "ENABLED",
            "variants": {"old": False, "new": True, "testers": True},
            "defaultVariant": "old",
            "targeting": {"fractional": [["old", 10_000], ["new", 0]]},
        }
    }
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(DEFINITIONS))
    return path


@pytest.fixture
def client(file: Path) -> Iterator[OpenFeatureClient]:
    """An app's client, whose provider reads the file every 20 ms."""
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=str(file), deadline_ms=20)
    api.set_provider_and_wait(provider, domain=str(file))
    yield api.get_client(domain=str(file))
    api.shutdown()


def route(file: Path, **more: object) -> Route:
    return Route.model_validate({"router": "flagd", "name": FLAG, "places": [str(file)], **more})


async def write(file: Path, percent: float, generation: int, **more: object) -> None:
    weights: Weights = {"old": 100 - percent, "new": percent}
    await FlagdRouter().apply(route(file, **more), weights, generation)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():
            await asyncio.sleep(0.005)


async def took(client: OpenFeatureClient, generation: int) -> None:
    """Wait until the app has read a generation: providers hand the flag's metadata to it."""
    await until(lambda: generation_of(client) == generation)


def generation_of(client: OpenFeatureClient) -> object:
    return client.get_boolean_details(FLAG, False, EvaluationContext("anybody")).flag_metadata.get(GENERATION)


def with_the_new(client: OpenFeatureClient) -> set[int]:
    return {user for user in range(USERS) if client.get_boolean_value(FLAG, False, EvaluationContext(f"user-{user}"))}


async def test_of_10000_users_all_keep_their_variant_when_5_percent_become_10_and_back(
    file: Path, client: OpenFeatureClient
) -> None:
    seen = []
    for generation, percent in enumerate((5, 10, 5, 50, 100, 0), 1):
        await write(file, percent, generation)
        await took(client, generation)
        seen.append(with_the_new(client))
        # Four standard deviations of a fair deal.
        assert abs(len(seen[-1]) / USERS - percent / 100) <= 4 * (percent / 100 * (1 - percent / 100) / USERS) ** 0.5
    five, ten, five_again, half, whole, none = seen
    assert five < ten < half < whole
    assert five_again == five
    assert (len(whole), len(none)) == (USERS, 0)


@pytest.mark.parametrize("asked", [("old", "new"), ("new", "old")])
@pytest.mark.parametrize("written", [("old", "new"), ("new", "old")])
async def test_users_keep_their_variant_whatever_order_the_weights_are_asked_in(
    written: tuple[str, str], asked: tuple[str, str], file: Path, client: OpenFeatureClient
) -> None:
    """Buckets stay in the order of the file: who is dealt what hangs on it."""
    units = {"old": 10_000, "new": 0}
    content = json.loads(json.dumps(DEFINITIONS))
    content["flags"][FLAG]["targeting"] = {"fractional": [[name, units[name]] for name in written]}
    put(file, json.dumps(content))
    seen = []
    for generation, (percent, order) in enumerate(((5, asked), (10, asked[::-1]), (20, asked)), 1):
        shares = {"old": 100.0 - percent, "new": float(percent)}
        await FlagdRouter().apply(route(file), {name: shares[name] for name in order}, generation)
        buckets = json.loads(text_of(file))["flags"][FLAG]["targeting"]["fractional"]
        assert [name for name, _ in buckets] == list(written)
        await took(client, generation)
        seen.append(with_the_new(client))
    five, ten, twenty = seen
    assert five < ten < twenty


async def test_an_app_flips_while_it_runs_and_goes_on_when_the_file_is_gone_or_broken(
    file: Path, client: OpenFeatureClient
) -> None:
    user = EvaluationContext("ana")
    assert client.get_boolean_value(FLAG, True, user) is False
    await write(file, 100, 1)
    await until(lambda: client.get_boolean_value(FLAG, False, user))
    text = text_of(file)
    remove(file)
    await asyncio.to_thread(_polls, client)
    assert client.get_boolean_value(FLAG, False, user) is True
    put(file, "{")
    await asyncio.to_thread(_polls, client)
    assert client.get_boolean_value(FLAG, False, user) is True
    put(file, text)
    await write(file, 0, 2)
    await until(lambda: not client.get_boolean_value(FLAG, True, user))


def _polls(client: OpenFeatureClient) -> None:
    """Wait until the provider has found the file unreadable."""
    from openfeature.provider import ProviderStatus

    while client.get_provider_status() is not ProviderStatus.ERROR:
        pass


async def test_two_writes_within_one_tick_of_the_clock_are_both_read(file: Path, client: OpenFeatureClient) -> None:
    for generation in range(1, 101):
        await write(file, generation % 2 * 100, generation)
    await took(client, 100)
    assert with_the_new(client) == set()


async def test_testers_get_the_new_way_and_count_apart_until_a_rollback_leaves_nobody_behind(
    file: Path, client: OpenFeatureClient
) -> None:
    testers = {"variant": "testers", "when": {"ends_with": [{"var": "email"}, "@example.org"]}}
    tester = EvaluationContext("ana", {"email": "ana@example.org"})
    steps = [(0, "old"), (0.01, "testers"), (5, "testers"), (0, "old"), (5, "testers"), (100, "new")]
    for generation, (percent, hers) in enumerate(steps, 1):
        await write(file, percent, generation, testers=testers)
        await took(client, generation)
        assert client.get_boolean_details(FLAG, False, tester).variant == hers
    definition = json.loads(text_of(file))["flags"][FLAG]
    assert definition["targeting"] == {"fractional": [["old", 0], ["new", 10_000]]}


@pytest.mark.parametrize(("variant", "mend"), [("new", "a variant of their own"), ("nobody", "no variant 'nobody'")])
async def test_testers_who_would_count_or_have_no_variant_are_refused(variant: str, mend: str, file: Path) -> None:
    testers = {"variant": variant, "when": {"==": [{"var": "email"}, "x"]}}
    with pytest.raises(RouteRejected, match=mend):
        await write(file, 5, 1, testers=testers)
    checks = await FlagdRouter().check(route(file, testers=testers), ["old", "new"], [5])
    assert mend in "; ".join(check.reason for check in checks if not check.ok)


async def test_a_user_without_a_key_stays_with_the_old(file: Path, client: OpenFeatureClient) -> None:
    await write(file, 99, 1)
    await took(client, 1)
    assert client.get_boolean_value(FLAG, True, EvaluationContext()) is False


async def test_an_ofrep_provider_gets_the_same_answers_and_the_last_known_when_the_place_is_gone(
    file: Path, client: OpenFeatureClient
) -> None:
    await write(file, 50, 1)
    await took(client, 1)
    async with FlagEndpoint(str(file), every=0.01) as endpoint:
        api.set_provider(OFREPProvider(endpoint.url), domain="remote")
        remote = api.get_client(domain="remote")

        def value(user: int) -> bool:
            return remote.get_boolean_value(FLAG, False, EvaluationContext(f"user-{user}"))

        def some() -> set[int]:
            return {user for user in range(200) if value(user)}

        assert await asyncio.to_thread(some) == with_the_new(client) & set(range(200))
        await write(file, 100, 2)
        async with asyncio.timeout(60):
            while len(await asyncio.to_thread(some)) < 200:
                await asyncio.sleep(0.01)
        remove(file)
        await asyncio.sleep(0.05)
        assert len(await asyncio.to_thread(some)) == 200
    assert await asyncio.to_thread(value, 1) is False, "an app that asks nobody any more has its own default"
