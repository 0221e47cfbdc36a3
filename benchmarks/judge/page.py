"""Docs."""

from __future__ import annotations


def write() -> list[str]:
    return []
