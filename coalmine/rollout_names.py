"""How people name a rollout: a service, a workflow id, or a rollout id. Pure.

``checkout`` · ``production/checkout`` · ``production/checkout/eu`` · ``canary/production/checkout`` ·
``production/checkout/1.42.0/3`` (one certain rollout).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coalmine.errors import InputError
from coalmine.records import canary_id
from coalmine.spec.base import IDENTIFIER

FORMS = "a service (checkout -e production), canary/<environment>/<service>[/<region>], or a rollout id"
_VERSION = r"""[^\s'"`{}/\\]+"""
_NUMBER = re.compile("[0-9]{1,9}")


@dataclass(frozen=True)
class RolloutName:
    """What a name says; ``version`` and ``number`` only a rollout id does."""

    service: str
    environment: str | None = None
    region: str | None = None
    version: str | None = None
    number: int | None = None

    @property
    def workflow_id(self) -> str | None:
        """The workflow's id, once the environment is known."""
        return canary_id(self.environment, self.service, self.region) if self.environment else None

    def rollout_id(self) -> str | None:
        """The rollout's id, when the name is one."""
        if self.version is None:
            return None
        parts = (self.environment, self.service, self.region, self.version, str(self.number))
        return "/".join(part for part in parts if part)


def parse_name(text: str, environment: str | None = None, region: str | None = None) -> RolloutName:
    """Read a name, as what it means most likely (``readings``).

    Raises:
        InputError: it is none of the forms.
    """
    return readings(text, environment, region)[0]


def readings(text: str, environment: str | None = None, region: str | None = None) -> list[RolloutName]:
    """All that a name can mean, the likeliest first.

    ``canary/a/b/3`` means the workflow of service b in environment a and region 3 or, where there is none, the third
    rollout of version b of service a in an environment called canary.

    Args:
        text: one of ``FORMS``.
        environment: from an option; must not contradict the text.
        region: as ``environment``.

    Raises:
        InputError: it is none of the forms.
    """
    parts = text.strip().strip("/").split("/")
    found: list[RolloutName] = []
    if _is_workflow_id(parts, environment):
        found.append(RolloutName(parts[2], parts[1], parts[3] if len(parts) == 4 else None))
    if len(parts) in (4, 5) and _NUMBER.fullmatch(parts[-1]):
        of_region = parts[2] if len(parts) == 5 else None
        found.append(RolloutName(parts[1], parts[0], of_region, parts[-2], int(parts[-1])))
    elif len(parts) in (2, 3) and not found:
        found.append(RolloutName(parts[1], parts[0], parts[2] if len(parts) == 3 else None))
    elif len(parts) == 1:
        found.append(RolloutName(parts[0]))
    if not found:
        raise InputError(f"{text!r} names no rollout: write {FORMS}")
    usable: list[RolloutName] = []
    wrong: list[InputError] = []
    for name in found:
        try:
            usable.append(_checked(text, name, environment, region))
        except InputError as error:
            wrong.append(error)
    if not usable:
        raise wrong[0]
    return usable


def _checked(text: str, name: RolloutName, environment: str | None, region: str | None) -> RolloutName:
    """With what the options say."""
    for part in (name.service, name.environment or environment or None, name.region or region or None):
        if part is not None and not re.fullmatch(IDENTIFIER, part):
            raise InputError(f"{text!r} names no rollout ({part!r} cannot be a name): write {FORMS}")
    if name.version is not None and not re.fullmatch(_VERSION, name.version):
        raise InputError(f"{text!r} names no rollout ({name.version!r} cannot be a version): write {FORMS}")
    for option, given, said in (("--environment", environment, name.environment), ("--region", region, name.region)):
        if given and said and given != said:
            raise InputError(f"{text!r} says {said}, but {option} says {given}: leave one out")
    return RolloutName(name.service, name.environment or environment, name.region or region, name.version, name.number)


def _is_workflow_id(parts: Sequence[str], environment: str | None) -> bool:
    """Whether ``canary`` in front can be a workflow id's: an environment may be called so too.

    Where both can be, as in ``canary/<name>/<name>``, it is the workflow id's, unless ``environment`` says otherwise.
    """
    if parts[0] != "canary" or len(parts) not in (3, 4):
        return False
    return environment != "canary" or parts[1] == "canary"


def split_rollout_id(text: str) -> tuple[str, str] | None:
    """The ledger's book of a rollout id, and the id; None when the text is none.

    Its last part is a number, or the run's id where the rollout ended before it got one.
    """
    parts = text.strip().strip("/").split("/")
    if len(parts) not in (4, 5) or not re.fullmatch(r"[0-9]+|[0-9a-f]{8}-[0-9a-f-]{27}", parts[-1]):
        return None
    if not all(re.fullmatch(IDENTIFIER, part) for part in parts[:-2]):
        return None
    return "/".join(parts[:-2]), "/".join(parts)
