"""Which test runs which lines of the analysis, and how long it takes: measured once, without a mutant."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any

import pytest

from benchmarks.mutants.population import PACKAGE, ROOT, Mutant


@dataclass(frozen=True)
class Reach:
    """Of one test: seconds of processor time, and the lines it runs, by file below the root."""

    seconds: float
    lines: dict[str, set[int]]


class Recorder:
    """A pytest plugin that fills ``reached``, by the test's id, and ``failed``."""

    def __init__(self) -> None:
        self.reached: dict[str, Reach] = {}
        self.failed: list[str] = []
        self.imported: dict[str, set[int]] = {}
        """Lines that run when the analysis is imported: every test rests on what they make."""
        self._lines: dict[str, set[int]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_load_initial_conftests(self) -> Iterator[None]:
        # A conftest.py imports the analysis before a test does.
        return (yield from self._importing())

    @pytest.hookimpl(wrapper=True)
    def pytest_collection(self) -> Iterator[None]:
        return (yield from self._importing())

    def _importing(self) -> Iterator[None]:
        self._lines = {}
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            for file, numbers in _below_root(self._lines).items():
                self.imported.setdefault(file, set()).update(numbers)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._lines = {}
        started = time.process_time()
        sys.settrace(self._call)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self.reached[item.nodeid] = Reach(time.process_time() - started, _below_root(self._lines))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def _call(self, frame: FrameType, event: str, argument: Any) -> Any:
        file = frame.f_code.co_filename
        if not file.startswith(_PREFIX):
            return None
        lines = self._lines.setdefault(file, set())
        lines.add(frame.f_lineno)

        def line(frame: FrameType, event: str, argument: Any) -> Any:
            lines.add(frame.f_lineno)
            return line

        return line


_PREFIX = f"{PACKAGE}/"


def _below_root(lines: dict[str, set[int]]) -> dict[str, set[int]]:
    return {file.removeprefix(f"{ROOT}/"): numbers for file, numbers in lines.items()}


def reaching(mutant: Mutant, recorder: Recorder, slowest: float) -> list[str]:
    """The tests to try on a mutant, quickest first: those that run a line of its statement in ``slowest`` seconds."""
    reached, wanted = recorder.reached, range(mutant.span[0], mutant.span[1] + 1)
    everywhere = mutant.everywhere or _touches(recorder.imported.get(mutant.file, ()), wanted)
    found = [
        (reach.seconds, name)
        for name, reach in reached.items()
        if reach.seconds <= slowest and (everywhere or _touches(reach.lines.get(mutant.file, ()), wanted))
    ]
    return [name for _, name in sorted(found)]


def _touches(lines: Iterable[int], wanted: range) -> bool:
    return any(line in wanted for line in lines)
