"""What a deployment is looked at for before anything is written to it."""

from __future__ import annotations

from collections.abc import Sequence

from activities.routers.temporal_deployment import Deployment
from activities.routers.temporal_queues import Workers, queue_text
from activities.routers.weights import weight_units
from coalmine.errors import RouteRejected
from coalmine.records import Check


def deployment_check(name: str, found: Deployment, backends: Sequence[str]) -> Check:
    """Whether we may change it, and whether the arms alone get its workflows."""
    problems = []
    if found.manager:
        problems.append(managed_elsewhere(name, found.manager))
    strangers = [f"{build} {share / 100:g} %" for build, share in found.shares.items() if build not in backends]
    if strangers:
        mend = f"temporal worker deployment set-current-version --deployment-name {name} --build-id BASELINE"
        problems.append(
            f"{name}: other builds get workflows ({', '.join(strangers)}): make the baseline current: {mend}"
        )
    return _check("deployment", problems, f"{name}: {found.routing}")


def managed_elsewhere(name: str, manager: str) -> str:
    """Why nobody else may change a deployment, such as one that a controller owns."""
    mend = f"temporal worker deployment manager-identity unset --deployment-name {name}"
    return f"{name}: only {manager!r} may change it, and would undo the rollout: {mend}"


def build_check(workers: Workers, current: Workers | None) -> Check:
    """Whether a build can take what the current one does."""
    problems = [workers.problem] if workers.problem else []
    if current is not None and (lacks := current.polled - workers.polled - workers.silent):
        names = ", ".join(queue_text(queue) for queue in sorted(lacks))
        problems.append(f"build {workers.build!r} does not serve {names}, which build {current.build!r} does")
    state = f", {workers.drainage}" if workers.drainage else ""
    return _check("build", problems, f"{workers.build}: {len(workers.polled)} task queues have workers{state}")


def unknown_build(name: str, build: str) -> Check:
    """What to say of a build the server does not know."""
    reason = f"deployment {name!r} has no build {build!r}: its workers have to have asked for work once"
    return Check(ok=False, name="build", reason=reason)


def weights_check(weights: Sequence[float]) -> Check:
    """Whether Temporal can ramp to each step."""
    try:
        for weight in weights:
            weight_units({"canary": weight, "baseline": 100 - weight})
    except RouteRejected as error:
        return Check(ok=False, name="weights", reason=str(error))
    return Check(ok=True, name="weights", reason="every step can be ramped to")


def _check(name: str, problems: Sequence[str], fine: str) -> Check:
    return Check(ok=not problems, name=name, reason="; ".join(problems) or fine)
