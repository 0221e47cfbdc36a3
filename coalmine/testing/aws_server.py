"""AWS for tests: moto over HTTP as a process of its own, with the layers of ours that stand for what it lacks.

``python -m coalmine.testing.aws_server PORT`` is the process; ``aws_server`` starts and ends one.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from coalmine.testing.aws_conditions import Conditions
from coalmine.testing.aws_faults import Faults
from coalmine.testing.lambda_revisions import LambdaRevisions
from coalmine.testing.trimmed_counts import teach

START_WITHIN = 60.0
"""Seconds."""


def serve(port: int) -> None:
    """Serve on loopback until the process is told to end."""
    from moto.cloudwatch.models import Statistics
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
    from werkzeug.serving import run_simple

    # moto calls itself over this port where one service tells another.
    os.environ["MOTO_PORT"] = str(port)
    teach(Statistics)
    app: Any = Faults(Conditions(LambdaRevisions(DomainDispatcherApplication(create_backend_app))))
    run_simple("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)


@contextmanager
def aws_server(folder: Path) -> Iterator[str]:
    """The address of a server of its own, on a free port; its log is in ``folder``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("wb") as log:
        command = [sys.executable, "-m", "coalmine.testing.aws_server", str(port)]
        # No proxy of this machine stands between the tests and loopback.
        environ = {**os.environ, "NO_PROXY": "*"}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{url}/moto-api/", process)
        yield url
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        if process.poll() is not None:
            raise RuntimeError("the server ended: its log says why")
        try:
            if requests.get(url, timeout=2).ok:
                return
        except requests.ConnectionError:
            pass
        if time.monotonic() > deadline:
            raise RuntimeError(f"the server did not answer within {START_WITHIN:g} s")
        time.sleep(0.05)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
