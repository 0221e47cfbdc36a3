"""How long Slack waits for the chat app's acknowledgement while Temporal is down.

The real app over HTTP beside a fake Slack; Temporal is an address that takes connections and never answers, so that
every command is still being worked on while the next ones arrive. Commands, clicks and dialogs in turn, ``--at-once``
of them under way. Slack gives up after 3 s; the limit is p99 300 ms. Run ``python -m benchmarks.chat_ack``; writes
``results/chat_ack.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.ending import run
from benchmarks.report import quantile, write
from coalmine.chat.app import ChatApp, Secrets
from coalmine.chat.buttons import Dialog, Pressed
from coalmine.chat.outbox import Pace
from coalmine.chat.reach import Reach
from coalmine.chat.settings import ChatSettings
from coalmine.client import Coalmine
from coalmine.connection import Settings, connect_client
from coalmine.testing.slack import Answer, FakeSlack, Hands, Message, member

LIMIT_MS = 300.0
REQUESTS = 300
ASKED = Pressed("canary/production/checkout", "production/checkout/1.42.0/1", "go", 1)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take whatever comes, and say nothing."""
    while await reader.read(65_536):
        pass
    writer.close()


async def request(hands: Hands, number: int) -> Answer:
    """One of the three things people do."""
    user = f"U0{number % 20:03d}"
    if number % 3 == 0:
        return await hands.command("/rollout", "approve checkout -e production", user)
    if number % 3 == 1:
        button = {"type": "button", "action_id": "rollout:approve", "value": ASKED.value()}
        return await hands.interact(hands.pressed_payload(button, Message("C0ROLLOUTS", "1.1", ""), user))
    carried = Dialog(ASKED.workflow_id, ASKED.rollout_id, "go", 1, "C0ROLLOUTS").text()
    view = {"type": "modal", "id": f"V{number}", "callback_id": "rollout:approve", "blocks": []}
    return await hands.submit({**view, "private_metadata": carried}, user)


async def measure(requests: int, at_once: int) -> tuple[list[float], int]:
    """Milliseconds until each acknowledgement, and how many people were told that Temporal does not answer."""
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def connect() -> Coalmine:
        found = Settings(address, "default", "the benchmark", None, {})
        return Coalmine(await connect_client(found), found)

    settings = ChatSettings.model_validate(
        {"email_domains": ["example.org"], "channels": [{"channel": "C0ROLLOUTS"}]},
    )
    async with FakeSlack() as slack:
        slack.workspace.channels = {"C0ROLLOUTS"}
        slack.workspace.users = {f"U0{n:03d}": member(f"U0{n:03d}", f"u{n}@example.org") for n in range(20)}
        with tempfile.TemporaryDirectory() as folder:
            secrets = Secrets(slack.token, slack.signing_secret)
            state = Path(folder) / "chat.sqlite"
            app = ChatApp(settings, secrets, Reach(connect), state, api=slack.api, pace=Pace(second=0.05))
            await app.begin()
            hands = Hands(slack, f"{await app.serve_http('127.0.0.1', 0)}/slack/events")
            await request(hands, 0)  # Whoever comes first imports what is imported late.
            limit = asyncio.Semaphore(at_once)

            async def one(number: int) -> Answer:
                async with limit:
                    return await request(hands, number)

            answers = await asyncio.gather(*(one(number) for number in range(1, requests + 1)))
            wrong = [answer for answer in answers if answer.status != 200]
            if any("busy" in answer.text for answer in answers):
                raise RuntimeError("some requests were turned away: that is no acknowledgement worth timing")
            if wrong:
                raise RuntimeError(f"{len(wrong)} requests were not acknowledged, the first with {wrong[0].status}")
            async with asyncio.timeout(60):
                while not any("Temporal" in told.text for told in slack.workspace.told):
                    await asyncio.sleep(0.1)
            told = sum("Temporal" in one.text for one in slack.workspace.told)
            await app.end(within=0.1)
    server.close()
    return [answer.seconds * 1000 for answer in answers], told


def main() -> int:
    """Measure, print, write; 1 when p99 misses the limit."""
    parser = argparse.ArgumentParser(description="Time the chat app's acknowledgements while Temporal is down.")
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--at-once", type=int, default=4)
    args = parser.parse_args()
    logging.disable(logging.CRITICAL)
    times, told = run(measure(args.requests, args.at_once))
    figures = {
        "requests": len(times),
        "at_once": args.at_once,
        "limit_ms": LIMIT_MS,
        "p50_ms": round(quantile(times, 0.5), 1),
        "p99_ms": round(quantile(times, 0.99), 1),
        "max_ms": round(max(times), 1),
        "load_average": round(os.getloadavg()[0], 2),
    }
    print(figures, f"told that Temporal does not answer, when the first was: {told}")
    write("chat_ack", figures)
    return 0 if figures["p99_ms"] <= LIMIT_MS else 1


if __name__ == "__main__":
    sys.exit(main())
