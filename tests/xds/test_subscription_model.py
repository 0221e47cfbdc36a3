"""Whatever a proxy does and in whichever order, what it is said to have is what it has."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from coalmine.xds.subscription import Response, Served, Subscription

NAMES = ("shop", "store")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(NAMES)),
        st.tuples(st.just("ask"), st.sets(st.sampled_from(NAMES))),
        st.tuples(st.just("take"), st.none()),
        st.tuples(st.just("refuse"), st.none()),
        st.tuples(st.just("arrive"), st.none()),
    ),
    max_size=60,
)


@dataclass
class Envoy:
    """As its stream behaves: one state for all routes, and every request tells all of it."""

    wanted: frozenset[str] = frozenset()
    version: str = ""
    nonce: str = ""
    has: dict[str, Served] = field(default_factory=dict)

    def request(self, error: str | None = None) -> tuple[frozenset[str], str, str, str | None]:
        return self.wanted, self.version, self.nonce, error


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_it_never_says_more_than_the_proxy_has(steps: list[tuple[str, object]]) -> None:
    envoy, subscription = Envoy(), Subscription()
    routes = {name: Served(name, "0", b"0") for name in NAMES}
    down: deque[Response] = deque()
    up: deque[tuple[frozenset[str], str, str, str | None]] = deque()

    def send() -> None:
        if (response := subscription.next(routes)) is not None:
            down.append(response)

    def arrive() -> None:
        if up:
            names, version, nonce, error = up.popleft()
            subscription.heard(sorted(names), version, nonce, error)
            send()

    def answer(take: bool) -> None:
        if not down:
            return
        response = down.popleft()
        envoy.nonce = response.nonce
        if take:
            envoy.version = response.served.version
            if response.served.name in envoy.wanted:
                envoy.has[response.served.name] = response.served
        up.append(envoy.request(None if take else "no"))

    for count, (step, what) in enumerate(steps, 1):
        if step == "publish":
            routes[str(what)] = Served(str(what), str(count), str(count).encode())
            send()
        elif step == "ask":
            envoy.wanted = frozenset(what)  # type: ignore[call-overload]
            envoy.has = {name: served for name, served in envoy.has.items() if name in envoy.wanted}
            up.append(envoy.request())
        elif step == "arrive":
            arrive()
        else:
            answer(step == "take")
        if not up and not down:
            assert subscription.has == envoy.has
    for _ in range(4 * len(steps) + 8):
        answer(True)
        arrive()
    if any(step == "ask" for step, _ in steps):
        assert subscription.wanted == envoy.wanted
        refused = {served for served, _ in subscription.refused.values()}
        assert {**subscription.has} == envoy.has
        for name in envoy.wanted:
            assert envoy.has.get(name) == routes[name] or routes[name] in refused
