"""The shell script of infra/ci as a bare container runs it: without home, terminal or standard input."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.cli.terminal import HEARS_CTRL_C

SCRIPT = Path(__file__).parents[2] / "infra/ci/shell/release.sh"


@dataclass(frozen=True)
class Job:
    """How a job ended, and what it kept."""

    code: int
    out: str
    err: str
    outputs: dict[str, str]
    summary: str


@dataclass
class Runner:
    """A folder and the few variables that a container has."""

    folder: Path
    variables: dict[str, str]

    async def begin(self, *words: str, **more: str) -> asyncio.subprocess.Process:
        """The script, without home, terminal or standard input."""
        return await asyncio.create_subprocess_exec(
            *(*HEARS_CTRL_C, str(SCRIPT), *words),
            cwd=self.folder,
            env={**self.variables, **more},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def end(self, process: asyncio.subprocess.Process) -> Job:
        """Wait for it."""
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        kept = {name: self.folder / name for name in ("outputs", "summary")}
        texts = {name: path.read_text() if path.exists() else "" for name, path in kept.items()}
        outputs = dict(line.split("=", 1) for line in texts["outputs"].splitlines())
        return Job(process.returncode, out.decode(), err.decode(), outputs, texts["summary"])

    async def run(self, *words: str, **more: str) -> Job:
        """From start to end."""
        return await self.end(await self.begin(*words, **more))
