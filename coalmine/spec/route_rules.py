"""What a router cannot do by its keys alone, known before anybody asks the world: steps too fine, names.

Routers of other distributions are not known here: theirs is found by ``--connect`` and by the checks before a write.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from pydantic import ValidationError

from coalmine.spec.aws_routes import ALB_STEP, ROUTE53_STEP, is_lambda_version
from coalmine.spec.canary import CanarySpec, Route
from coalmine.spec.faults import Fault, shown
from coalmine.spec.kubernetes_routes import KubernetesReplicasRoute
from coalmine.spec.route_files import BACKEND_PROBLEMS, FILE_PROBLEMS, nginx_name_problem, testers_variant_problem

FINEST_STEP = 0.01
"""Percent: what every router can do at best."""
_STEPS = {"aws-alb": ALB_STEP, "aws-route53": ROUTE53_STEP}


def finest_step(route: Route) -> float:
    """The smallest step of this route's weights in percent; of a router that is not known here the finest of all."""
    if route.router == "kubernetes-replicas":
        try:
            return KubernetesReplicasRoute.model_validate(route.options).finest
        except ValidationError:
            return FINEST_STEP
    return _STEPS.get(route.router, FINEST_STEP)


def step_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Weights between the steps the route can do."""
    finest = finest_step(spec.route)
    pods = f", one pod of {round(100 / finest)}" if spec.route.router == "kubernetes-replicas" else ""
    for index, step in enumerate(spec.steps):
        steps = step.weight / finest
        if abs(steps - round(steps)) > 1e-6:
            near = [round(count * finest, 2) for count in (math.floor(steps), math.ceil(steps))]
            mend = " or ".join(f"{weight:g}" for weight in near if 0 < weight < 100)
            message = f"{step.weight:g} is no weight {spec.route.router} can give: it goes in steps of {finest:g} %"
            yield Fault(("steps", index, "weight"), f"{message}{pods}; take {mend}")


def backend_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Backends that cannot be what the router calls one, or are somebody else's too."""
    if spec.route.router == "flagd" and (testers := spec.route.options.get("testers")):
        arms = [spec.arms.baseline.backend, spec.arms.canary.backend]
        if problem := testers_variant_problem(testers["variant"], arms):
            yield Fault(("route", "testers", "variant"), problem)
    if named := BACKEND_PROBLEMS.get(spec.route.router):
        for name, arm in (("baseline", spec.arms.baseline), ("canary", spec.arms.canary)):
            if problem := named(arm.backend):
                yield Fault(("arms", name, "backend"), problem)
    if spec.route.router != "aws-lambda":
        return
    for name, arm in (("baseline", spec.arms.baseline), ("canary", spec.arms.canary)):
        if not is_lambda_version(arm.backend):
            message = f"{shown(arm.backend)} is no published version of a function: write its number, such as '42'"
            yield Fault(("arms", name, "backend"), message)


def name_faults(spec: CanarySpec) -> Iterator[Fault]:
    """A route, or files of it, that the router cannot write by their names."""
    route = spec.route
    if route.router == "nginx" and (problem := nginx_name_problem(route.name)):
        yield Fault(("route", "name"), problem)
    problem_of = FILE_PROBLEMS.get(route.router)
    for at, file in enumerate(route.options["files"] if problem_of else []):
        # One that is no path at all has a rule of its own.
        if problem_of and file.strip() and "\0" not in file and (problem := problem_of(file, route.name)):
            yield Fault(("route", "files", at), problem)
