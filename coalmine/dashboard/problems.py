"""Errors over HTTP as RFC 9457 has them: what is wrong, where, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.responses import JSONResponse

from coalmine.dashboard.people import Denied
from coalmine.errors import (
    CoalmineError,
    InputError,
    LedgerError,
    PayloadUnreadable,
    RefusedError,
    RolloutNotFound,
    SpecError,
    TemporalUnavailable,
)
from coalmine.records.texts import writable

MOST_PROBLEMS = 200
"""Of one spec that are told: a document of thousands of wrong keys is no spec with thousands of mistakes."""
MEDIA_TYPE = "application/problem+json"
_TITLES = {
    400: "The request cannot be read",
    401: "Nobody knows who you are",
    403: "This is not allowed",
    404: "There is no such thing",
    405: "This is not done here",
    409: "Refused",
    413: "Too large",
    415: "Not in this form",
    422: "The input cannot be used",
    429: "Too often",
    500: "Something went wrong here",
    503: "Nobody answers now",
}


_KEY = "One of its keys holds half a character (\\ud800 to \\udfff): write it anew, in UTF-8"


class FieldProblem(BaseModel):
    """One thing that is wrong with what was sent."""

    field: str
    message: str
    value: Any = None
    """What it was, where that is short."""
    line: int = 0
    column: int = 0


class ProblemDetails(BaseModel):
    """The body of every error (``application/problem+json``)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    retryable: bool = False
    """The same request may succeed later."""
    problems: list[FieldProblem] = []


def problem_response(
    status: int, title: str, detail: str, problems: list[FieldProblem] | None = None, retryable: bool = False
) -> JSONResponse:
    """An error as an answer."""
    body = ProblemDetails(title=title, status=status, detail=detail, retryable=retryable, problems=problems or [])
    headers = {503: {"Retry-After": "5"}, 401: {"WWW-Authenticate": "Bearer"}}
    return JSONResponse(
        _writable(body.model_dump(exclude_defaults=False)),
        status_code=status,
        headers=headers.get(status),
        media_type=MEDIA_TYPE,
    )


def status_of(error: CoalmineError) -> int:
    """The HTTP status of an error of ours."""
    if isinstance(error, InputError):
        return 422
    if isinstance(error, RefusedError):
        return 409
    if isinstance(error, RolloutNotFound):
        return 404
    if isinstance(error, TemporalUnavailable | PayloadUnreadable | LedgerError):
        return 503
    return 503 if error.retryable else 500


def of_error(error: CoalmineError) -> JSONResponse:
    """One of ours; a spec's problems one by one."""
    problems: list[FieldProblem] = []
    detail = str(error)
    if isinstance(error, SpecError):
        problems = [
            FieldProblem(**{key: value for key, value in asdict(one).items() if key != "file"})
            for one in error.problems[:MOST_PROBLEMS]
        ]
        if (more := len(error.problems) - MOST_PROBLEMS) > 0:
            detail = "\n".join([*map(str, error.problems[:MOST_PROBLEMS]), f"... and {more:,} more"])
    status = status_of(error)
    return problem_response(status, title(status), detail, problems, error.retryable)


def of_denied(error: Denied) -> JSONResponse:
    """A request that is not answered."""
    answer = problem_response(error.status, title(error.status), error.reason, retryable=error.status == 429)
    answer.headers.update(waiting(error))
    return answer


def waiting(error: Denied) -> dict[str, str]:
    """The header that says how long to wait, as the text does."""
    return {} if error.wait is None else {"Retry-After": str(error.wait)}


def of_validation(error: RequestValidationError) -> JSONResponse:
    """What FastAPI found wrong with parameters or a body: field, value and what was expected."""
    problems = []
    for one in error.errors()[:MOST_PROBLEMS]:
        place = [str(part) for part in one.get("loc", ())]
        field = ".".join(place[1:]) or "".join(place) or "request"
        message = _KEY if one.get("type") == "invalid_key" else str(one.get("msg", ""))
        problems.append(FieldProblem(field=field, message=message, value=_short(one.get("input"))))
    first = problems[0] if problems else FieldProblem(field="request", message="cannot be read")
    detail = f"{first.field}: {first.message}" + (f" (it is {first.value!r:.80})" if first.value is not None else "")
    if (more := len(error.errors()) - MOST_PROBLEMS) > 0:
        detail += f" ... and {more:,} more problems than are listed"
    return problem_response(422, title(422), detail, problems)


def title(status: int) -> str:
    """What a status means, in words."""
    return _TITLES.get(status, "An error")


def _writable(value: Any) -> Any:
    """Whatever was sent is quoted in some error: half a character in it is spelled out, or no answer could be given."""
    if isinstance(value, str):
        return writable(value)
    if isinstance(value, dict):
        return {writable(key): _writable(inner) for key, inner in value.items()}
    return [_writable(inner) for inner in value] if isinstance(value, list) else value


def _short(value: Any) -> Any:
    if isinstance(value, bool | int) or value is None:
        return value
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
