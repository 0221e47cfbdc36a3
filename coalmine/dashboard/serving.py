"""Serving the dashboard: one process, until it is told to stop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from coalmine.errors import InputError

DRAIN = 3
"""Seconds answers that are under way may take after the server was told to stop."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        InputError: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as error:
        listening.close()
        why = getattr(error, "strerror", None) or error
        raise InputError(f"--host, --port: {host}:{port} cannot be bound: {why}") from None
    return listening


def server(app: FastAPI) -> uvicorn.Server:
    """A server of this application; X-Forwarded-For is not believed."""
    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=DRAIN,
            lifespan="on",
            ws="none",
        )
    )


async def serve(app: FastAPI, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; ``ready`` is called once requests are answered."""
    serving = server(app)
    task = asyncio.create_task(serving.serve([listening]))
    while not serving.started and not task.done():
        await asyncio.sleep(0.01)
    if not task.done():
        ready()
    await task
