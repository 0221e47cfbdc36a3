"""The channel ``github_deployment``: each change of a rollout as a status of the deployment that CI made.

Source: GitHub's REST API, "Create a deployment status" and "List deployment statuses" (version 2022-11-28).
"""

from __future__ import annotations

from typing import Any

from activities.notifiers.deployments import ask, deployment_of, rollout_page
from coalmine.ci.deployments import description, github_state
from coalmine.records import Notification
from coalmine.spec.channels import Notifier

API = "https://api.github.com"
VERSION = "2022-11-28"


class GithubDeploymentChannel:
    """Posts statuses, with a link to the rollout; the job that started it may be long over."""

    async def send(self, channel: Notifier, notification: Notification) -> None:
        """See ``NotifierChannel``. A status that is the latest already, as after a lost answer, is not posted again."""
        about = f"deployment {deployment_of(channel)} of {channel.repository}"
        url = f"{(channel.url or API).rstrip('/')}/repos/{channel.repository}/deployments/{channel.deployment}/statuses"
        headers = {
            "Accept": "application/vnd.github+json",
            "Authorization": f"Bearer {channel.token}",
            "X-GitHub-Api-Version": VERSION,
        }
        status: dict[str, Any] = {
            "state": github_state(notification),
            "description": description(notification),
            "log_url": rollout_page(notification.workflow_id),
            "environment_url": channel.environment_url or "",
        }
        # The newest comes first.
        listed = (await ask("GET", f"{url}?per_page=1", headers, about)).anything()
        latest = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
        if all(latest.get(key) == status[key] for key in ("state", "description")):
            return
        # Those it is the successor of stay as they are: which one serves is for the next rollout to say.
        body = {key: value for key, value in status.items() if value} | {"auto_inactive": status["state"] == "success"}
        await ask("POST", url, headers, about, body)
