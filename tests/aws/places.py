"""Clients as an outsider has them."""

from __future__ import annotations

from typing import Any

import boto3


def client(service: str, region: str = "eu-west-1") -> Any:
    """A client of its own, over the environment of the test."""
    return boto3.session.Session().client(service, region_name=region)
