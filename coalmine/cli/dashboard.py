"""``coalmine dashboard``: the live page and the HTTP API, in the foreground."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coalmine.cli._ledger_place import add_kept
from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.client import Coalmine
    from coalmine.dashboard.context import Settings
    from coalmine.dashboard.places import Place
    from coalmine.dashboard.session import Sessions

PORT = 8088
MODES = ("none", "header", "oidc")
CLIENT_SECRET = "COALMINE_OIDC_CLIENT_SECRET"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where to listen (default: 127.0.0.1)")
    parser.add_argument("--port", metavar="N", type=_port, default=PORT, help=f"default: {PORT}; 0: a free one")
    parser.add_argument(
        "--public-url",
        metavar="URL",
        help="what browsers call it, when that is not http://HOST:PORT (a proxy)",
    )
    parser.add_argument(
        "--auth",
        choices=MODES,
        default="none",
        metavar="HOW",
        help="who people are: none (they only read), header (a proxy says it), oidc (default: none)",
    )
    parser.add_argument(
        "--sign-with",
        metavar="FILE",
        help="key of coalmine keys create --service: signs what people decide; without it they only read",
    )
    parser.add_argument("--header", metavar="NAME", help="header: which one names the person, such as X-Forwarded-User")
    parser.add_argument("--groups-header", metavar="NAME", help="header: which one lists their groups, with commas")
    parser.add_argument(
        "--trusted-peer",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="address or network of the proxy; repeatable. header: nobody else is answered; oidc: its X-Forwarded-For "
        "tells clients apart whose logins fail",
    )
    parser.add_argument("--oidc-issuer", metavar="URL", help="oidc: the identity provider")
    parser.add_argument("--oidc-client-id", metavar="ID", help=f"oidc: our client there (its secret: {CLIENT_SECRET})")
    parser.add_argument(
        "--oidc-person", metavar="CLAIM", default="email", help="oidc: the claim that names people (default: email)"
    )
    parser.add_argument(
        "--oidc-groups", metavar="CLAIM", default="groups", help="oidc: the claim with their groups (default: groups)"
    )
    parser.add_argument(
        "--api-issuers", metavar="FILE", help="issuers whose bearer tokens count in the API, as docs/api.md shows"
    )
    parser.add_argument(
        "--insecure-act-as",
        metavar="NAME",
        help="none: let whoever reaches this loopback act as NAME, unsigned",
    )
    add_kept(parser, "ledger for history and trends (default: none; without a value: as of coalmine insights)")
    parser.add_connection()
    parser.add_output()
    parser.epilog = "Serves until SIGTERM or Ctrl-C. docs/dashboard.md tells how to put it in front of people."


def run(args: Args, out: Output) -> int:
    """Serve."""
    import asyncio

    from coalmine.errors import MissingExtra

    try:
        from coalmine.dashboard import app, serving
    except ImportError as error:
        raise MissingExtra("dashboard", f"coalmine dashboard ({error.name})") from None
    from coalmine.client import Coalmine

    _check(args)

    async def served() -> None:
        listening = serving.bind(args.host, args.port)
        try:
            place = _place(args, listening.getsockname()[1])
            settings = _settings(args, place, await Coalmine.connect(args.profile))
            told = {"url": place.url, "auth": args.auth, "acts": settings.actor.key is not None}

            def ready() -> None:
                out.data(told, f"dashboard: {place.url}")
                out.say(_how(args, settings))

            await serving.serve(app.build(settings), listening, ready)
        finally:
            listening.close()

    asyncio.run(served())
    return 0


def _check(args: Args) -> None:
    """What the options say together, before anything is bound or asked."""
    from coalmine.errors import InputError

    belongs = {
        "header": ("header", "groups_header"),
        "oidc": ("oidc_issuer", "oidc_client_id"),
        "none": ("insecure_act_as",),
    }
    for mode, names in belongs.items():
        for name in names:
            if getattr(args, name) and args.auth != mode:
                raise InputError(f"--{name.replace('_', '-')} belongs to --auth {mode}")
    if args.trusted_peer and args.auth == "none":
        raise InputError("--trusted-peer belongs to --auth header or oidc")
    if args.auth == "header" and not args.header:
        raise InputError("--header is missing: which one names the person, such as --header X-Forwarded-User")
    if args.auth == "oidc" and not (args.oidc_issuer and args.oidc_client_id):
        raise InputError("--auth oidc needs --oidc-issuer and --oidc-client-id")
    if args.insecure_act_as is not None:
        if not args.insecure_act_as.strip():
            raise InputError("--insecure-act-as is empty: say who you are, such as ana@example.org")
        if args.host not in LOOPBACK or args.public_url:
            raise InputError(
                f"--insecure-act-as lets everyone who reaches {args.public_url or args.host} act: "
                "it is for 127.0.0.1 alone; use --auth header or oidc"
            )
    if args.host not in LOOPBACK and not args.public_url:
        raise InputError(f"--public-url is missing: with --host {args.host} say what browsers call this server")


def _place(args: Args, port: int) -> Place:
    from coalmine.dashboard.places import Place
    from coalmine.errors import InputError

    if not args.public_url:
        host = f"[{args.host}]" if ":" in args.host else args.host
        return Place(f"http://{host}:{port}")
    try:
        parts = urlsplit(args.public_url)
        _ = parts.port
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.query:
        raise InputError(
            f"--public-url: {args.public_url!r} is no address of a server: write https://coalmine.example.org"
        )
    place = Place(f"{parts.scheme}://{parts.netloc.lower()}")
    if parts.scheme == "http" and not place.is_loopback:
        raise InputError(f"--public-url: {args.public_url!r} is http: sessions would be read on the way; write https")
    return place


def _settings(args: Args, place: Place, coalmine: Coalmine) -> Settings:
    import secrets

    from coalmine.cli._ledger_place import ledger_of
    from coalmine.cli.keys import service_key_file
    from coalmine.dashboard.acting import Actor
    from coalmine.dashboard.auth.bearer import Bearer
    from coalmine.dashboard.auth.header import read_peers
    from coalmine.dashboard.context import Settings
    from coalmine.dashboard.session import SECRET_VARIABLE, SHORTEST_SECRET, Sessions
    from coalmine.errors import InputError
    from coalmine.identity.issuers import read_issuers

    secret = os.environ.get(SECRET_VARIABLE) or secrets.token_urlsafe(48)
    if len(secret) < SHORTEST_SECRET:
        raise InputError(f"{SECRET_VARIABLE}: it has {len(secret)} characters: use at least {SHORTEST_SECRET}")
    sessions = Sessions(secret, place.secure)
    key: dict[str, Any] | None = service_key_file(args.sign_with) if args.sign_with else None
    issuers = []
    if args.api_issuers:
        from coalmine.cli._specs import read_text

        issuers = list(read_issuers(read_text(args.api_issuers), f"--api-issuers {args.api_issuers}"))
    return Settings(
        rollouts=coalmine,
        access=_access(args, place, sessions),
        sessions=sessions,
        place=place,
        actor=Actor(coalmine, key),
        bearer=Bearer(issuers),
        ledger=ledger_of(args) if args.ledger is not None else None,
        proxies=read_peers(args.trusted_peer) if args.trusted_peer else (),
    )


def _access(args: Args, place: Place, sessions: Sessions) -> Any:
    from coalmine.dashboard.auth.header import ByHeader, read_peers
    from coalmine.dashboard.auth.nobody import Nobody
    from coalmine.dashboard.auth.oidc import CALLBACK, ByOidc, OidcSettings

    if args.auth == "header":
        return ByHeader(args.header, read_peers(args.trusted_peer), args.groups_header)
    if args.auth == "oidc":
        settings = OidcSettings(
            issuer=args.oidc_issuer,
            client_id=args.oidc_client_id,
            redirect_uri=f"{place.url}{CALLBACK}",
            client_secret=os.environ.get(CLIENT_SECRET, ""),
            person_claim=args.oidc_person,
            groups_claim=args.oidc_groups,
        )
        return ByOidc(settings, sessions)
    return Nobody(args.insecure_act_as.strip() if args.insecure_act_as else None)


def _how(args: Args, settings: Settings) -> str:
    if args.insecure_act_as:
        return f"whoever reaches it acts as {args.insecure_act_as.strip()}, unsigned (--insecure-act-as)"
    if args.auth == "none":
        return "everyone reads, nobody acts: --auth header or oidc lets people act"
    if settings.actor.key is None:
        return f"people are known (--auth {args.auth}), and only read: --sign-with lets them act"
    return f"people are known (--auth {args.auth}), and act: key {settings.actor.key['kid']} signs for them"


def _port(text: str) -> int:
    import argparse

    if not (text.isascii() and text.isdigit() and len(text) < 6) or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: 0 to 65535")
    return int(text)
