"""What a CI job keeps of a rollout when nobody answers any more what its summary is drawn from."""

from __future__ import annotations

import asyncio
import os
import signal
from argparse import Namespace
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from coalmine.cli._cancelling import cancelled_as_by_ctrl_c
from coalmine.cli._ci_files import DRAWN_WITHIN, CiFiles
from coalmine.cli._output import Output
from coalmine.cli._watching import Watcher
from coalmine.records import Outcome, Phase, RolloutStatus
from coalmine.searching import RolloutRef
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


class Over(FakeRollouts):
    """A rollout that has just ended, and a runner that is stopped while the summary is drawn."""

    async def follow(self, ref: RolloutRef, **given: Any) -> AsyncIterator[RolloutStatus]:
        yield await self.status(ref)

    async def recorded(self, ref: RolloutRef) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.Event().wait()


def test_a_signal_that_comes_after_the_outcome_ends_the_drawing_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rollouts = Over()
    status = rollouts.put(a_status("checkout", phase=Phase.WINDOW))
    files = Namespace(summary=str(tmp_path / "summary"), outputs=str(tmp_path / "outputs"))
    out = Output("json")
    watcher = Watcher(out, Namespace(timeout=None, leave_when_held=None), CiFiles(files, out))

    async def watched() -> int:
        return await watcher.watch(cast(Any, rollouts), RolloutRef(status.workflow_id))

    # As `watch` and `start` do.
    with cancelled_as_by_ctrl_c("watch"), pytest.raises(KeyboardInterrupt):
        asyncio.run(watched())
    assert watcher.finish("detached") == 0
    # A second signal, which may come while the connection is closed, tells nothing twice.
    assert watcher.finish("detached") == 0
    outputs = (tmp_path / "outputs").read_text().splitlines()
    assert [line for line in outputs if line.startswith(("stopped=", "exit=", "outcome="))] == [
        "outcome=promoted", "stopped=over", "exit=0",
    ]  # fmt: skip
    assert (tmp_path / "summary").read_text().count("production: promoted\n") == 1
    said = capsys.readouterr()
    assert said.out.count('"stopped": "over"') == 1
    assert "goes on" not in said.err
