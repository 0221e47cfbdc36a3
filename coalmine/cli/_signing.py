"""Signing what is said: the key's owner says it, for this rollout, this gate and this attempt."""

from __future__ import annotations

import os
from typing import Any

from coalmine.cli._parser import Args, Parser

KEY_VARIABLE = "COALMINE_SIGNING_KEY"
IDENTITY_VARIABLE = "COALMINE_IDENTITY_TOKEN"
SIGNED = ("start", "approve", "pause", "resume", "extend", "promote")
"""The others act at once, whoever said so."""


def options(parser: Parser, verb: str) -> None:
    """``--sign-with`` and ``--break-glass``."""
    if verb in SIGNED:
        parser.add_argument(
            "--sign-with", metavar="FILE", help=f"key to sign with, of coalmine keys create (default: {KEY_VARIABLE})"
        )
    if verb == "approve":
        parser.add_argument(
            "--break-glass",
            action="store_true",
            help="open the gate without its people; tells everyone; needs a reason",
        )


def signing_key(args: Args) -> dict[str, Any] | None:
    """The key to sign with, None when nobody named one.

    Raises:
        InputError: it cannot be used, or is not that of ``--by``.
    """
    from coalmine.cli.keys import key_file
    from coalmine.errors import InputError
    from coalmine.identity.keys import PERSON
    from coalmine.identity.names import folded

    path = args.verb in SIGNED and (args.sign_with or os.environ.get(KEY_VARIABLE))
    if not path:
        return None
    key: dict[str, Any] = key_file(path)
    if args.by is not None and folded(args.by) != folded(key[PERSON]):
        raise InputError(f"--by is {args.by!r}, and {path} is {key[PERSON]}'s key: leave --by out")
    return key


def start_proof(args: Args, spec: Any) -> tuple[str, str]:
    """Who a signed start is by, and the token that proves it; both empty when nobody proves anything.

    A token of CI comes before a key that is only in the environment: a job has it because it was asked for.

    Raises:
        InputError: the key cannot be used, or is not that of ``--by``.
    """
    import secrets
    from datetime import UTC, datetime

    from coalmine.cli._ci_identity import issued_token
    from coalmine.identity.claims import Decided, start_subject
    from coalmine.identity.issuers import bound_audience
    from coalmine.identity.signing import sign
    from coalmine.records import canary_id
    from coalmine.spec.digest import spec_digest

    workflow_id = canary_id(spec.environment, spec.service, spec.region)
    issued = os.environ.get(IDENTITY_VARIABLE, "").strip()
    if not args.sign_with:
        issued = issued or issued_token(bound_audience("start", workflow_id))
        if issued:
            return "", issued
    key = signing_key(args)
    if key is None:
        return "", ""
    subject = start_subject(workflow_id, spec.arms.canary.version, spec_digest(spec))
    from coalmine.identity.keys import PERSON

    return str(key[PERSON]), sign(key, Decided("start", subject, args.reason), datetime.now(UTC), secrets.token_hex(16))


def token(key: dict[str, Any], args: Args, status: Any) -> str:
    """What is said, signed now.

    Args:
        key: From ``signing_key``.
        args: What is said.
        status: Of the rollout that is meant.
    """
    import secrets
    from datetime import UTC, datetime

    from coalmine.identity.claims import Decided, longer_said
    from coalmine.identity.signing import sign

    gate, attempt = None, None
    if args.verb == "approve":
        shown = status.gate
        gate = args.gate or (shown.name if shown else "")
        attempt = args.attempt or (shown.attempt if shown and shown.name == gate else 1)
    broken = getattr(args, "break_glass", False)
    longer = longer_said(args.longer) if args.verb == "extend" else None
    decided = Decided(args.verb, status.rollout_id, args.reason, gate, attempt, broken, longer)
    return sign(key, decided, datetime.now(UTC), secrets.token_hex(16))
