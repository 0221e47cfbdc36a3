"""``coalmine flags``: serve flag definitions to flagd and to OFREP providers."""

from __future__ import annotations

import re

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

PORT = 8016


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("place", metavar="PLACE", help="the definitions: FILE.json, or s3://BUCKET/KEY.json")
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=f"127.0.0.1:{PORT}",
        help=f"where (default: 127.0.0.1:{PORT}; port 0: a free one)",
    )
    parser.add_output()
    parser.epilog = (
        "GET /flags.json is a source for flagd; POST /ofrep/v1/evaluate/flags answers OFREP providers. It knows no "
        "users: flags and the contexts apps send are for your own network. Looks at PLACE four times a second, and "
        "goes on with what it read last when PLACE is gone."
    )


def run(args: Args, out: Output) -> int:
    """Serve until it is stopped."""
    import asyncio

    from coalmine.errors import InputError

    host, colon, port = args.listen.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise InputError(f"--listen: {args.listen!r} is not HOST:PORT, such as 127.0.0.1:{PORT}")
    try:
        asyncio.run(_serve(args.place, host.removeprefix("[").removesuffix("]"), int(port), out))
    except KeyboardInterrupt:
        return 130
    return 0


async def _serve(place: str, host: str, port: int, out: Output) -> None:
    import asyncio
    import signal

    from coalmine.errors import InputError
    from coalmine.flags.endpoint import FlagEndpoint

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        async with FlagEndpoint(place, host, port) as endpoint:
            out.data({"url": endpoint.url, "place": place}, f"flags of {place}: {endpoint.url}")
            await stop.wait()
    except OSError as error:
        raise InputError(f"--listen: {host}:{port} cannot be listened on: {error.strerror}") from error
