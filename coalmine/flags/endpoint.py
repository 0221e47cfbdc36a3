"""Flag definitions over HTTP: whole, as flagd reads them, and evaluated, as OFREP providers of any language ask.

``GET /flags.json`` is a source of flagd's (``--uri http://...``). ``POST /ofrep/v1/evaluate/flags/KEY``, and without
``KEY`` for all, is the OpenFeature Remote Evaluation Protocol. What was read last is served when the place is gone.
Sources: https://flagd.dev/reference/sync-configuration/ and https://openfeature.dev/docs/reference/other-technologies/ofrep/
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

import structlog
from aiohttp import web

from activities.routers.flag_places import place_of
from coalmine.errors import InputError, MissingExtra, RouterError

if TYPE_CHECKING:
    from openfeature.flag_evaluation import FlagResolutionDetails

EVERY = 0.25
"""Seconds between two looks at the place: a change has to reach an app within one."""
_log = structlog.get_logger("coalmine.flags")


class FlagEndpoint:
    """``async with FlagEndpoint("/etc/flags/shop.json")`` and point providers to its ``url``."""

    def __init__(self, place: str, host: str = "127.0.0.1", port: int = 0, every: float = EVERY) -> None:
        """``place`` is a file, or ``s3://BUCKET/KEY``; port 0 takes a free one.

        Raises:
            MissingExtra: the evaluator is not installed.
        """
        try:
            from openfeature.contrib.tools.flagd.core import FlagdCore
        except ImportError:
            raise MissingExtra("flags", "serving flags") from None
        self._core = FlagdCore()
        self._place, self._listen, self._every = place, (host, port), every
        self._text = ""
        self._flags: dict[str, Any] = {}
        self._read_at = 0.0
        self._trouble = ""
        self._runner: web.AppRunner | None = None
        self._looking: asyncio.Task[None] | None = None
        self.url = ""

    async def __aenter__(self) -> FlagEndpoint:
        """Read the flags and listen.

        Raises:
            InputError: the flags cannot be read at first: there is nothing to serve.
        """
        await self._look()
        if not self._text:
            raise InputError(self._trouble)
        app = web.Application(client_max_size=64 * 1024)
        app.router.add_get("/flags.json", self._whole)
        app.router.add_get("/healthz", self._health)
        app.router.add_post("/ofrep/v1/evaluate/flags", self._all)
        app.router.add_post("/ofrep/v1/evaluate/flags/{key}", self._one)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, *self._listen).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        self._looking = asyncio.create_task(self._keep_looking())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    async def _keep_looking(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self._look()

    async def _look(self) -> None:
        """Take up what the place says now; what it said last stays when it says nothing sound."""
        try:
            text = await asyncio.to_thread(place_of(self._place).read)
            if text != self._text:
                content = json.loads(text)
                self._core.set_flags(content)
                self._text, self._flags = text, dict(content["flags"])
        except RouterError as error:
            trouble = str(error)
        except Exception as error:  # The evaluator raises what its parser happens to stumble over.
            trouble = f"{self._place}: no flag definitions ({error!r})"
        else:
            trouble, self._read_at = "", time.monotonic()
        if trouble and trouble != self._trouble:
            _log.warning("flags not read", reason=trouble, served="what was read last" if self._text else "nothing")
        self._trouble = trouble

    async def _whole(self, request: web.Request) -> web.Response:
        return _tagged(request, self._text)

    async def _health(self, request: web.Request) -> web.Response:
        told = {"flags": len(self._flags), "age": round(time.monotonic() - self._read_at, 3), "trouble": self._trouble}
        return web.json_response(told)

    async def _one(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        try:
            answer = self._evaluated(key, await _context(request))
        except _Problem as problem:
            return web.json_response({"key": key, **problem.body}, status=problem.code)
        return web.json_response(answer)

    async def _all(self, request: web.Request) -> web.Response:
        try:
            context = await _context(request)
        except _Problem as problem:
            return web.json_response(problem.body, status=problem.code)
        answers = []
        for key in self._flags:
            try:
                answers.append(self._evaluated(key, context))
            except _Problem as problem:
                answers.append({"key": key, **problem.body})
        return _tagged(request, json.dumps({"flags": answers}))

    def _evaluated(self, key: str, context: dict[str, Any]) -> dict[str, Any]:
        from openfeature.evaluation_context import EvaluationContext
        from openfeature.exception import OpenFeatureError

        if key not in self._flags:
            raise _Problem(404, "FLAG_NOT_FOUND", f"no flag {key!r}")
        attributes = {name: value for name, value in context.items() if name != "targetingKey"}
        try:
            found = self._resolved(key, EvaluationContext(context.get("targetingKey"), attributes))
        except OpenFeatureError as error:
            raise _Problem(400, error.error_code.value, error.error_message or "cannot be evaluated") from error
        answer: dict[str, Any] = {"key": key, "reason": str(found.reason), "metadata": dict(found.flag_metadata)}
        # Without a variant the app's own default counts, which a server does not know.
        return answer | ({"variant": found.variant, "value": found.value} if found.variant is not None else {})

    def _resolved(self, key: str, context: Any) -> FlagResolutionDetails[Any]:
        values = [value for value in self._flags[key].get("variants", {}).values() if value is not None]
        if all(isinstance(value, bool) for value in values):
            return self._core.resolve_boolean_value(key, False, context)
        if all(isinstance(value, str) for value in values):
            return self._core.resolve_string_value(key, "", context)
        if all(isinstance(value, int) for value in values):
            return self._core.resolve_integer_value(key, 0, context)
        if all(isinstance(value, int | float) for value in values):
            return self._core.resolve_float_value(key, 0.0, context)
        return self._core.resolve_object_value(key, {}, context)


class _Problem(Exception):
    def __init__(self, code: int, error_code: str, details: str) -> None:
        super().__init__(details)
        self.code = code
        self.body = {"errorCode": error_code, "errorDetails": details}


async def _context(request: web.Request) -> dict[str, Any]:
    try:
        context = (json.loads(await request.read() or b"{}") or {}).get("context") or {}
    except (ValueError, AttributeError) as error:
        raise _Problem(400, "PARSE_ERROR", f"the body is no JSON object ({error})") from None
    if not isinstance(context, dict) or not isinstance(context.get("targetingKey", ""), str):
        raise _Problem(400, "INVALID_CONTEXT", "context is no object, or its targetingKey no text")
    return context


def _tagged(request: web.Request, text: str) -> web.Response:
    """The text with its ETag; nothing but that when the caller has it already."""
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    if request.headers.get("If-None-Match") == tag:
        return web.Response(status=304, headers={"ETag": tag})
    return web.Response(text=text, content_type="application/json", headers={"ETag": tag})
