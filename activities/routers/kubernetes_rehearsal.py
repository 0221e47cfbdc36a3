"""What a cluster would say to the writes of a rollout: each is sent to it as a dry run, and nothing is kept.

RBAC, the schema and every admission webhook are asked so, as of a real write. A webhook that has side effects, and does
not say that it leaves them out, makes the server refuse the question itself: then the check says what is not known.
Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#dry-run
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Sequence

from activities.routers.kubernetes_api import Kind, KubernetesApi, NotRehearsed, Object, annotate
from activities.routers.preflight import check_of, no_dry_run
from coalmine.records import DRY_RUN, Check


async def rehearsal(api: KubernetesApi, kind: Kind, drafts: Sequence[Object]) -> Check:
    """One check for all drafts of one object.

    Raises:
        RouterUnreachable: no answer.
    """
    where = f"{kind.kind} {drafts[0]['metadata']['name']!r}"
    try:
        said = await asyncio.gather(*(api.rehearse(kind, draft) for draft in drafts))
    except NotRehearsed as error:
        unknown = no_dry_run(where)
        return unknown.model_copy(update={"reason": f"{unknown.reason} ({error})"})
    problems = list(dict.fromkeys(problem for problem in said if problem))
    return check_of(DRY_RUN, problems, f"{where}: can be written, every step of it")


def fenced(found: Object, generation: int) -> Object:
    """The least that a write of this generation changes of an object."""
    draft = copy.deepcopy(found)
    annotate(draft, generation)
    return draft
