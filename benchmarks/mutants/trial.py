"""One mutant, one forked child: the real module never was imported there, so the child imports the changed one.

The parent has imported what takes long (numpy, scipy, pytest, temporalio) and nothing of ``coalmine.analysis``.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import pickle
import resource
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import pytest

from benchmarks.mutants.lines import Recorder
from benchmarks.mutants.population import ROOT, Mutant, mutated
from benchmarks.one_core import ONE_THREAD

TESTS = ("tests/analysis", "tests/cli/test_plan.py", "tests/cli/test_plan_told.py")
"""Those of the plan are where the forecasts of ``coalmine.analysis.forecast`` are told."""
AHEAD = (
    "hypothesis.strategies",
    "numpy.random",
    "scipy.special",
    "scipy.stats",
    "temporalio.testing",
    "temporalio.contrib.pydantic",
    "coalmine.connection",
    "coalmine.records",
    "coalmine.spec.canary",
)
MEMORY = 6 * 2**30
"""Bytes of address space a child may take: a mutant may ask for an array without end."""
PATIENCE, SLACK = 4.0, 10.0
"""Processor time a child gets: so many times what its tests took, and so many seconds for start and collection."""


@dataclass(frozen=True)
class Outcome:
    """``survived``, ``killed`` or ``timeout``; ``by`` is the test that noticed, ``how`` the exception it noticed by."""

    verdict: str
    by: str = ""
    how: str = ""


def prepare() -> None:
    """Import ahead what every child needs.

    Raises:
        RuntimeError: something of that imports the analysis: children would test the real module.
    """
    os.chdir(ROOT)
    # Before numpy is imported: its threads do not survive a fork.
    os.environ.update(ONE_THREAD)
    for name in AHEAD:
        importlib.import_module(name)
    from hypothesis import Phase, settings

    # The same examples for each mutant, and no time spent on finding the simplest one.
    settings.register_profile(
        "mutants", derandomize=True, database=None, phases=[Phase.explicit, Phase.generate], print_blob=False
    )
    settings.load_profile("mutants")
    loaded = [name for name in sys.modules if name.startswith("coalmine.analysis")]
    if loaded:
        raise RuntimeError(f"already imported: {', '.join(loaded)}: leave it out of AHEAD")


def record(tests: Sequence[str], base: Path) -> Recorder:
    """Run all tests without a mutant, and note which lines each of them runs.

    Raises:
        RuntimeError: tests fail without a mutant, or cannot be run.
    """

    def work() -> Recorder:
        recorder = Recorder()
        code = _pytest([*tests], base, recorder)
        if code not in (0, 1):
            raise RuntimeError(f"pytest ended with {code} on {', '.join(tests)}")
        return recorder

    status, answer = _in_child(work)
    if status != 0 or not isinstance(answer, Recorder):
        raise RuntimeError(f"the tests cannot be run: {answer or f'ended with status {status}'}")
    if answer.failed:
        raise RuntimeError(f"these fail without a mutant: {', '.join(sorted(set(answer.failed)))}")
    return answer


def attempt(mutant: Mutant, tests: Sequence[str], seconds: float, base: Path) -> Outcome:
    """Run ``tests``, which take ``seconds`` of processor time without the mutant, until one notices it."""
    if not tests:
        return Outcome("survived")

    def work() -> Outcome:
        limit = int(PATIENCE * seconds + SLACK)
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        _put_in_place(mutant)
        chosen = _Chosen(tests)
        code = _pytest(sorted({name.split("::", 1)[0] for name in tests}), base, chosen)
        if code == 0:
            return Outcome("survived")
        # 4: a conftest.py that imports the mutated module could not be loaded. All were, when nothing was mutated.
        if code in (1, 2, 4):
            return Outcome("killed", chosen.by or "import", chosen.how)
        raise RuntimeError(f"pytest ended with {code} on {mutant}")

    status, answer = _in_child(work)
    if isinstance(answer, Outcome):
        return answer
    if os.WIFSIGNALED(status):
        slow = os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGKILL)
        return Outcome("timeout") if slow else Outcome("killed", "", signal.Signals(os.WTERMSIG(status)).name)
    raise RuntimeError(f"{mutant}: {answer}")


class _Chosen:
    """A pytest plugin that keeps the chosen tests, in their order, and notes which of them failed first."""

    def __init__(self, tests: Sequence[str]) -> None:
        self.by = self.how = ""
        self._place = {name: number for number, name in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )

    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
        if call.excinfo is not None and not self.by:
            self.by, self.how = item.nodeid, call.excinfo.type.__name__

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.by:
            self.by, self.how = report.nodeid, "import"


def _pytest(paths: Sequence[str], base: Path, plugin: object) -> int:
    # Hypothesis is imported ahead, so pytest cannot rewrite its asserts; nothing here reads them.
    quiet = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    options = ["-q", "--tb=no", "-x", "-p", "no:randomly", "-p", "no:xdist", *quiet, f"--basetemp={base / 'tests'}"]
    if isinstance(plugin, Recorder):
        options.remove("-x")
    return int(pytest.main([*options, *paths], plugins=[plugin]))


def _put_in_place(mutant: Mutant) -> None:
    path = ROOT / mutant.file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code = compile(mutated(path.read_text(), mutant), str(path), "exec")
    sys.meta_path.insert(0, _Finder(mutant.module, path, code))


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        super().__init__(name, str(path))
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the one changed module."""

    def __init__(self, name: str, path: Path, code: CodeType) -> None:
        self._name, self._path, self._code = name, path, code

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self._name:
            return None
        below = [str(self._path.parent)] if self._path.name == "__init__.py" else None
        loader = _Loader(fullname, self._path, self._code)
        return importlib.util.spec_from_file_location(
            fullname, self._path, loader=loader, submodule_search_locations=below
        )


def _in_child(work: Callable[[], Any]) -> tuple[int, Any]:
    """The child's status, and what ``work`` returned or the text of what it raised; None when it was killed."""
    readable, writable = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # From 3.12 on Python warns of threads, which the child does not need.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(readable)
        _answer(work, writable)
    os.close(writable)
    with os.fdopen(readable, "rb") as pipe:
        text = pipe.read()
    _, status = os.waitpid(child, 0)
    return status, pickle.loads(text) if text else None


def _answer(work: Callable[[], Any], writable: int) -> None:
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    sys.stdout = sys.stderr = io.StringIO()
    try:
        answer: Any = work()
        code = 0
    except BaseException as error:
        answer, code = f"{type(error).__name__}: {error}", 1
    with os.fdopen(writable, "wb") as pipe:
        pickle.dump(answer, pipe)
    os._exit(code)
