"""One value that changes, and everyone who waits for the next one."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

T = TypeVar("T")


class Broadcast(Generic[T]):
    """The latest value, numbered: a reader that was slow sees the newest, not every one between."""

    def __init__(self, value: T) -> None:
        self.value = value
        self.number = 0
        self._next = asyncio.Event()

    def say(self, value: T) -> None:
        """Put a new value in place and wake whoever waits."""
        self.value, self.number = value, self.number + 1
        self._next.set()
        self._next = asyncio.Event()

    async def after(self, number: int) -> tuple[int, T]:
        """The number and the value, as soon as they are newer than ``number``."""
        while self.number <= number:
            await self._next.wait()
        return self.number, self.value
