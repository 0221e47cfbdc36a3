"""``coalmine codec``: a key for payloads, and a server that lets the Temporal UI read what they hold."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.encryption.server import CodecServer

ACTIONS = ("key", "serve")
PORT = 8081
TOKEN_VARIABLE = "COALMINE_CODEC_TOKEN"


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("action", metavar="ACTION", choices=ACTIONS, help=f"what to do: {', '.join(ACTIONS)}")
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=f"127.0.0.1:{PORT}",
        help=f"serve: where (default: 127.0.0.1:{PORT}; port 0: a free one)",
    )
    parser.add_argument(
        "--origin",
        metavar="URL",
        action="append",
        default=[],
        help="serve: the page of the Temporal UI that may ask (default: that of the server in use); repeatable",
    )
    parser.add_argument(
        "--host",
        metavar="NAME",
        action="append",
        default=[],
        help="serve: another name than localhost this server is reached by; repeatable",
    )
    parser.add_connection()
    parser.add_output()
    parser.epilog = (
        "key prints a line for the file that COALMINE_PAYLOAD_KEYS names. serve decrypts with the keys of that file; "
        f"{TOKEN_VARIABLE}, when it is set, is the bearer token it asks for. Then: temporal ... --codec-endpoint URL, "
        "or the UI's data encoder settings."
    )


def run(args: Args, out: Output) -> int:
    """Do it and print."""
    from coalmine.errors import InputError

    if args.action == "key":
        if args.origin or args.host:
            raise InputError(f"--{'origin' if args.origin else 'host'} belongs to coalmine codec serve")
        return _key(out)
    server = _server(args)
    out.data({"url": server.url, "origins": sorted(server.access.origins)}, f"codec server: {server.url}")
    out.say(f"answers pages of {', '.join(sorted(server.access.origins)) or 'nobody (name one with --origin)'}")
    with server:
        server.serve_forever()
    return 0


def _key(out: Output) -> int:
    from datetime import UTC, datetime

    from coalmine.encryption import new_key

    line = new_key(datetime.now(UTC))
    out.data({"line": line, "name": line.split()[0]}, line)
    return 0


def _server(args: Args) -> CodecServer:
    from coalmine.encryption import KEYS_VARIABLE, EncryptionCodec, KeyRing
    from coalmine.encryption.server import LOOPBACK, Access, CodecServer
    from coalmine.errors import InputError

    path = os.environ.get(KEYS_VARIABLE)
    if not path:
        raise InputError(f"{KEYS_VARIABLE}: not set: name the file with the keys (coalmine codec key makes one)")
    host, colon, port = args.listen.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise InputError(f"--listen: {args.listen!r} is not HOST:PORT, such as 127.0.0.1:{PORT}")
    token = os.environ.get(TOKEN_VARIABLE) or None
    host = host.removeprefix("[").removesuffix("]")
    if token is None and host not in ("127.0.0.1", "::1", "localhost"):
        raise InputError(
            f"--listen: {args.listen} is open to the network, where whoever reaches it reads every history: set "
            f"{TOKEN_VARIABLE}, or listen on 127.0.0.1"
        )
    access = Access(
        origins=frozenset(_origin(origin) for origin in args.origin or _ui(args)),
        token=token,
        hosts=LOOPBACK | {name.lower() for name in (*args.host, host)},
    )
    return CodecServer((host, int(port)), EncryptionCodec(KeyRing.read(path)), access)


def _ui(args: Args) -> list[str]:
    """The UI of the server that is in use, when it is known."""
    from coalmine.connection import settings
    from coalmine.errors import TemporalUnavailable

    try:
        found = settings(args.profile)
    except TemporalUnavailable:
        return []
    return [found.ui] if found.ui else []


def _origin(url: str) -> str:
    from urllib.parse import urlsplit

    from coalmine.errors import InputError

    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"--origin: {url!r} is not the address of a page, such as http://localhost:8233")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    standing = {"http": 80, "https": 443}[parts.scheme]
    return f"{parts.scheme}://{host}" + (f":{port}" if port and port != standing else "")
