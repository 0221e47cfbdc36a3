"""Who may do what in a fake Kubernetes: rules of roles, as RBAC reads them.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Asked:
    """One request: what RBAC would have to allow. ``name`` is empty for a list and a creation."""

    verb: str
    group: str
    resource: str
    namespace: str
    name: str
    user: str = ""


Rule = Mapping[str, Sequence[str]]
"""A rule of a Role: ``apiGroups``, ``resources``, ``verbs``, and ``resourceNames`` where it is for some only."""


def allowed(rules: Mapping[str, Sequence[Rule]] | None, asked: Asked) -> bool:
    """Whether a rule of the namespace allows it; ``resourceNames`` never allow a list or a creation."""
    if rules is None:
        return True
    return any(
        asked.group in rule["apiGroups"]
        and asked.resource in rule["resources"]
        and asked.verb in rule["verbs"]
        and (not rule.get("resourceNames") or asked.name in rule["resourceNames"])
        for rule in rules.get(asked.namespace, ())
    )
