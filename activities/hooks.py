"""The activity that calls a user's own step over HTTP (docs/hooks.md).

======================  ===============================================================================
the hook answers        it means
======================  ===============================================================================
2xx                     done; unless the body is JSON with ``"ok": false``, which is a no
202, 409                still at it: the same request comes back after ``Retry-After`` (default 5 s)
408, 425, 429, 5xx      not now: retried with back-off, or after ``Retry-After``
3xx, every other 4xx    a definite no
no answer               retried with back-off
======================  ===============================================================================
"""

from __future__ import annotations

from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.beating import beating, time_left
from activities.failures import as_application_error, translate_errors
from activities.posting import Answer, come_back_later, post_json, where
from coalmine.errors import HookRefused, HookUnreachable
from coalmine.records import HOOK_COPIED, RUN_HOOK, Done, HookRequest

ANSWER_WITHIN = timedelta(minutes=10)
"""How long one call may take where the workflow sets no limit."""
COME_BACK = timedelta(seconds=5)
"""When to ask again where the hook does not say."""
BEAT = 4.0
"""Seconds between heartbeats: each is a write of the Temporal server, and hooks that hang come in hundreds. The call of
a rollout that was rolled back meanwhile ends as late as this; the workflow's heartbeat timeout is 10 s."""


@activity.defn(name=RUN_HOOK.name)
async def run_hook(request: HookRequest) -> Done:
    """Post the request to its hook, with ``Idempotency-Key: <key>``, the same for every try.

    Raises:
        ApplicationError: ``HookRefused`` and ``HookCopied`` (for good), ``HookUnreachable`` or ``HookPending`` (to be
            retried).
    """
    body = request.model_dump(mode="json", exclude={"url", "context", "run_id"})
    if request.run_id not in ("", activity.info().workflow_run_id):
        # The server makes it at once, before the run knows whose the route is: ``retire`` could take down what serves.
        raise ApplicationError(
            f"hook {request.hook} was ordered by the run that a reset ended: nothing was sent",
            type=HOOK_COPIED,
            non_retryable=True,
            category=ApplicationErrorCategory.BENIGN,
        )
    with translate_errors():
        async with beating(BEAT):
            answer = await post_json(request.url, body, request.key, time_left(ANSWER_WITHIN))
        return understand(answer, f"hook {request.hook} at {where(request.url)}")


def understand(answer: Answer, hook: str) -> Done:
    """What a hook's answer means; ``hook`` names it in messages.

    Raises:
        ApplicationError: it cannot answer now, or is still at it.
        HookRefused: a definite no.
    """
    if answer.status in (202, 409):
        raise ApplicationError(
            f"{hook} is still at it ({answer.said()})",
            type="HookPending",
            next_retry_delay=answer.retry_after or COME_BACK,
            category=ApplicationErrorCategory.BENIGN,
        )
    if come_back_later(answer):
        failure = as_application_error(HookUnreachable(f"{hook} cannot answer now ({answer.said()})"))
        if answer.retry_after is None:
            raise failure
        raise ApplicationError(failure.message, type=failure.type, next_retry_delay=answer.retry_after)
    if 300 <= answer.status < 400:
        raise HookRefused(f"{hook} redirects (HTTP {answer.status}); redirects are not followed: name the final URL")
    if not 200 <= answer.status < 300:
        raise HookRefused(f"{hook} refused ({answer.said()})")
    data = answer.data()
    if data.get("ok") is False:
        raise HookRefused(f"{hook} says no: {data.get('reason') or 'without a reason'}")
    return Done(detail=str(data.get("detail") or data.get("reason") or ""))
