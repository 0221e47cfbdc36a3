"""Connections to clusters: by a kubeconfig or, in a pod, by its service account, whose token is read again on refusal.

Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from activities.routers.kubernetes_api import KubernetesApi
from coalmine.errors import MissingExtra, RouterUnreachable
from coalmine.spec.kubernetes_routes import KubernetesRoute

if TYPE_CHECKING:
    from lightkube import AsyncClient

FIELD_MANAGER = "coalmine"
"""What ``metadata.managedFields`` calls us."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Clusters:
    """Connections to clusters by kubeconfig and context. They live as long as the loop they are used on."""

    def __init__(self) -> None:
        self._clients: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, str], AsyncClient]]
        self._clients = WeakKeyDictionary()

    @asynccontextmanager
    async def of(self, options: KubernetesRoute) -> AsyncIterator[KubernetesApi]:
        """A route's namespace, by its credentials; a refusal of them leaves the next call to read them anew.

        Raises:
            MissingExtra: the client library is not installed.
            RouterUnreachable: no credentials, or they cannot be used.
        """
        clients = self._clients.setdefault(asyncio.get_running_loop(), {})
        key = (options.kubeconfig, options.context)
        if key not in clients:
            clients[key] = _client(*key)
        api = KubernetesApi(clients[key], options.namespace)
        try:
            yield api
        finally:
            if api.unknown_to_it and (client := clients.pop(key, None)):
                await client.aclose()

    async def aclose(self) -> None:
        """End the connections of this loop."""
        for client in self._clients.pop(asyncio.get_running_loop(), {}).values():
            await client.aclose()


def _client(kubeconfig: str, context: str) -> AsyncClient:
    try:
        from lightkube import AsyncClient, KubeConfig
    except ImportError:
        raise MissingExtra("kubernetes", "a Kubernetes router") from None
    try:
        if not kubeconfig and "KUBERNETES_SERVICE_HOST" in os.environ:
            found = KubeConfig.from_service_account(SERVICE_ACCOUNT)
        elif path := kubeconfig or os.environ.get("KUBECONFIG"):
            found = KubeConfig.from_file(path)
        else:
            raise RouterUnreachable(
                "no credentials for Kubernetes: set route.kubeconfig (or KUBECONFIG on the worker), or run the worker "
                "in a pod with a service account"
            )
        return AsyncClient(found.get(context or None), field_manager=FIELD_MANAGER)
    except RouterUnreachable:
        raise
    except Exception as error:  # What a broken kubeconfig makes the parsers under it raise has no common class.
        what = kubeconfig or os.environ.get("KUBECONFIG") or "the service account"
        raise RouterUnreachable(f"Kubernetes credentials ({what}) cannot be used: {error}") from error
