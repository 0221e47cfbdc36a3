"""What a CI job keeps of a rollout when nobody answers any more what its summary is drawn from."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from pathlib import Path
from typing import Any, cast

import pytest

from coalmine.cli._ci_files import DRAWN_WITHIN, CiFiles
from coalmine.cli._output import Output
from coalmine.records import Outcome, Phase
from coalmine.testing.fake_rollouts import FakeRollouts
from coalmine.testing.sample_rollouts import a_status
from tests.leaping_clock import run_leaping


class Stuck(FakeRollouts):
    """Takes one question, and never answers it."""

    silent_in = ""

    async def decisions(self, *given: Any) -> Any:
        return await self._answer("decisions", *given)

    async def recorded(self, *given: Any) -> Any:
        return await self._answer("recorded", *given)

    async def _answer(self, name: str, *given: Any) -> Any:
        if name == self.silent_in:
            await asyncio.Event().wait()
        return await getattr(super(), name)(*given)


@pytest.mark.parametrize("silent_in", ["decisions", "recorded"])
def test_a_job_ends_though_its_summary_cannot_be_drawn(tmp_path: Path, silent_in: str) -> None:
    rollouts = Stuck()
    rollouts.silent_in = silent_in
    status = a_status("checkout", phase=Phase.WINDOW)
    rollouts.put(status)
    files = CiFiles(Namespace(summary=str(tmp_path / "summary"), outputs=str(tmp_path / "outputs")), Output("table"))

    async def end() -> float:
        past = await files.past(cast(Any, rollouts), status)
        files.watched(status, "over", 0, None, past)
        return asyncio.get_running_loop().time()

    assert run_leaping(end()) == DRAWN_WITHIN
    summary = (tmp_path / "summary").read_text()
    assert summary.startswith("## checkout 1.41.0 → 1.42.0 in production: promoted\n")
    assert ("```mermaid" in summary) == (silent_in == "decisions")
    assert f"outcome={Outcome.PROMOTED}\nc" in (tmp_path / "outputs").read_text()
