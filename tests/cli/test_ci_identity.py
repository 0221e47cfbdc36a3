"""GitHub's identity token: what is asked, what is made of the answer, and a start that it proves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from aiohttp import web

from coalmine.cli._ci_identity import issued_token
from coalmine.errors import InputError, TemporalUnavailable
from coalmine.records import Phase
from tests.cli.conftest import Desk
from tests.cli.release_script import Runner
from tests.cli.test_rollouts import SLOW
from tests.identity.key_server import key_server
from tests.identity.test_issuers import ENTRY, KEY, token

AUDIENCE = "coalmine:start:canary/test/checkout"
SECRET = "the-runners-own-token"


@dataclass
class GithubRunner:
    """The endpoint of a runner: a token for whoever has the runner's own, and for the audience that is asked."""

    make: Callable[[str], str] = lambda audience: f"token for {audience}"
    answers: list[web.Response] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    def variables(self) -> dict[str, str]:
        return {
            "COALMINE_IDENTITY": "github",
            "ACTIONS_ID_TOKEN_REQUEST_URL": self.url,
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN": SECRET,
        }

    async def serve(self, request: web.Request) -> web.Response:
        self.asked.append(request.query["audience"])
        if self.answers:
            return self.answers.pop(0)
        if request.headers.get("Authorization") != f"Bearer {SECRET}" or request.query.get("api-version") != "2.0":
            return web.Response(status=401)
        return web.json_response({"count": 1, "value": self.make(request.query["audience"])})


@asynccontextmanager
async def github_runner() -> AsyncIterator[GithubRunner]:
    server, app = GithubRunner(), web.Application()
    app.router.add_get("/token", server.serve)
    serving = web.AppRunner(app, shutdown_timeout=0.1)
    await serving.setup()
    try:
        await web.TCPSite(serving, "127.0.0.1", 0).start()
        server.url = f"http://127.0.0.1:{serving.addresses[0][1]}/token?api-version=2.0"
        yield server
    finally:
        await serving.cleanup()


async def test_a_job_asks_for_a_token_of_this_start_alone() -> None:
    async with github_runner() as github:
        assert await asyncio.to_thread(issued_token, AUDIENCE, github.variables()) == f"token for {AUDIENCE}"
        assert github.asked == [AUDIENCE]
        github.answers = [web.Response(status=503)]
        assert await asyncio.to_thread(issued_token, AUDIENCE, github.variables()) == f"token for {AUDIENCE}"
        assert issued_token(AUDIENCE, {}) == ""


@pytest.mark.parametrize(
    ("answers", "error", "said"),
    [
        ([web.Response(status=403)], InputError, "HTTP 403.*permissions: id-token: write"),
        ([web.Response(status=500)] * 3, TemporalUnavailable, "did not say who this job is .HTTP 500"),
        ([web.json_response({"count": 0})], InputError, "holds no identity token"),
        ([web.Response(text="<html>")], InputError, "holds no identity token"),
        ([web.json_response([1])], InputError, "holds no identity token"),
    ],
    ids=["refused", "troubled", "empty", "html", "list"],
)
async def test_what_is_no_token(answers: list[web.Response], error: type[Exception], said: str) -> None:
    async with github_runner() as github:
        # Prepared answers are good for one test only.
        github.answers = [web.Response(status=one.status, body=one.body, headers=one.headers) for one in answers]
        with pytest.raises(error, match=said) as caught:
            await asyncio.to_thread(issued_token, AUDIENCE, github.variables())
        assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"COALMINE_IDENTITY": "gitlab"}, "'gitlab' is not known"),
        ({"COALMINE_IDENTITY": "github"}, "ACTIONS_ID_TOKEN_REQUEST_URL is not set: give the job permissions"),
        (
            {"COALMINE_IDENTITY": "github", "ACTIONS_ID_TOKEN_REQUEST_URL": "http://127.0.0.1:9/"},
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN is not set",
        ),
        (
            {
                "COALMINE_IDENTITY": "github",
                "ACTIONS_ID_TOKEN_REQUEST_URL": "file:///etc/passwd",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x",
            },
            "is no http",
        ),
    ],
)
def test_what_a_job_lacks(variables: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        issued_token(AUDIENCE, variables)


async def test_the_script_starts_with_githubs_token(desk: Desk, runner: Runner) -> None:
    async with github_runner() as github, key_server(KEY) as keys:
        now = int(datetime.now(UTC).timestamp())
        github.make = lambda audience: token(aud=audience, iat=now, nbf=now, exp=now + 300)
        desk.world.environ["COALMINE_DECISION_ISSUERS"] = json.dumps([{**ENTRY, "jwks": keys.url}])
        spec = desk.write(**{**SLOW, "policy": {"look": "1s", "verified_start": True}})
        job = await runner.run(spec, COALMINE_DETACH="1", **github.variables())
        assert job.code == 0, job
        assert github.asked == [AUDIENCE]
        status = await desk.until(lambda status: status.phase is Phase.STEPPING)
        assert status.starter == "ci:org/shop"
        assert "eyJ" not in job.out + job.err
