"""The table of docs/routers.md, made from the registry: ``python -m activities.routers.table`` fills it in.

It stands between ``<!-- routers -->`` and ``<!-- end -->``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from activities.routers.registry import BUILT_IN, RouterFactory
from coalmine.records import Capabilities

PAGE = Path(__file__).parents[2] / "docs" / "routers.md"
HEAD = "| router | fence | smallest step | confirmed | header | cookie | mirror | sticky | tested against |"
_BLOCK = re.compile(r"(<!-- routers -->\n).*?(<!-- end -->)", re.DOTALL)


def fill(text: str, routers: Mapping[str, RouterFactory] = BUILT_IN) -> str:
    """The page with its table made anew."""
    return _BLOCK.sub(lambda block: f"{block[1]}{table(routers)}{block[2]}", text)


def table(routers: Mapping[str, RouterFactory]) -> str:
    """One line a router: the most it can do."""
    lines = [HEAD, "|---" * HEAD.count(" |") + "|"]
    for name in sorted(routers):
        able = routers[name]().able
        can = [able.confirm, able.header_match, able.cookie_match, able.mirror, able.stickiness]
        step = able.step or f"{able.granularity:g} %"
        cells = [f"`{name}`", _fence(able), step, *("yes" if one else "no" for one in can)]
        lines.append(f"| {' | '.join([*cells, able.tested_against])} |")
    return "\n".join(lines) + "\n"


def _fence(able: Capabilities) -> str:
    return able.fencing if able.fencing == "strict" else f"advisory, {able.lease:g} s"


if __name__ == "__main__":
    PAGE.write_text(fill(PAGE.read_text()))
