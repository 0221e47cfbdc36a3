"""Clients as an outsider has them."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

import boto3


def client(service: str, region: str = "eu-west-1") -> Any:
    """A client past the product's own, over the environment of the test."""
    return _made(service, region, os.environ["AWS_ENDPOINT_URL"])


@cache
def _made(service: str, region: str, endpoint: str) -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.session.Session(**keys, region_name=region).client(service, endpoint_url=endpoint)
