"""How soon a running app follows a flag: from the write to the first answer by the new variant.

Run ``python -m benchmarks.flag_change``: the example shop as a process whose provider looks at the file twice a second.
Writes ``results/flag_change.json``; 1 when one change took longer than a second.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import aiohttp

from activities.routers.flagd import FlagdRouter
from benchmarks.ending import run
from benchmarks.report import quantile, write
from coalmine.local.ending import end
from coalmine.local.processes import free_ports
from coalmine.spec.canary import Route

EXAMPLE = Path(__file__).parents[1] / "examples" / "flags"
CHANGES = 40
LIMIT = 1.0


class Ended(Exception):
    """Raised when the app ended by itself."""


async def measured(folder: Path) -> list[float]:
    """Seconds, one for each change.

    Raises:
        Ended: the app did not start.
    """
    flags = Path(shutil.copy(EXAMPLE / "flags.json", folder))
    (port,) = free_ports(1)
    shop = await asyncio.create_subprocess_exec(sys.executable, str(EXAMPLE / "shop.py"), str(flags), str(port))
    router = FlagdRouter()
    route = Route.model_validate({"router": "flagd", "name": "new-checkout", "places": [str(flags)]})
    times = []
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers={"x-user": "ana"}) as session:
            while await _variant(session) != "old":
                if shop.returncode is not None:
                    raise Ended(f"the shop ended with {shop.returncode}: see what it said above")
                await asyncio.sleep(0.05)
            for generation in range(1, CHANGES + 1):
                # At any moment between two of its looks.
                await asyncio.sleep(random.uniform(0, 0.5))
                new = generation % 2 * 100.0
                began = time.perf_counter()
                await router.apply(route, {"old": 100 - new, "new": new}, generation)
                while await _variant(session) != ("new" if new else "old"):
                    await asyncio.sleep(0.002)
                times.append(time.perf_counter() - began)
    finally:
        await end(shop)
    return times


async def _variant(session: aiohttp.ClientSession) -> str:
    try:
        async with session.get("/checkout") as answer:
            return answer.headers["x-variant"]
    except aiohttp.ClientConnectionError:
        return ""


def main() -> int:
    """Measure, print, write."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            times = run(measured(Path(folder)))
        except Ended as error:
            print(error, file=sys.stderr)
            return 1
    told = {"median": quantile(times, 0.5), "p95": quantile(times, 0.95), "max": max(times)}
    rounded = {name: round(value, 3) for name, value in told.items()}
    write("flag_change", {"changes": len(times), "poll_seconds": 0.5, "seconds": rounded, "limit": LIMIT})
    print(f"{len(times)} changes: median {rounded['median']} s, p95 {rounded['p95']} s, most {rounded['max']} s")
    return int(max(times) > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
