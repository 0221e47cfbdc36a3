"""The channel ``gitlab_deployment``: the status of the deployment that CI made over GitLab's API.

Source: GitLab's REST API, "Get a specific deployment" and "Update a deployment". There a status has no text, no link.
"""

from __future__ import annotations

from urllib.parse import quote

from activities.notifiers.deployments import ask, deployment_of
from coalmine.ci.deployments import gitlab_status
from coalmine.records import Notification
from coalmine.spec.channels import Notifier

API = "https://gitlab.com/api/v4"
_FIRST = "created"
"""What a deployment begins as: nothing can be brought back to it."""


class GitlabDeploymentChannel:
    """Sets the status, when it is another one than the deployment has."""

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``. GitLab refuses the status a deployment has already, so it is read first."""
        about = f"deployment {deployment_of(channel)} of {channel.repository}"
        project = quote(channel.repository or "", safe="")
        url = f"{(channel.url or API).rstrip('/')}/projects/{project}/deployments/{channel.deployment}"
        headers = {"PRIVATE-TOKEN": channel.token or ""}
        wanted = gitlab_status(notification)
        if wanted == _FIRST:
            return
        if (await ask("GET", url, headers, about)).data().get("status") != wanted:
            await ask("PUT", url, headers, about, {"status": wanted})
