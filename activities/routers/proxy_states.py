"""What is told of each proxy: what it shows of a route, and whether that is what its file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from activities.routers.splits import Reading, Shown, Terms, agreed_weights
from activities.routers.watching import Took, Watched
from coalmine.errors import RouteRejected, RouterError
from coalmine.records import ProxyState, Weights


@dataclass(frozen=True)
class Asked:
    """The route that is asked for, and the backends whose weights are."""

    name: str
    backends: Sequence[str]
    terms: Terms

    def weights(self, shown: Shown) -> Weights:
        """Percent by backend.

        Raises:
            RouteRejected: the route cannot be understood.
        """
        return agreed_weights(shown.splits, self.backends, self.name, self.terms)


def proxy_state(proxy: str, shown: Shown, readings: Mapping[str, Reading], generation: int, asked: Asked) -> ProxyState:
    """What one proxy shows; ``ok`` when that is ``generation``, with the weights of a file."""
    detail = ""
    weights: Weights = {}
    if shown.version is None:
        detail = f"{proxy}: has no route {asked.name!r}"
    else:
        try:
            weights = asked.weights(shown)
        except RouteRejected as error:
            detail = f"{proxy}: {error}"
        if shown.generation > generation:
            detail = f"{proxy}: shows the newer generation {shown.generation}"
        elif shown.generation < generation:
            detail = f"{proxy}: shows generation {shown.generation}, not {generation}"
        elif shown.problem:
            detail = f"{proxy}: does not serve the route: {shown.problem}"
        elif not is_of(shown, readings):
            detail = f"{proxy}: shows generation {generation} with other weights than its file"
    if detail and shown.refused:
        detail = f"{detail}; it refused the route: {shown.refused}"
    return ProxyState(proxy=proxy, ok=not detail, generation=shown.generation, weights=weights, detail=detail)


def watched_state(watched: Watched, asked: Asked) -> ProxyState:
    """What one proxy did with a route that was just written."""
    ok = watched.took is Took.SHOWN
    weights = asked.weights(watched.shown) if ok and watched.shown is not None else {}
    generation = watched.shown.generation if watched.shown else 0
    return ProxyState(proxy=watched.proxy, ok=ok, generation=generation, weights=weights, detail=watched.detail)


def is_of(shown: Shown, readings: Mapping[str, Reading]) -> bool:
    """Whether a proxy uses the route as one of the files has it."""
    return any(one.version == shown.version and one.splits == shown.splits for one in readings.values())


def one_of(errors: Mapping[str, RouterError]) -> RouterError:
    """All reasons under the class of the first that asking again could mend, else of the first."""
    first = next((error for error in errors.values() if error.retryable), next(iter(errors.values())))
    return type(first)("; ".join(str(error) for error in errors.values()))
