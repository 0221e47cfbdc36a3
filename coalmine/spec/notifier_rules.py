"""What channels of each kind may and must say."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.spec.canary import CanarySpec
from coalmine.spec.channels import Notifier
from coalmine.spec.faults import Fault, listed, shown
from coalmine.spec.secret_names import BY_NAME, is_by_name, name_problem
from coalmine.spec.urls import url_problem

DEPLOYMENTS = ("github_deployment", "gitlab_deployment")
"""Kinds that need the number of a deployment before they start."""
KEYS_OF_CHANNEL: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "log": ((), ()),
    "webhook": (("url",), ()),
    "github_deployment": (("repository", "token"), ("url", "deployment", "environment_url")),
    "gitlab_deployment": (("repository", "token"), ("url", "deployment")),
    "sns": (("topic",), ()),
    "eventbridge": (("bus",), ()),
}
"""What each kind must and may say."""
OWN_KEYS = tuple(dict.fromkeys(key for must, may in KEYS_OF_CHANNEL.values() for key in (*must, *may)))
_NEEDED = {
    ("webhook", "url"): "a webhook needs the URL to post to",
    ("sns", "topic"): "the ARN of the topic to publish to",
    ("eventbridge", "bus"): "the event bus to put events on, such as default",
    ("github_deployment", "repository"): "whose deployment it is, as owner/name",
    ("gitlab_deployment", "repository"): "whose deployment it is, the project's path or number",
    ("github_deployment", "token"): "write ${COALMINE_SECRET_...}, and set that variable on the worker",
    ("gitlab_deployment", "token"): "write ${COALMINE_SECRET_...}, and set that variable on the worker",
}
REPOSITORY = {
    "github_deployment": re.compile(r"[A-Za-z0-9_.-]{1,100}/[A-Za-z0-9_.-]{1,100}"),
    "gitlab_deployment": re.compile(r"[0-9]{1,18}|[A-Za-z0-9_.-]{1,255}(/[A-Za-z0-9_.-]{1,255}){1,20}"),
}


def notifier_faults(spec: CanarySpec) -> Iterator[Fault]:
    """Keys that are missing, belong to another kind, or cannot be used."""
    for index, channel in enumerate(spec.notify):
        if channel.kind not in KEYS_OF_CHANNEL:
            # An adapter from elsewhere says itself what it needs.
            continue
        must, may = KEYS_OF_CHANNEL[channel.kind]
        for key in OWN_KEYS:
            value = getattr(channel, key)
            if value is None and key in must:
                yield Fault(("notify", index, key), f"is missing: {_NEEDED[channel.kind, key]}")
            elif value is not None and key not in (*must, *may):
                owners = [kind for kind, keys in KEYS_OF_CHANNEL.items() if key in (*keys[0], *keys[1])]
                yield Fault(("notify", index, key), f"belongs to kind: {listed(owners)}; {channel.kind} has none")
            elif value is not None and (problem := _problem(channel, key)):
                yield Fault(("notify", index, key), problem)


def _problem(channel: Notifier, key: str) -> str | None:
    value = getattr(channel, key)
    if key in ("url", "environment_url"):
        # What is put behind an API's address has a path of its own.
        return url_problem(value, BY_NAME, named=True, parameters=key != "url" or channel.kind not in DEPLOYMENTS)
    if key == "token":
        return name_problem(value) or (None if is_by_name(value) else f"must not be written out: {BY_NAME}")
    if key == "repository" and not REPOSITORY[channel.kind].fullmatch(value):
        form = "owner/name" if channel.kind == "github_deployment" else "group/name, or the project's number"
        return f"{shown(value)} is no repository: write {form}"
    return None
