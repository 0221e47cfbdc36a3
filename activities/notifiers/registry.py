"""Channels by kind: those built in, and those other distributions bring by entry point."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import entry_points

from activities.notifiers.base import NotifierChannel
from activities.notifiers.eventbridge import EventBridgeChannel
from activities.notifiers.github_deployment import GithubDeploymentChannel
from activities.notifiers.gitlab_deployment import GitlabDeploymentChannel
from activities.notifiers.log import LogChannel
from activities.notifiers.sns import SnsChannel
from activities.notifiers.webhook import WebhookChannel
from coalmine.errors import UnknownAdapter

GROUP = "coalmine.notifiers"
"""Entry points of this group name a callable without arguments that returns a NotifierChannel."""

BUILT_IN: dict[str, Callable[[], NotifierChannel]] = {
    "log": LogChannel,
    "webhook": WebhookChannel,
    "github_deployment": GithubDeploymentChannel,
    "gitlab_deployment": GitlabDeploymentChannel,
    "sns": SnsChannel,
    "eventbridge": EventBridgeChannel,
}


def notifier_kinds() -> list[str]:
    """All kinds that can be used here, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def make_notifier(kind: str) -> NotifierChannel:
    """A channel of this kind.

    Raises:
        UnknownAdapter: nobody registered it; lists those that are.
    """
    if kind in BUILT_IN:
        return BUILT_IN[kind]()
    for entry in entry_points(group=GROUP):
        if entry.name == kind:
            made: NotifierChannel = entry.load()()
            return made
    raise UnknownAdapter(f"notifier kind {kind!r} is not known; known are {', '.join(notifier_kinds())}")
