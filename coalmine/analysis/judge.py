"""One decision: fold one look into the evidence, and say what the evidence says now. Pure and deterministic."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from coalmine.analysis.bake_judge import evaluate_bake
from coalmine.analysis.coarse import coarsened
from coalmine.analysis.comparison import looks_per_minute
from coalmine.analysis.kinds import AnyCounts
from coalmine.analysis.noises import Noises
from coalmine.analysis.packed_bounds import pack_bounds, unpack_bounds
from coalmine.analysis.packing import pack, unpack
from coalmine.analysis.prepared import comparison_of
from coalmine.analysis.recall import Whole, keep, recall
from coalmine.analysis.sample_ratio import SampleRatio
from coalmine.analysis.standing import Standing
from coalmine.analysis.starvation import Due, silence
from coalmine.analysis.state import CUT_CURVE, Rounded, decode, opened, sealed
from coalmine.analysis.traffic_order import best_counted, canary_requests
from coalmine.analysis.windows import Bounds, MetricWindow, read_windows
from coalmine.errors import InputError
from coalmine.records import EvaluateRequest, Evaluation, Evidence
from coalmine.records.beyond import beyond
from coalmine.spec.metric_rules import COUNTS_REQUESTS

_VERSION = 6
_IN_TURN, _PLAIN, _CUT, _UNPACKED = 5, 4, 3, 2
"""Evidence whose steps, sums and counts stand one behind the other; whose bounds are written out as well; whose curves
are cut off as well; and such that keeps each kind of array apart, and the sample ratio's too. All are read, and
written no more."""


def evaluate(request: EvaluateRequest) -> Evaluation:
    """Fold one look into the evidence and say what was found (docs/judging.md).

    The same request always gives the same answer, byte for byte. ``request.stage`` chooses between comparing two arms
    and holding the canary alone to absolute limits; each stage has evidence of its own.

    Raises:
        InputError: counts or evidence that cannot be; names field, value and mend.
    """
    for one in request.counts:
        # Evidence keeps counts as 64-bit numbers: larger ones would come back as others, or as none at all.
        if said := beyond(one):
            raise InputError(f"counts.{one.metric}.{said}")
    return evaluate_bake(request) if request.stage == "bake" else _Comparing(request).evaluation()


class _Comparing:
    """One look with both arms running."""

    def __init__(self, request: EvaluateRequest) -> None:
        self._request = request
        self._judge = request.judge
        self._core = comparison_of(request.judge)
        metrics = request.judge.metrics
        self._windows = read_windows(metrics, coarsened(request.counts, metrics), compare=True)
        written = opened(request.evidence, "compare", _VERSION, _IN_TURN, _PLAIN, _CUT, _UNPACKED)
        self._due: dict[str, Due] = {name: (due[0], due[1]) for name, due in written.get("due", {}).items()}
        whole = recall(self._core, written) or self._read(written)
        self._state, self._ratio = whole.state, whole.ratio
        self._missing: dict[str, str] = {}
        self._fold()

    def evaluation(self) -> Evaluation:
        """What this look says."""
        found = Standing(self._core, self._state, self._missing, self._ratio.complaint()).conclusion()
        return Evaluation(
            finding=found.finding,
            reason=found.reason,
            verdicts=found.verdicts,
            canary_requests=canary_requests(self._windows),
            log_e_harm=found.log_e_harm,
            evidence=self._written(),
        )

    # ------------------------------------------------------------------------------------------------ folding

    def _read(self, written: dict[str, Any]) -> Whole:
        if not written:
            return Whole(self._core.start(1, {}), SampleRatio.start())
        if written["version"] in (_VERSION, _IN_TURN):
            bounds = unpack_bounds(written.get("bounds"))
        else:
            bounds = {name: tuple(values) for name, values in written.get("bounds", {}).items()}
        fresh = Whole(self._core.start(1, bounds), SampleRatio.start())
        if written["version"] == _UNPACKED:
            whole = Whole(decode(fresh.state, written, CUT_CURVE), SampleRatio.read(written.get("split")))
        else:
            rounded = unpack(written.get("packed"), fresh, mixed=written["version"] == _VERSION)
            if written["version"] == _CUT:
                rounded = replace(rounded, curves=CUT_CURVE)
            whole = rounded.read(fresh)
            whole = replace(whole, ratio=whole.ratio.under(**written.get("split", {})))
        state = replace(whole.state, looks=int(written["looks"]), spent=float(written["spent"]))
        return replace(whole, state=state)

    def _fold(self) -> None:
        windows: list[AnyCounts] = []
        known = self._state.bounds
        quiet = any(not window.missing and _is_silent(window) for window in self._windows)
        seen = self._core.seen(self._state) if quiet else {}
        bounds: dict[int, Bounds] = {}
        for place, window in enumerate(self._windows):
            before = known.get(place, ())
            reason = window.missing or self._silence(window, seen.get(place))
            after, folded, reason = self._core.metric(place).take(before, window, self._request.share, reason)
            if reason:
                self._missing[window.metric.name] = reason
            if after != before:
                bounds[place] = after
            windows.append(folded)
        noises = Noises(looks_per_minute(self._judge))
        self._state = self._core.update(
            self._core.with_bounds(self._state, bounds),
            windows,
            new_step=self._request.new_step,
            extension=self._request.extension,
            noises=noises,
        )
        share = self._request.share
        split = best_counted(w for w in self._windows if w.metric.name not in self._missing)
        if share is not None and 0.0 < share < 1.0 and split is not None:
            arms = (np.array([split.canary.total]), np.array([split.baseline.total]))
            self._ratio = self._ratio.add(*arms, np.array([share]), noises)
        noises.settle()

    def _silence(self, window: MetricWindow, seen: Due | None) -> str:
        name = window.metric.name
        due = self._due.pop(name, (0.0, 0.0))
        if seen is None:
            return ""
        reason, due = silence(window, due, self._request.share, self._state.looks, seen)
        if any(due):
            self._due[name] = (round(due[0], 3), round(due[1], 3))
        return reason

    def _written(self) -> Evidence:
        state = self._state
        bounds = {self._core.names[place]: known for place, known in sorted(state.bounds.items()) if known}
        whole = Whole(state, self._ratio)
        rounded = Rounded.of(whole, state.looks)
        evidence = sealed(
            "compare",
            _VERSION,
            state.looks,
            {
                "packed": pack(rounded),
                "spent": state.spent,
                "bounds": pack_bounds(bounds),
                "due": {name: list(due) for name, due in self._due.items()},
                "split": self._ratio.terms,
            },
        )
        keep(self._core, evidence.state, whole, rounded)
        return evidence


def _is_silent(window: MetricWindow) -> bool:
    """An arm of a kind that counts requests has none."""
    return window.metric.kind in COUNTS_REQUESTS and not (window.canary.total and window.baseline.total)
