"""A real worker whose router, source and webhook repeat their secrets at it: none is in its log, Temporal or ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from temporalio.client import Client

from coalmine.client import Coalmine
from coalmine.records import Outcome, Phase, RolloutStatus
from coalmine.searching import RolloutRef
from tests.conftest import TemporalServer
from tests.worker.conftest import WORKER, Start
from tests.workflows.specs import make_spec

SECRETS = {
    "COALMINE_SECRET_ADMIN": "admin-s3cret-of-envoy",
    "COALMINE_SECRET_METRICS": "metrics-s3cret-of-a-store",
    "COALMINE_SECRET_CHAT": "chat-s3cret-of-a-channel",
}


@pytest.fixture
async def parrot() -> AsyncIterator[str]:
    """Refuses everything, and repeats all that it was sent."""

    async def refuse(request: web.Request) -> web.Response:
        return web.json_response({"status": "error", "error": f"{request.path_qs} {dict(request.headers)}"}, status=400)

    application = web.Application()
    application.router.add_route("*", "/{tail:.*}", refuse)
    server = TestServer(application)
    await server.start_server()
    yield str(server.make_url("/")).rstrip("/")
    await server.close()


def written_in(folder: Path) -> list[str]:
    """Every file the worker left: its ledger."""
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


async def test_no_secret_is_left_anywhere(
    temporal_env: TemporalServer, temporal_client: Client, start: Start, parrot: str, tmp_path: Path
) -> None:
    variables = {**temporal_env.variables(), **SECRETS, "COALMINE_LOG_LEVEL": "debug"}
    worker = await start(WORKER, variables)
    await worker.logged("serving")
    spec = make_spec(
        environment="with-secrets",
        route={
            "router": "envoy",
            "name": "checkout",
            "files": [str(tmp_path / "route.yaml")],
            "admins": [f"{parrot}/${{COALMINE_SECRET_ADMIN}}"],
        },
        sources={
            "prometheus": {
                "url": f"{parrot}/${{COALMINE_SECRET_METRICS}}",
                "headers": {"X-Token": "${COALMINE_SECRET_METRICS}"},
                "scrape": "1s",
            }
        },
        notify=[{"kind": "log"}, {"kind": "webhook", "url": f"{parrot}/?key=${{COALMINE_SECRET_CHAT}}"}],
    )
    coalmine = Coalmine(temporal_client)
    receipt = await coalmine.start(spec, by="ana")
    handle = temporal_client.get_workflow_handle(receipt.workflow_id)
    await handle.result()
    status = await coalmine.status(RolloutRef(receipt.workflow_id))
    assert isinstance(status, RolloutStatus)
    assert (status.phase, status.outcome) == (Phase.CLOSED, Outcome.BLOCKED)
    worker.terminate()
    assert await worker.ended() == 0
    events = (await handle.fetch_history()).events
    # As they are on the wire: in JSON, payloads are base64.
    history = b"".join(event.SerializeToString() for event in events).decode("utf-8", "replace")
    kept = "".join(written_in(tmp_path))
    seen = "\n".join([*worker.raw, history, kept, status.model_dump_json(), receipt.model_dump_json()])
    assert [name for name, value in SECRETS.items() if value in seen] == []
    assert [name for name in SECRETS if name not in seen] == [], "each was used, or this would show nothing"
    assert "***" in seen
