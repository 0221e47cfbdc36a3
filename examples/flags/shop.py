"""A shop whose new checkout is behind a flag, with requests counted by variant: what docs/flags.md releases.

    pip install openfeature-sdk openfeature-provider-flagd aiohttp
    python shop.py flags.json 8000        then: curl -H 'x-user: ana' localhost:8000/checkout

The provider reads the file itself, twice a second. When the file, Coalmine and everything else is gone, it goes on with
what it read last; a flag that is not there at all is the default below: the old way.
"""

import sys

from aiohttp import web
from openfeature import api
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext

FLAG = "new-checkout"
COUNTED: dict[tuple[str, str], int] = {}


def old_checkout(user: str) -> str:
    return f"{user}: paid in four steps\n"


def new_checkout(user: str) -> str:
    return f"{user}: paid at once\n"


async def checkout(request: web.Request) -> web.Response:
    user = request.headers.get("x-user", "")
    context = EvaluationContext(user or None, {"email": request.headers.get("x-email", "")})
    flag = api.get_client().get_boolean_details(FLAG, False, context)
    variant = flag.variant or "old"
    try:
        answer = web.Response(text=new_checkout(user) if flag.value else old_checkout(user))
    except Exception:
        answer = web.Response(status=500)
    key = (variant, str(answer.status))
    COUNTED[key] = COUNTED.get(key, 0) + 1
    answer.headers["x-variant"] = variant
    return answer


async def metrics(request: web.Request) -> web.Response:
    """As a Prometheus client library would write them."""
    lines = ["# TYPE http_requests_total counter"]
    lines += [
        f'http_requests_total{{flag="{FLAG}",variant="{variant}",code="{code}"}} {count}'
        for (variant, code), count in COUNTED.items()
    ]
    return web.Response(text="\n".join(lines) + "\n")


def app(flags: str) -> web.Application:
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=flags, deadline_ms=500)
    api.set_provider(provider)
    shop = web.Application()
    shop.router.add_get("/checkout", checkout)
    shop.router.add_get("/metrics", metrics)
    return shop


if __name__ == "__main__":
    web.run_app(app(sys.argv[1]), host="127.0.0.1", port=int(sys.argv[2]))
