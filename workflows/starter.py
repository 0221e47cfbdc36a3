"""Who started a rollout, proved by a signature: checked before anything else, once."""

from __future__ import annotations

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from coalmine.identity.claims import start_subject
    from coalmine.records import VERIFY_DECISION, Check, VerifyRequest
    from coalmine.rollout import RolloutState
    from coalmine.spec.digest import spec_digest

from workflows.calls import VERIFY, call
from workflows.interruption import failure_reason, unless


async def check_starter(state: RolloutState, ordered: Callable[[], bool]) -> None:
    """Verify the token of the submission, where there is one or the spec asks for one; the check says what came out.

    Raises:
        Interrupted: a human's order came first.
    """
    submission = state.submission
    if not submission.token:
        if state.spec.policy.verified_start and state.starter is None:
            mend = "start it with --sign-with KEY, or with a token of CI in COALMINE_IDENTITY_TOKEN"
            _add(state, False, f"policy.verified_start: nothing proves that {submission.by} starts this; {mend}")
        return
    request = VerifyRequest(
        token=submission.token,
        verb="start",
        rollout_id=start_subject(state.workflow_id, state.spec.arms.canary.version, spec_digest(state.spec)),
        reason=submission.reason,
        at=submission.received or state.started_at or workflow.now(),
        context=state.context(),
        workflow_id=state.workflow_id,
    )
    # What is carried on, shown or recorded is who it was; the token itself is for this once.
    state.submission = submission.model_copy(update={"token": ""})
    try:
        identity = await unless(ordered, call(VERIFY_DECISION, request, VERIFY, "start: who signed it?"))
    except ActivityError as error:
        _add(state, False, f"the signature could not be checked: {failure_reason(error)}")
        return
    if not identity.person:
        _add(state, False, f"the token does not prove who starts this: {identity.reason}")
    elif not identity.issuer and not _is_same(state, identity.person, submission.by.strip()):
        _add(state, False, f"'by' is {submission.by!r:.80}, and the token says {identity.person!r:.80}")
    else:
        state.starter = identity.model_copy(update={"token_id": "", "expires": None})
        how = f"by a token of {identity.issuer}" if identity.issuer else f"by key {identity.key}"
        _add(state, True, f"{identity.person} starts it, proved {how}")


def _is_same(state: RolloutState, one: str, other: str) -> bool:
    return state.person(one, verified=True) == state.person(other, verified=True)


def _add(state: RolloutState, ok: bool, reason: str) -> None:
    state.checks.append(Check(ok=ok, name="starter", reason=reason))
