"""Channels by kind: those built in, and those other distributions bring by entry point."""

from __future__ import annotations

from collections.abc import Callable

from activities.adapters import Adapters
from activities.notifiers.base import NotifierChannel
from activities.notifiers.eventbridge import EventBridgeChannel
from activities.notifiers.github_deployment import GithubDeploymentChannel
from activities.notifiers.gitlab_deployment import GitlabDeploymentChannel
from activities.notifiers.log import LogChannel
from activities.notifiers.sns import SnsChannel
from activities.notifiers.webhook import WebhookChannel

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

_ADAPTERS = Adapters("notifier", GROUP, BUILT_IN)
notifier_kinds = _ADAPTERS.kinds
make_notifier = _ADAPTERS.make
