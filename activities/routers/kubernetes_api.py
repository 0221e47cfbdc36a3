"""One Kubernetes API server: objects read, listed and replaced, its refusals in Coalmine's words.

Objects are plain mappings as the server sent them, so that what a newer version adds to a kind survives a write.
Sources: https://kubernetes.io/docs/reference/using-api/api-concepts/ and .../access-authn-authz/rbac/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from coalmine.errors import RouteRejected, RouterUnreachable

if TYPE_CHECKING:
    from lightkube import AsyncClient

Object = dict[str, Any]
_T = TypeVar("_T")

STAND_IN = "our own API server over HTTP (coalmine.testing.fake_kubernetes): the client, not a gateway that obeys"
"""What the adapters' contract ran against."""
PATIENCE = 3.0
"""Seconds one request may take: three of them fit into what an activity may take."""
PAGE = 500
"""Objects of a list in one answer."""
GENERATION = "coalmine.dev/generation"
"""The annotation that carries the fence."""


@dataclass(frozen=True)
class Kind:
    """A kind of object, and how the server's addresses name it."""

    group: str
    version: str
    kind: str
    plural: str

    @property
    def resource(self) -> str:
        """As RBAC and ``kubectl auth can-i`` write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


SERVICE = Kind("", "v1", "Service", "services")
POD = Kind("", "v1", "Pod", "pods")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
DEPLOYMENT = Kind("apps", "v1", "Deployment", "deployments")
_REVIEW = Kind("authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews")
AUTOSCALER = Kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")


class Conflict(Exception):
    """Raised when an object was changed since it was read, or its list went stale: read again."""


class Refused(Exception):
    """Raised when the server, or an admission webhook, refused what was to be written."""


class NotRehearsed(Exception):
    """Raised when the server cannot say what would become of a write."""


class KubernetesApi:
    """A namespace of one cluster."""

    def __init__(self, client: AsyncClient, namespace: str) -> None:
        self._client = client
        self.namespace = namespace
        self.unknown_to_it = False
        """Whether the server has refused our credentials."""

    async def find(self, kind: Kind, name: str, namespace: str = "") -> Object | None:
        """One object, None when it is not there.

        Raises:
            RouterUnreachable: no answer, or we may not.
        """
        place = namespace or self.namespace
        where = f"{kind.kind} {place}/{name}"
        try:
            found = await self._ask("get", kind, where, place, self._client.get(_resource(kind), name, namespace=place))
        except Refused as error:
            raise RouteRejected(str(error)) from error
        return None if found is None else dict(found)

    async def list(self, kind: Kind, labels: Mapping[str, str] | None = None, namespace: str = "") -> list[Object]:
        """All objects with these labels, page by page; begun anew once when the pages were too old to go on.

        Raises:
            RouterUnreachable: no answer, or we may not.
            RouteRejected: the cluster does not know the kind.
        """
        place = namespace or self.namespace
        where = f"{kind.resource} of namespace {place}"

        async def pages() -> list[Object]:
            found = self._client.list(_resource(kind), namespace=place, labels=dict(labels or {}), chunk_size=PAGE)
            return [dict(item) async for item in found]

        for _ in range(2):
            try:
                items = await self._ask("list", kind, where, place, pages())
            except Conflict:
                continue
            except Refused as error:
                raise RouteRejected(str(error)) from error
            if items is None:
                raise RouteRejected(f"{where}: the cluster does not know this kind ({kind.group}/{kind.version})")
            return items
        raise RouterUnreachable(f"{where}: the list changed faster than it could be read")

    async def replace(self, kind: Kind, changed: Object) -> Object:
        """Write an object if it is still as it was read: ``metadata.resourceVersion`` says of which reading it is.

        Raises:
            Conflict: somebody has changed or deleted it since.
            Refused: the server or a webhook refused it.
            RouterUnreachable: no answer, or we may not; whether it was written is not known then.
        """
        name, place = changed["metadata"]["name"], changed["metadata"]["namespace"]
        where = f"{kind.kind} {place}/{name}"
        request = self._client.replace(_resource(kind)(changed), name, namespace=place)
        written = await self._ask("update", kind, where, place, request)
        if written is None:
            raise Conflict(f"{where}: is gone")
        return dict(written)

    async def rehearse(self, kind: Kind, changed: Object) -> str:
        """Why the server would not take a ``replace``, empty if it would: ``dryRun=All``, nothing is written.

        Raises:
            NotRehearsed: that cannot be known: a webhook cannot be asked so, or somebody was quicker.
            RouterUnreachable: no answer.
        """
        name, place = changed["metadata"]["name"], changed["metadata"]["namespace"]
        where = f"{kind.kind} {place}/{name}"
        request = self._client.replace(_resource(kind)(changed), name, namespace=place, dry_run=True)
        try:
            await self._ask("update", kind, where, place, request)
        except Refused as error:
            if "does not support dry run" in str(error):
                raise NotRehearsed(str(error)) from error
            return str(error)
        except Conflict as error:
            raise NotRehearsed(str(error)) from error
        return ""

    async def may(self, verb: str, kind: Kind, name: str) -> str:
        """Why we may not do this, empty when we may.

        Raises:
            RouterUnreachable: no answer.
        """
        place = {"namespace": self.namespace, "verb": verb, "group": kind.group, "resource": kind.plural, "name": name}
        review = _review()(spec={"resourceAttributes": place}, metadata=None)
        answer = await self._ask("create", _REVIEW, _REVIEW.kind, "", self._client.create(review))
        status = (answer or {}).get("status") or {}
        if status.get("allowed"):
            return ""
        why = status.get("reason") or "no rule allows it"
        what = f"{verb} {kind.resource} {name!r} in namespace {self.namespace!r}"
        return f"may not {what}: {why} (infra/kubernetes has the role)"

    async def _ask(self, verb: str, kind: Kind, where: str, namespace: str, request: Awaitable[_T]) -> _T | None:
        import httpx2
        from lightkube.core.exceptions import ApiError, ConfigError

        try:
            async with asyncio.timeout(PATIENCE):
                return await request
        except ApiError as error:
            code, said = error.response.status_code, error.status.message or "no reason given"
            if code == 404:
                return None
            self.unknown_to_it |= code == 401
            raise _translated(code, said, verb, kind, where, namespace) from error
        except TimeoutError as error:
            raise RouterUnreachable(f"{where}: the API server did not answer within {PATIENCE:g} s") from error
        except httpx2.HTTPStatusError as error:
            raise RouterUnreachable(f"{where}: the API server answered {error.response.status_code}") from error
        except (httpx2.HTTPError, ConfigError, OSError) as error:
            raise RouterUnreachable(f"{where}: {str(error) or type(error).__name__}") from error
        except (KeyError, ValueError, RuntimeError) as error:
            raise RouterUnreachable(f"{where}: what answered is no Kubernetes API server ({error!r})") from error


@cache
def _review() -> Any:
    from lightkube.generic_resource import create_global_resource

    return create_global_resource(_REVIEW.group, _REVIEW.version, _REVIEW.kind, _REVIEW.plural)


@cache
def _resource(kind: Kind) -> Any:
    from lightkube.generic_resource import create_namespaced_resource

    return create_namespaced_resource(kind.group, kind.version, kind.kind, kind.plural)


def _translated(code: int, said: str, verb: str, kind: Kind, where: str, namespace: str) -> Exception:
    may = f"allow verb {verb!r} on {kind.resource} in namespace {namespace!r} (infra/kubernetes has the role)"
    if code == 401:
        return RouterUnreachable(f"{where}: the API server does not know our credentials (401): renew them, and {may}")
    # Admission refuses with 403 too; RBAC alone says who cannot do what.
    if code == 403 and " cannot " in said:
        return RouterUnreachable(f"{where}: {said} (403): {may}")
    if code in (409, 410):
        return Conflict(f"{where}: {said}")
    if code in (400, 403, 422):
        return Refused(f"{where}: the API server refused it ({code}): {said}")
    return RouterUnreachable(f"{where}: the API server answered {code}: {said}")


def annotated_generation(found: Object) -> int:
    """The fence an object carries; 0 when it has none.

    Raises:
        RouteRejected: the annotation is no number.
    """
    text = (found["metadata"].get("annotations") or {}).get(GENERATION, "0")
    if not text.isascii() or not text.isdigit():
        name = found["metadata"].get("name")
        raise RouteRejected(f"{name}: annotation {GENERATION} is {text!r}, no number: remove it, or restore the number")
    return int(text)


def annotate(found: Object, generation: int) -> None:
    """Put the fence on an object."""
    found["metadata"].setdefault("annotations", {})[GENERATION] = str(generation)
