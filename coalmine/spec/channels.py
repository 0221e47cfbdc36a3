"""Where people hear of a rollout, as a user writes it: one channel of ``notify``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from coalmine.spec.base import Identifier, SpecModel


class Notifier(SpecModel):
    """Where people hear of it: the worker's log, a webhook, or the status of a deployment (docs/ci.md)."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(
        min_length=1,
        max_length=100,
        description="`log`: the worker's log. `webhook`: JSON posted to `url`. `github_deployment`, "
        "`gitlab_deployment`: the status of the deployment that CI made. `sns`, `eventbridge`: docs/aws.md. Or one "
        "an adapter adds, which has keys of its own.",
    )
    url: str | None = Field(
        default=None,
        description="webhook: where to post. Deployments: the API's address, if it is not `https://api.github.com` or "
        "`https://gitlab.com/api/v4`.",
    )
    repository: str | None = Field(
        default=None,
        description="Deployments: `owner/name`; of GitLab the project's path or number.",
        examples=["acme/shop"],
    )
    deployment: int | None = Field(
        default=None,
        ge=1,
        description="Deployments: the deployment's number; `coalmine start --deployment` fills it in.",
    )
    token: str | None = Field(
        default=None,
        description="Deployments: a token that may write their status, by name: `${COALMINE_SECRET_NAME}`.",
    )
    environment_url: str | None = Field(
        default=None,
        description="github_deployment: where the released service is.",
        examples=["https://shop.example"],
    )
    topic: str | None = Field(
        default=None,
        pattern=r"^arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$",
        description="sns: the topic's ARN.",
        examples=["arn:aws:sns:eu-west-1:111122223333:releases"],
    )
    bus: str | None = Field(
        default=None,
        pattern=r"^(arn:[a-z-]+:events:[a-z0-9-]+:[0-9]{12}:event-bus/)?[A-Za-z0-9._/-]{1,256}$",
        description="eventbridge: the event bus, by name or ARN.",
        examples=["releases"],
    )
    name: Identifier | None = Field(default=None, description="What `escalate` calls the channel.", examples=["pager"])
    only: Literal["escalations"] | None = Field(
        default=None, description="`escalations`: it hears of nothing but gates that are escalated to its `name`."
    )

    @property
    def options(self) -> dict[str, Any]:
        """The keys of an adapter from elsewhere."""
        return dict(self.model_extra or {})
