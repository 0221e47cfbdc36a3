"""Forms that only our own pages can send: an origin that is ours, and a token of the session."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from coalmine.dashboard.bodies import read_body
from coalmine.dashboard.people import Denied, Person
from coalmine.dashboard.session import Sessions

LARGEST_FORM = 256 * 1024
"""Bytes. A reason of 20,000 characters, each up to 12 bytes here, still comes back to who typed it, to be shortened."""


async def read_form(request: Request) -> dict[str, str]:
    """The fields of a form, each once, with line breaks as they were typed: browsers send each as two characters.

    Raises:
        Denied: it is no form.
        HTTPException: it is too large.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Denied(415, f"{kind or 'no content type'} is no form: send application/x-www-form-urlencoded")
    raw = await read_body(request, LARGEST_FORM)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, strict_parsing=bool(raw), max_num_fields=50)
    except (ValueError, UnicodeDecodeError):
        raise Denied(400, "the form cannot be read") from None
    if len({name for name, _ in pairs}) != len(pairs):
        raise Denied(400, "the form names a field twice")
    return {name: value.replace("\r\n", "\n") for name, value in pairs}


def check_token(request: Request, form: dict[str, str], sessions: Sessions, person: Person) -> None:
    """Make sure that the form came from a page this server gave to this person.

    Raises:
        Denied: it did not.
    """
    session = sessions.of(request)
    if session is None or not sessions.token_holds(form.get("csrf", ""), session, person.name):
        raise Denied(403, "this form is not from your session, or is too old: open the page again, and send it anew")
