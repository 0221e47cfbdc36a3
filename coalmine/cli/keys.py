"""``coalmine keys``: a key to sign decisions with, and the list of public halves that workers verify by."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

ACTIONS = ("create", "jwks")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=f"what to do: {', '.join(ACTIONS)}")
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="create: the key file to write; jwks: key files to read"
    )
    parser.add_argument("--person", metavar="WHO", help="create: whose key it is, as the specs' people name them")
    parser.add_argument(
        "--service",
        metavar="NAME",
        help="create: the key of a service that signs for the people it knows, such as chat",
    )
    parser.add_argument("--group", metavar="NAME", action="append", default=[], help="create: a group; repeatable")
    parser.add_argument(
        "--may",
        metavar="VERB",
        action="append",
        default=[],
        help="create --service: what its key may sign, break_glass too; repeatable (default: all but break_glass)",
    )
    parser.add_output()
    parser.epilog = (
        "create writes a private key that only you can read. jwks prints the public halves of key files: the file that "
        "COALMINE_DECISION_KEYS names on the worker. Then: coalmine approve ... --sign-with FILE."
    )


def run(args: Args, out: Output) -> int:
    """Do it and print."""
    from coalmine.errors import InputError
    from coalmine.identity.names import folded
    from coalmine.identity.signing import public_half

    if args.action == "create" and args.service is not None:
        if not args.service.strip() or args.person or len(args.files) != 1:
            raise InputError("keys create --service NAME needs one FILE, and has no --person")
        return _create(Path(args.files[0]), args.service.strip(), args.group, out, service=True, verbs=args.may)
    if args.may:
        raise InputError("--may belongs to coalmine keys create --service: a person's key signs what the person may")
    if args.action == "create":
        if not folded(args.person or "") or len(args.files) != 1:
            raise InputError("keys create needs one FILE and --person, such as: keys create ana.key --person ana")
        return _create(Path(args.files[0]), args.person.strip(), args.group, out)
    if args.person or args.group or args.service:
        raise InputError("--person, --group and --service belong to coalmine keys create")
    document = {"keys": [public_half(_any_key(file)) for file in args.files]}
    out.data(document, json.dumps(document, indent=2))
    return 0


def key_file(path: str) -> dict[str, object]:
    """The private key of a person's file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from coalmine.identity.signing import read_key

    return read_key(_text(path), f"signing key {path}")


def service_key_file(path: str) -> dict[str, object]:
    """The private key of a service's file.

    Raises:
        InputError: it cannot be read, or is none.
    """
    from coalmine.identity.service import read_service_key

    return read_service_key(_text(path), f"signing key {path}")


def _any_key(path: str) -> dict[str, object]:
    from coalmine.identity.keys import ANYONE

    return service_key_file(path) if f'"{ANYONE}"' in _text(path) else key_file(path)


def _text(path: str) -> str:
    from coalmine.errors import InputError

    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text file"
        raise InputError(f"signing key {path} cannot be read: {why}") from None


def _create(
    path: Path, owner: str, groups: list[str], out: Output, *, service: bool = False, verbs: Sequence[str] = ()
) -> int:
    """Write a new key."""
    import secrets

    from coalmine.errors import InputError
    from coalmine.identity.keys import verifying_key
    from coalmine.identity.service import new_service_key
    from coalmine.identity.signing import new_key, public_half

    kid = f"{owner}-{secrets.token_hex(4)}"
    key = new_service_key(kid, verbs, groups) if service else new_key(kid, owner, groups)
    # Before it is written: a verb that is none is said here, not by a worker.
    verifying_key(public_half(key), "--may")
    try:
        # Never over another key, and never readable by others, not even for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise InputError(f"{path} cannot be made: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(json.dumps(key, indent=2) + "\n")
    out.data({"file": str(path), "key": public_half(key)}, f"{path}: private key {key['kid']} of {owner}")
    return 0
