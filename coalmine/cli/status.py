"""``coalmine status``: where one rollout stands, and why."""

from __future__ import annotations

from datetime import UTC, datetime

from coalmine.cli._output import Output, plain
from coalmine.cli._parser import Args, Parser


def options(parser: Parser, verb: str) -> None:
    """What it takes."""
    parser.add_rollout()
    parser.add_output()
    parser.epilog = "Exits 0 when it could be told; the rollout's own exit code is 'exit' in the JSON."


def run(args: Args, out: Output) -> int:
    """Ask and print."""
    from coalmine.cli import _words
    from coalmine.cli._session import meant, on_connection
    from coalmine.client import Coalmine

    async def asked(coalmine: Coalmine) -> None:
        status = await coalmine.status(await meant(coalmine, args))
        link = coalmine.ui_link(status.workflow_id, status.run_id)
        out.data({**plain(status), "url": link}, _words.page(status, datetime.now(UTC), link))

    on_connection(args, asked)
    return 0
