"""A Slack to test against: its Web API with the limits it documents, and the requests it sends to an app.

async with FakeSlack() as slack:
    app = ...  # with slack.api as the base URL of its Web API, slack.token, slack.signing_secret
    hands = Hands(slack, "http://127.0.0.1:3000/slack/events")
    await hands.command("/rollout", "status checkout", user="U0ANA")
"""

from __future__ import annotations

from coalmine.testing.slack.hands import Answer, Hands
from coalmine.testing.slack.limits import message_faults, view_faults
from coalmine.testing.slack.server import Call, FakeSlack
from coalmine.testing.slack.workspace import Message, Workspace, member

__all__ = ["Answer", "Call", "FakeSlack", "Hands", "Message", "Workspace", "member", "message_faults", "view_faults"]
