"""``start --deployment``: the number of CI's deployment, put into the channels that keep its status up to date."""

from __future__ import annotations

from coalmine.errors import InputError
from coalmine.spec.canary import CanarySpec
from coalmine.spec.notifier_rules import DEPLOYMENTS


def with_deployment(spec: CanarySpec, given: str | None, told: str) -> CanarySpec:
    """The spec with the deployment's number in every channel that lacks one.

    Args:
        spec: As it was read.
        given: What ``--deployment`` says.
        told: What the environment says; it is for whatever needs one, so nobody needing it is fine.

    Raises:
        InputError: it is no number, no channel takes it, or a channel needs one and nobody said it.
    """
    number = given if given is not None else told.strip()
    if number and not (number.isascii() and number.isdigit() and 0 < len(number) < 19 and int(number)):
        raise InputError(f"--deployment: {number!r} is no deployment's number: give the id that the API answered")
    places = [at for at, one in enumerate(spec.notify) if one.kind in DEPLOYMENTS]
    if given is not None and not places:
        raise InputError(f"--deployment: notify has no channel of kind {' or '.join(DEPLOYMENTS)} that would use it")
    lacking = [at for at in places if spec.notify[at].deployment is None]
    if lacking and not number:
        raise InputError(
            f"notify[{lacking[0]}].deployment: is missing: start with --deployment NUMBER, or set COALMINE_DEPLOYMENT"
        )
    channels = [
        one.model_copy(update={"deployment": int(number)}) if at in lacking else one
        for at, one in enumerate(spec.notify)
    ]
    return spec.model_copy(update={"notify": channels})
