"""``coalmine chat``: rollouts in Slack."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from coalmine.cli._output import Output
from coalmine.cli._parser import Args, Parser

if TYPE_CHECKING:
    from coalmine.chat.app import ChatApp, Secrets

PORT = 3000
KEY_VARIABLE = "COALMINE_CHAT_KEY"
API_VARIABLE = "COALMINE_SLACK_API"
"""Environment variable with another Web API than Slack's own: a proxy, or a fake."""
_TOKENS = {
    "SLACK_BOT_TOKEN": ("xoxb-", "the bot token of the app's page OAuth & Permissions"),
    "SLACK_SIGNING_SECRET": ("", "the signing secret of the app's page Basic Information"),
    "SLACK_APP_TOKEN": ("xapp-", "an app-level token with connections:write, of the app's page Basic Information"),
}


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_argument("config", metavar="FILE", help="settings: people, groups, channels (docs/chat.md)")
    parser.add_argument(
        "--listen",
        metavar="HOST:PORT",
        default=f"127.0.0.1:{PORT}",
        help=f"where Slack's requests arrive (default: 127.0.0.1:{PORT}; port 0: a free one)",
    )
    parser.add_argument("--socket", action="store_true", help="ask Slack for a web socket instead of listening")
    parser.add_argument(
        "--state",
        metavar="FILE",
        default=".coalmine/chat.sqlite",
        help="remembers which message is whose (default: .coalmine/chat.sqlite)",
    )
    parser.add_argument(
        "--sign-with",
        metavar="FILE",
        help=f"key to sign decisions with, of coalmine keys create --service (default: {KEY_VARIABLE})",
    )
    parser.add_argument(
        "--check", action="store_true", help="read the settings, say what is wrong, and end; needs no token"
    )
    parser.add_connection()
    parser.add_output()
    parser.epilog = (
        "Takes SLACK_BOT_TOKEN, and SLACK_SIGNING_SECRET (or, with --socket, SLACK_APP_TOKEN). Serves until SIGTERM, "
        "then finishes what it was told. Needs the extra 'slack'."
    )


def run(args: Args, out: Output) -> int:
    """Serve."""
    import asyncio
    import logging
    from pathlib import Path

    from coalmine.chat.settings import read_settings
    from coalmine.cli._specs import read_text
    from coalmine.cli.keys import service_key_file
    from coalmine.connection import settings as connection_settings

    found = read_settings(read_text(args.config), args.config)
    host, port = _address(args.listen)
    key_path = args.sign_with or os.environ.get(KEY_VARIABLE)
    key: dict[str, Any] | None = service_key_file(key_path) if key_path else None
    if args.check:
        out.data({"channels": len(found.channels), "people": len(found.people)}, f"{args.config}: fine")
        return 0
    secrets = _secrets(args.socket)
    connection_settings(args.profile)  # Wrong settings are told now; a server that is away is waited for.
    logging.basicConfig(level=_level(), format="%(asctime)s %(levelname)s %(message)s")
    app = _app(found, secrets, args, Path(args.state), key)
    if key is None:
        out.say("decisions are not signed: gates with 'verified' will not count them (--sign-with)")
    return asyncio.run(_serve(app, args, out, host, port))


def _app(found: Any, secrets: Secrets, args: Args, state: Any, key: dict[str, Any] | None) -> ChatApp:
    from coalmine.client import Coalmine
    from coalmine.errors import MissingExtra

    try:
        from coalmine.chat.app import ChatApp
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("slack"):
            raise
        raise MissingExtra("slack", "coalmine chat") from None
    from coalmine.chat.reach import Reach
    from coalmine.chat.web import API

    async def connect() -> Coalmine:
        return await Coalmine.connect(args.profile)

    return ChatApp(found, secrets, Reach(connect), state, key=key, api=os.environ.get(API_VARIABLE) or API)


async def _serve(app: ChatApp, args: Args, out: Output, host: str, port: int) -> int:
    import asyncio
    import signal

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    for one in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(one, over.set)
    try:
        await app.begin()
        if args.socket:
            await app.serve_socket()
            out.data({"mode": "socket", "team": app.team}, "connected to Slack by socket mode")
        else:
            url = await app.serve_http(host, port)
            out.data({"mode": "http", "url": url, "team": app.team}, f"listening for Slack: {url}/slack/events")
        await over.wait()
    finally:
        await app.end()
    return 0


def _secrets(socket: bool) -> Secrets:
    from coalmine.errors import InputError, MissingExtra

    try:
        from coalmine.chat.app import Secrets
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("slack"):
            raise
        raise MissingExtra("slack", "coalmine chat") from None
    needed = ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN" if socket else "SLACK_SIGNING_SECRET")
    given = {}
    for name in needed:
        begin, what = _TOKENS[name]
        value = os.environ.get(name, "").strip()
        if not value:
            raise InputError(f"{name}: not set: it is {what}")
        if not value.startswith(begin) or not value.isascii() or " " in value:
            # A token's prefix says what kind it is; a secret has none, and nothing of it is shown.
            found = (
                f"it begins with {value[:4]!r}, and should with {begin!r}"
                if begin
                else "it has characters of no secret"
            )
            raise InputError(f"{name}: {found}: it is {what}")
        given[name] = value
    return Secrets(given["SLACK_BOT_TOKEN"], given.get("SLACK_SIGNING_SECRET", ""), given.get("SLACK_APP_TOKEN", ""))


def _level() -> str:
    from coalmine.errors import InputError

    level = os.environ.get("COALMINE_LOG_LEVEL", "").strip().lower() or "info"
    if level not in ("debug", "info", "warning", "error"):
        raise InputError(f"COALMINE_LOG_LEVEL: {level!r} is none of debug, info, warning, error")
    return level.upper()


def _address(text: str) -> tuple[str, int]:
    from coalmine.errors import InputError

    host, colon, port = text.rpartition(":")
    if not colon or not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise InputError(f"--listen: {text!r} is not HOST:PORT, such as 127.0.0.1:{PORT}")
    return host.removeprefix("[").removesuffix("]"), int(port)
