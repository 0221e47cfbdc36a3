"""A Kubernetes API server over real HTTP, in memory: enough for routers, for ``kubectl`` and for tests of roles.

It keeps resource versions (409 for a stale one), generations, status subresources, patches, pages (410 for one that is
too old), RBAC (403 with the server's own words), dry runs and discovery. It runs nothing: no gateway obeys what is
written here, no pod starts. What controllers would answer, ``fake_kubernetes_controllers`` plays. Not there: watches,
server-side apply, defaults, and every admission but what ``refuse_next`` says.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from aiohttp import web

from coalmine.testing.fake_kubernetes_discovery import discovered
from coalmine.testing.fake_kubernetes_roles import Asked, Rule, allowed
from coalmine.testing.fake_kubernetes_store import RESOURCES, ApiProblem, Object, Resource, Store, not_found

REVIEW = ("authorization.k8s.io", "selfsubjectaccessreviews")
_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


class FakeKubernetes:
    """``async with FakeKubernetes() as cluster``; then ``cluster.url``, or ``cluster.kubeconfig(path)``."""

    def __init__(self, tls: ssl.SSLContext | None = None, ca: bytes = b"") -> None:
        """``tls`` with the certificate of 127.0.0.1, ``ca`` in PEM who signed it: without, kubectl sends no token."""
        self._tls, self._ca = tls, ca
        self.store = Store(self._changed)
        self.asked: list[Asked] = []
        """Every request that was understood, in order."""
        self.controllers: list[Callable[[Resource, Object], None]] = []
        """Called with every object that changed, soon after it did."""
        self.roles: dict[str, tuple[str, dict[str, Sequence[Rule]]]] = {}
        """Who may what: by bearer token the user, and rules by namespace. Empty: anybody may everything."""
        self.page: int | None = None
        """The most objects of one page, whatever is asked for."""
        self.expired = 0
        """How many next pages will be too old."""
        self._refusals: list[tuple[str, ApiProblem]] = []
        self._lost: list[tuple[str, int]] = []
        self._outages: dict[str, int] = {}
        self._runner: web.AppRunner | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.url = ""

    # ------------------------------------------------------------------------------ what a test can do to it

    def refuse_next(self, kind: str, code: int = 403, message: str = "denied by policy") -> None:
        """Let an admission webhook refuse the next write of this kind, and dry runs until then."""
        said = f'admission webhook "policy.example.org" denied the request: {message}'
        self._refusals.append((kind, ApiProblem(code, "Forbidden" if code == 403 else "Invalid", said)))

    def lose_next_answer(self, kind: str, after: int = 0) -> None:
        """Carry the next write of this kind out (or one ``after`` it), and cut the connection before its answer."""
        self._lost.append((kind, after))

    def fail_next(self, kind: str, after: int = 0) -> None:
        """Answer 503 to the next write of this kind (or to one ``after`` it), and do nothing of it."""
        self._outages[kind] = after

    def allow(self, token: str, user: str, rules: Mapping[str, Sequence[Rule]]) -> None:
        """From now on only known tokens may do anything, each what its rules say, by namespace."""
        self.roles[token] = (user, dict(rules))

    def add(self, kind: str, name: str, namespace: str = "default", **body: Any) -> Object:
        """Make an object, as somebody with every right; ``status`` is taken too, and ``metadata`` added to."""
        resource = _of_kind(kind)
        status, meta = body.pop("status", None), body.pop("metadata", {})
        made = self.store.create(resource, namespace, {"metadata": {**meta, "name": name}, **body})
        if status is not None:
            made = self.store.replace(resource, namespace, name, {**made, "status": status}, status=resource.status)
        return made

    def get(self, kind: str, name: str, namespace: str = "default") -> Object:
        """An object as it is."""
        return self.store.get(_of_kind(kind), namespace, name)

    def put(self, changed: Object, *, status: bool = False) -> Object:
        """Write an object as somebody else would, whatever its version."""
        meta = changed["metadata"]
        resource = _of_kind(changed["kind"])
        meta["resourceVersion"] = self.store.get(resource, meta["namespace"], meta["name"])["metadata"][
            "resourceVersion"
        ]
        return self.store.replace(resource, meta["namespace"], meta["name"], changed, status=status)

    def kubeconfig(self, path: Path, token: str = "anybody", namespace: str = "default") -> Path:
        """Write a kubeconfig for this server."""
        server = {"server": self.url}
        if self._ca:
            server["certificate-authority-data"] = base64.b64encode(self._ca).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": server}],
            "users": [{"name": "fake", "user": {"token": token}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake", "namespace": namespace}}],
        }
        path.write_text(json.dumps(config))
        return path

    # ------------------------------------------------------------------------------------------------ serving

    async def __aenter__(self) -> FakeKubernetes:
        self._loop = asyncio.get_running_loop()
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls)
        await site.start()
        self.url = f"{'https' if self._tls else 'http'}://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def _loses(self, kind: str) -> bool:
        if not self._lost or self._lost[0][0] != kind:
            return False
        _, after = self._lost.pop(0)
        if after:
            self._lost.insert(0, (kind, after - 1))
        return not after

    def _fails(self, kind: str) -> bool:
        after = self._outages.pop(kind, -1)
        if after > 0:
            self._outages[kind] = after - 1
        return after == 0

    def _changed(self, resource: Resource, found: Object) -> None:
        if self._loop is not None:
            for controller in self.controllers:
                self._loop.call_soon(controller, resource, found)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        try:
            parts = [part for part in request.path.split("/") if part]
            found = discovered(parts) if request.method == "GET" else None
            if found is not None:
                return web.json_response(found)
            body = _body(request.content_type, await request.read())
            answer = self._answer(request, parts, body)
        except ApiProblem as problem:
            status = {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": str(problem),
                "reason": problem.reason, "code": problem.code, "details": problem.details,
            }  # fmt: skip
            # aiohttp would add a charset, which no API server does.
            text = json.dumps(status).encode()
            return web.Response(body=text, status=problem.code, headers={"Content-Type": "application/json"})
        if request.method != "GET" and not _is_dry(request) and self._loses(answer.get("kind", "")):
            assert request.transport is not None
            request.transport.abort()
        return web.json_response(answer, status=201 if request.method == "POST" else 200)

    def _answer(self, request: web.Request, parts: list[str], body: Any) -> Object:
        if len(parts) < (3 if parts[:1] == ["api"] else 4):
            raise ApiProblem(404, "NotFound", "the server could not find the requested resource")
        group, version, rest = ("", parts[1], parts[2:]) if parts[:1] == ["api"] else (parts[1], parts[2], parts[3:])
        user, rules = self._who(request)
        if (group, rest[-1]) == REVIEW:
            wanted = body["spec"]["resourceAttributes"]
            verb, resource, name = wanted["verb"], wanted["resource"], wanted.get("name", "")
            asked = Asked(verb, wanted.get("group", ""), resource, wanted.get("namespace", ""), name, user)
            return {**body, "status": {"allowed": allowed(rules, asked)}}
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        plural, name, subresource = [*rest, "", ""][:3]
        found = next(
            (one for one in RESOURCES if (one.group, one.version, one.plural) == (group, version, plural)), None
        )
        if found is None or subresource not in ("", "status"):
            raise ApiProblem(404, "NotFound", "the server could not find the requested resource")
        verb = _VERBS.get(request.method) or ("get" if name else "list")
        shown = f"{plural}/{subresource}" if subresource else plural
        asked = Asked(verb, group, shown, namespace, name, user)
        self.asked.append(asked)
        if not allowed(rules, asked):
            where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
            what = f"{f'{plural}.{group}' if group else plural}{f' {name!r}'.replace(chr(39), chr(34)) if name else ''}"
            message = (
                f'{what} is forbidden: User "{user}" cannot {verb} resource "{plural}" in API group "{group}" {where}'
            )
            raise ApiProblem(403, "Forbidden", message)
        if verb in ("get", "list"):
            return self._read(found, namespace, name, request.query)
        status, dry = subresource == "status", _is_dry(request)
        return self._write(found, namespace, name, verb, request.content_type, body, status=status, dry=dry)

    def _who(self, request: web.Request) -> tuple[str, Mapping[str, Sequence[Rule]] | None]:
        if not self.roles:
            return "anybody", None
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self.roles:
            raise ApiProblem(401, "Unauthorized", "Unauthorized")
        return self.roles[token]

    def _read(self, resource: Resource, namespace: str, name: str, query: Mapping[str, str]) -> Object:
        if name:
            return self.store.get(resource, namespace, name)
        selector = query.get("labelSelector", "")
        labels = dict(one.replace("==", "=").split("=", 1) for one in selector.split(",") if one)
        items = self.store.list(resource, namespace, labels)
        meta: Object = {"resourceVersion": str(self.store.version)}
        begin = int(query.get("continue") or 0)
        if begin and self.expired:
            self.expired -= 1
            raise ApiProblem(410, "Expired", "The provided continue parameter is too old to display a consistent list")
        limit = min(filter(None, (int(query.get("limit") or 0), self.page)), default=0)
        if limit and begin + limit < len(items):
            meta["continue"] = str(begin + limit)
        items = items[begin : begin + limit] if limit else items
        return {"apiVersion": resource.api_version, "kind": f"{resource.kind}List", "metadata": meta, "items": items}

    def _write(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        verb: str,
        media: str,
        body: Any,
        *,
        status: bool,
        dry: bool,
    ) -> Object:
        store = self.store.rehearsal() if dry else self.store
        refusal = next((one for one in self._refusals if one[0] == resource.kind), None)
        if refusal and verb != "delete":
            if not dry:
                self._refusals.remove(refusal)
            raise refusal[1]
        if not dry and self._fails(resource.kind):
            raise ApiProblem(503, "ServiceUnavailable", "the server is currently unable to handle the request")
        if verb == "create":
            return store.create(resource, namespace, body)
        if verb == "update":
            return store.replace(resource, namespace, name, body, status=status)
        if verb == "patch":
            return store.patch(resource, namespace, name, media, body, status=status)
        if not name:
            raise not_found(resource, name)
        return store.delete(resource, namespace, name)


def _body(media: str, sent: bytes) -> Any:
    try:
        return json.loads(sent or b"null")
    except ValueError:
        raise ApiProblem(415, "UnsupportedMediaType", f"the fake takes JSON only, not {media}") from None


def _is_dry(request: web.Request) -> bool:
    """Whether it only asks what would become of a write."""
    return request.query.get("dryRun") == "All"


def _of_kind(kind: str) -> Resource:
    return next(one for one in RESOURCES if one.kind == kind)
