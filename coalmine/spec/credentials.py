"""Credentials that were written into a spec's URLs, which everyone who may read the workflow can read then."""

from __future__ import annotations

import re
from collections.abc import Iterator

from coalmine.errors import Problem
from coalmine.redaction import looks_secret
from coalmine.spec.canary import CanarySpec
from coalmine.spec.faults import Fault, Path, as_problem
from coalmine.spec.secret_names import BY_NAME, REFERENCE

_WEBHOOK = re.compile(
    r"https?://(?:hooks\.slack\.com/|[^/]*discord(?:app)?\.com/api/webhooks/|[^/]*webhook\.office\.com/)"
)
"""Chats whose webhooks carry their secret in the path."""
_LOGIN_BY_NAME = re.compile(r"://[^/@]*\$\{[A-Z0-9_]+\}@")
_RANDOM = re.compile(r"/(?=[^/?#]*\d)(?=[^/?#]*[A-Za-z])[A-Za-z0-9_-]{24,}(?=[/?#]|$)")
"""A part of a path that no person chose: long, of letters and digits."""
_UUID = re.compile(r"/[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?=[/?#]|$)")


def literal_credentials(spec: CanarySpec, file: str = "") -> list[Problem]:
    """What looks like a credential in a URL or a header, each with its field; never the value itself."""
    message = f"holds what looks like a credential, which everyone reads who may see the rollout in Temporal: {BY_NAME}"
    return [as_problem(Fault(path, message), file) for path, text in _places(spec) if _is_literal(text)]


def _places(spec: CanarySpec) -> Iterator[tuple[Path, str]]:
    yield from ((("hooks", hook), url) for hook, url in spec.hooks if url is not None)
    yield from ((("notify", at, "url"), one.url) for at, one in enumerate(spec.notify) if one.url is not None)
    for at, channel in enumerate(spec.notify):
        yield from ((("notify", at, key), text) for key, text in channel.options.items() if isinstance(text, str))
    for name, source in spec.sources.items():
        yield from ((("sources", name, key), text) for key, text in source.options.items() if isinstance(text, str))
        if source.url:
            yield ("sources", name, "url"), source.url
        yield from ((("sources", name, "headers", header), value) for header, value in source.headers.items())


def _is_literal(text: str) -> bool:
    bare = REFERENCE.sub("", _LOGIN_BY_NAME.sub("://", text))
    if _WEBHOOK.match(bare):
        return not REFERENCE.search(text)
    return looks_secret(bare) or bool(_RANDOM.search(_UUID.sub("/", bare)))
