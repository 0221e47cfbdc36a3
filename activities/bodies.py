"""Reading the body of an answer up to a bound."""

from __future__ import annotations

import aiohttp


async def read_up_to(body: aiohttp.StreamReader, most: int) -> bytes:
    """The first ``most`` bytes of a body, or all of it where it is shorter; decompressed.

    One ``read`` of the stream gives what has come so far, which may be a part of a body that comes in several pieces.
    """
    pieces: list[bytes] = []
    left = most
    while left > 0 and (piece := await body.read(left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)
