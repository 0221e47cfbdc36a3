"""The application: pages, streams and API behind one set of checks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from coalmine import __version__
from coalmine.dashboard import api, pages, signing_in, trends
from coalmine.dashboard.bodies import BodyLimit
from coalmine.dashboard.context import Settings, message_page, sentence, static
from coalmine.dashboard.feed import Feed
from coalmine.dashboard.first_answers import FirstAnswers
from coalmine.dashboard.head import HeadAsGet
from coalmine.dashboard.headers import HEADERS, SecurityHeaders
from coalmine.dashboard.pages import LoginNeeded
from coalmine.dashboard.people import Denied
from coalmine.dashboard.places import PlaceCheck
from coalmine.dashboard.problems import (
    ProblemDetails,
    of_denied,
    of_error,
    of_validation,
    problem_response,
    status_of,
    title,
    waiting,
)
from coalmine.dashboard.streams import Streams
from coalmine.errors import CoalmineError

DESCRIPTION = (
    "Canary releases as durable workflows. Errors are RFC 9457 problems. Writing needs a bearer token of an issuer "
    "that the server trusts. A start attaches to what runs already, and a person's approval of a gate counts once. "
    "Other verbs count each time (extend adds again, a second resume is refused): with the same Idempotency-Key they "
    "are said once, and get the first answer again, so that a request without an answer can be sent anew."
)
_KINDS = {
    "dashboard.css": "text/css; charset=utf-8",
    "dashboard.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def build(settings: Settings) -> FastAPI:
    """The dashboard as an ASGI application."""
    streams, feed = Streams(settings.sessions), Feed(settings.rollouts, settings.every)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        feed.start()
        try:
            yield
        finally:
            streams.end()
            await feed.stop()

    app = FastAPI(
        title="Coalmine",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/v1/openapi.json",
        # Both of FastAPI's own pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.feed = feed
    app.state.streams = streams
    app.state.first_answers = FirstAnswers()
    app.state.trends = trends.Kept()
    for router in (pages.router, trends.router, signing_in.router, api.router):
        app.include_router(router)
    app.add_api_route("/static/{name}", _static, include_in_schema=False)
    app.add_api_route("/healthz", _healthy, include_in_schema=False)
    app.add_exception_handler(CoalmineError, _coalmine_error)
    app.add_exception_handler(Denied, _denied)
    app.add_exception_handler(LoginNeeded, _login_needed)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    app.add_middleware(BodyLimit)
    app.add_middleware(PlaceCheck, place=settings.place)
    app.add_middleware(SecurityHeaders, https=settings.place.url.startswith("https:"))
    app.add_middleware(HeadAsGet)
    _describe(app)
    return app


def _describe(app: FastAPI) -> None:
    """OpenAPI with the errors' form, and with the ways to prove who one is."""

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = found.setdefault("components", {})
            models = ProblemDetails.model_json_schema(ref_template="#/components/schemas/{model}")
            components.setdefault("schemas", {}).update(models.pop("$defs", {}), ProblemDetails=models)
            for unused in ("HTTPValidationError", "ValidationError"):
                components["schemas"].pop(unused, None)
            components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}}
            for path, operations in found["paths"].items():
                for method, operation in operations.items():
                    writes = method == "post" and path != "/api/v1/validate"
                    operation["security"] = [{"bearer": []}] if writes else [{"bearer": []}, {}]
            app.openapi_schema = found
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]


async def _static(name: str) -> Response:
    if name not in _KINDS:
        raise Denied(404, "there is no such file")
    # Its address changes with it.
    return Response(
        static(name)[0], media_type=_KINDS[name], headers={"Cache-Control": "public, max-age=31536000, immutable"}
    )


async def _healthy() -> dict[str, str]:
    return {"status": "ok"}


async def _coalmine_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, CoalmineError)
    return of_error(error) if _is_program(request) else _message(request, status_of(error), str(error))


async def _denied(request: Request, error: Exception) -> Response:
    assert isinstance(error, Denied)
    if _is_program(request):
        return of_denied(error)
    answer = _message(request, error.status, error.reason)
    answer.headers.update(waiting(error))
    return answer


async def _login_needed(request: Request, error: Exception) -> Response:
    assert isinstance(error, LoginNeeded)
    return RedirectResponse(error.where, status_code=302)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    answer = of_validation(error)
    return answer if _is_program(request) else _message(request, 422, "the address cannot be read")


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    reason = "there is no such page" if error.status_code == 404 else str(error.detail)
    if not _is_program(request):
        return _message(request, error.status_code, reason)
    answer = problem_response(error.status_code, title(error.status_code), reason)
    answer.headers.update(error.headers or {})
    return answer


async def _unforeseen(request: Request, error: Exception) -> Response:
    # What it was is in the log; whoever asked learns nothing of our insides.
    reason = "an error nobody foresaw; the server's log says more"
    program = _is_program(request)
    answer: Response = problem_response(500, title(500), reason) if program else _message(request, 500, reason)
    # It is answered outside of everything else, where nobody adds the headers.
    answer.headers.update(HEADERS)
    return answer


def _is_program(request: Request) -> bool:
    return request.url.path.startswith(("/api/", "/events/", "/static/", "/healthz"))


def _message(request: Request, status: int, reason: str) -> Response:
    silent = status == 503
    # What was typed into a form that nobody answered is not lost with it; nor which form it was: said again, it is the
    # same word, whether or not somebody still hears the first.
    form: Mapping[str, str] = getattr(request.state, "form", {})
    settings: Settings = request.app.state.settings
    query = dict(request.query_params)
    if silent and form.get("once"):
        query["once"] = settings.sessions.seal("once", form["once"])
    return message_page(
        request,
        settings,
        heading=title(status),
        text=sentence(reason),
        address=f"{request.url.path}{'?' if query else ''}{urlencode(query)}" if silent else "/",
        label="Try again" if silent else "To the fleet",
        status=status,
        again=silent and request.method == "GET",
        kept=form.get("reason", "") if silent else "",
    )
