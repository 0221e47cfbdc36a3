"""Which build a running workflow stays with: only versioned workers may say so, a server refuses it from others."""

from __future__ import annotations

import os

from temporalio.common import VersioningBehavior

_VERSIONED = bool(os.environ.get("TEMPORAL_DEPLOYMENT_NAME")) and bool(os.environ.get("TEMPORAL_WORKER_BUILD_ID"))


def when_versioned(behavior: VersioningBehavior) -> VersioningBehavior:
    """``behavior`` in a versioned worker (as ``coalmine.worker_settings`` reads it), else nothing."""
    return behavior if _VERSIONED else VersioningBehavior.UNSPECIFIED
