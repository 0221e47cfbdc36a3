"""``coalmine xds``: a control plane that tells Envoys their routes by gRPC (ADS), and the worker who has them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.xds.listening import Address, Security

PORT, ADMIN_PORT = 8018, 8019
FORGET = 60.0
TOKEN_VARIABLE = "COALMINE_XDS_TOKEN"


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument(
        "--routes", metavar="FOLDER", required=True, help="the route files it serves, and writes weights to"
    )
    for name, port, what in (
        ("listen", PORT, "where Envoys ask"),
        ("admin", ADMIN_PORT, "where workers read and write"),
    ):
        parser.add_argument(
            f"--{name}",
            metavar="HOST:PORT",
            default=f"127.0.0.1:{port}",
            help=f"{what} (default: 127.0.0.1:{port}; port 0: a free one)",
        )
    parser.add_argument("--cert", metavar="FILE", help="TLS on both: the certificate chain, PEM")
    parser.add_argument("--key", metavar="FILE", help="and its private key, PEM")
    parser.add_argument(
        "--client-ca", metavar="FILE", help="let in only Envoys with a certificate of this authority, PEM"
    )
    parser.add_argument(
        "--forget",
        metavar="SECONDS",
        type=float,
        default=FORGET,
        help="how long a proxy that was lost keeps a change from being confirmed, unless the spec names it "
        f"(default: {FORGET:g})",
    )
    parser.add_output()
    parser.epilog = (
        "The files are Envoy's route files (docs/envoy-xds.md). Weights that were written are in them before any proxy "
        f"hears of them: a restart serves what was written last. {TOKEN_VARIABLE} (or {TOKEN_VARIABLE}_FILE, a file "
        "with it) is what --admin asks for; beyond this host it must be set."
    )


def run(args: Args, out: Output) -> int:
    """Serve until it is stopped."""
    import asyncio

    from coalmine.errors import InputError

    if not Path(args.routes).is_dir():
        raise InputError(f"--routes: {args.routes} is no folder: make it, and put route files into it")
    if args.forget < 0:
        raise InputError(f"--forget: {args.forget:g} is not a time: write seconds, 0 or more")
    try:
        asyncio.run(_serve(args, out))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(args: Args, out: Output) -> None:
    import asyncio
    import signal

    from activities.log_lines import configure_logging
    from coalmine.errors import InputError
    from coalmine.xds.control_plane import ControlPlane

    listen, admin = _address("listen", args.listen, PORT), _address("admin", args.admin, ADMIN_PORT)
    security = _security(args)
    if security.token is None and not admin.is_loopback:
        raise InputError(f"--admin: whoever reaches {admin} can move all traffic: set {TOKEN_VARIABLE}")
    if security.certificate is None and not (listen.is_loopback and admin.is_loopback):
        out.say(
            "nothing is encrypted, and whoever reaches --listen reads all routes: --cert and --key, or a mesh's TLS"
        )
    configure_logging()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with ControlPlane(Path(args.routes), listen, admin, security, forget=args.forget) as plane:
        told = {"address": plane.address, "admin": plane.admin_url, "routes": plane.routes()["routes"]}
        names = ", ".join(told["routes"]) or "none yet"
        out.data(told, f"Envoys: {plane.address}; workers: {plane.admin_url}; routes: {names}")
        for trouble in plane.routes()["trouble"]:
            out.say(f"not served: {trouble}")
        await stop.wait()


def _address(name: str, text: str, port: int) -> Address:
    from coalmine.errors import InputError
    from coalmine.xds.listening import Address

    host, colon, number = text.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", number) or int(number) > 65535:
        raise InputError(f"--{name}: {text!r} is not HOST:PORT, such as 127.0.0.1:{port}")
    return Address(host.removeprefix("[").removesuffix("]"), int(number))


def _security(args: Args) -> Security:
    from activities.secrets import secret
    from coalmine.errors import InputError, SecretMissing
    from coalmine.xds.listening import Security

    if bool(args.cert) != bool(args.key):
        missing = "key" if args.cert else "cert"
        raise InputError(f"--{missing}: is missing: a certificate and its key go together")
    if args.client_ca and not args.cert:
        raise InputError("--client-ca: needs --cert and --key: without TLS no proxy shows a certificate")
    token = None
    if os.environ.get(TOKEN_VARIABLE) or os.environ.get(f"{TOKEN_VARIABLE}_FILE"):
        try:
            token = secret(TOKEN_VARIABLE)
        except SecretMissing as error:
            raise InputError(str(error)) from None
    certificate, key, authority = (Path(one) if one else None for one in (args.cert, args.key, args.client_ca))
    return Security(certificate, key, authority, token)
