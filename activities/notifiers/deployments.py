"""What both channels for deployments have in common: asking the API, and telling its refusals from its troubles."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from temporalio import activity

from activities.beating import time_left
from activities.notifiers.webhook import ANSWER_WITHIN
from activities.posting import Answer, ask_json, come_back_later, where
from coalmine.connection import UI_VARIABLE
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.spec.channels import Notifier

_MENDS = {
    401: "the token is not valid: does the secret hold the one that is meant?",
    403: "the token may not write deployments",
    404: "there is no such repository or deployment, or the token may not see it",
    422: "the API does not take this status",
}


def deployment_of(channel: Notifier) -> int:
    """The number of the deployment.

    Raises:
        HookRefused: nobody said it.
    """
    if channel.deployment is None:
        raise HookRefused(
            f"{channel.kind} of {channel.repository}: no deployment is named: start with --deployment NUMBER"
        )
    return channel.deployment


async def ask(method: str, url: str, headers: dict[str, str], about: str, body: dict[str, Any] | None = None) -> Answer:
    """One call of the API; ``about`` names the deployment in messages.

    Raises:
        HookUnreachable: worth a retry: no answer, a server's trouble, or a rate limit.
        HookRefused: the API says no, with what to look at.
        SecretMissing: the token is not set here.
    """
    within = min(time_left(ANSWER_WITHIN), ANSWER_WITHIN.total_seconds()) / 2
    answer = await ask_json(method, url, body, within, headers)
    if 200 <= answer.status < 300:
        return answer
    message = f"{about} at {where(url)}: {answer.said()}"
    if come_back_later(answer) or _limited(answer):
        raise HookUnreachable(message)
    mend = _MENDS.get(
        answer.status, "redirects are not followed: name it as it is called now" if answer.status < 400 else ""
    )
    raise HookRefused(f"{message} ({mend})" if mend else message)


def _limited(answer: Answer) -> bool:
    """GitHub says 403 for a rate limit too: with when to come back, or with nothing left."""
    given = {name.lower(): value for name, value in answer.headers.items()}
    return answer.status == 403 and (answer.retry_after is not None or given.get("x-ratelimit-remaining") == "0")


def rollout_page(workflow_id: str) -> str:
    """The rollout's page in the Temporal UI; empty when the worker does not know where that is."""
    ui = os.environ.get(UI_VARIABLE, "").rstrip("/")
    if not ui or not workflow_id or not activity.in_activity():
        return ""
    info = activity.info()
    page = f"{ui}/namespaces/{quote(info.namespace, safe='')}/workflows/{quote(workflow_id, safe='')}"
    run = info.workflow_run_id if info.workflow_id == workflow_id else ""
    return f"{page}/{quote(run, safe='')}/timeline" if run else page
