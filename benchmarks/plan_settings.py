"""The rollouts that are forecast and then played: chosen ones, and drawn ones that nobody chose."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from benchmarks.judge.traffic import BOUNDS, lognormal_shares
from coalmine.analysis.comparison import channel_names
from coalmine.analysis.forecast.arrival import Arrival
from coalmine.analysis.forecast.course import Stretch
from coalmine.analysis.forecast.outlook import MOST_FALLEN, GaugeLevel, Level, Outlook
from coalmine.records import ChannelHistory, Judge, ServiceHistory
from coalmine.spec.canary import Policy
from coalmine.spec.metrics import Metric, Objective, Slo

LATENCY = Level(lognormal_shares(np.zeros(1))[0], BOUNDS)
NAMES = {"ratio": "errors", "latency": "latency", "value": "cpu", "count": "restarts", "slo": "availability"}
OBJECTIVE = 0.99
"""Of the objective that is judged; its burn rates are those every spec has."""


@dataclass(frozen=True)
class Setting:
    """One rollout. ``weights`` (percent) and ``looks`` by step; the last step goes on until all runs have decided."""

    kind: str
    weights: tuple[float, ...]
    looks: tuple[int, ...]
    rps: float
    look_s: float
    times: float
    """Odds of a bad request in the canary over those in the baseline, or events, or the level; of an objective how fast
    the canary burns. 1: no regression, no harm is to be shown."""
    rate: float = 0.005
    """Baseline's events per request; for latency only that of the errors judged beside it. Of a count per hour."""
    known: bool = True
    wobble: float = 0.0
    """Coefficient of variation of each arm's event rate from look to look. Of a gauge: standard deviation of a minute's
    difference between two like versions, as a part of the level."""
    both: bool = False
    """Whether errors and latency are judged together; else the metric of ``kind`` alone."""
    onset: int = 0
    """Step with which the regression begins, from 0."""
    margin: float | None = None
    objective: float | None = None
    """Seconds, of a latency."""
    down: bool = False
    """Whether fewer are worse."""
    tolerance: float = 0.0

    @property
    def name(self) -> str:
        return NAMES[self.kind]

    def judge(self) -> Judge:
        """The judge of this setting."""
        kinds = ["ratio", "latency"] if self.both else [self.kind]
        metrics = [Metric.model_validate({"name": NAMES[kind], "kind": kind, "margin": self.margin}) for kind in kinds]
        if self.kind in ("value", "count"):
            told = {"direction": "down" if self.down else "up", "tolerance": self.tolerance}
            metrics = [metric.model_copy(update=told) for metric in metrics]
        elif self.kind == "slo":
            metrics = [metric.model_copy(update={"slo": Slo(objective=OBJECTIVE)}) for metric in metrics]
        if self.objective is not None:
            under = Objective(under=timedelta(seconds=self.objective), share=0.5)
            metrics = [m if m.kind == "ratio" else m.model_copy(update={"objective": under}) for m in metrics]
        noise = ChannelHistory(tau2=(1.0 if self.kind == "value" else 2.0) * self.wobble**2)
        channels = {metric.name: dict.fromkeys(channel_names(metric), noise) for metric in metrics}
        policy = Policy(look=timedelta(seconds=self.look_s))
        history = ServiceHistory(looks=120, channels=channels) if self.known else None
        return Judge(metrics=metrics, policy=policy, planned_looks=sum(self.looks), history=history)

    def outlook(self) -> Outlook:
        """What is forecast from."""
        levels = {"errors": Level.of_ratio(self.rate), "latency": LATENCY}
        if self.kind == "count":
            levels[self.name] = Level.of_count(self.rate)
        elif self.kind == "slo":
            levels[self.name] = Level.of_ratio(self.rate)
        return Outlook(self.judge(), self.rps, levels, {"cpu": GaugeLevel(1.0, self.wobble)})

    def stretches(self, last: int) -> list[Stretch]:
        """The steps, the last one for ``last`` looks."""
        looks = (*self.looks[:-1], last)
        return [Stretch(number, weight / 100.0) for number, weight in zip(looks, self.weights, strict=True)]

    def forecast(self) -> Arrival:
        """What is foretold."""
        outlook = self.outlook()
        metric = next(one for one in outlook.judge.metrics if one.name == self.name)
        course = outlook.course(self.stretches(3000))
        if self.times > 1:
            return outlook.harm(metric, self.times, course, onset=self.onset)
        return outlook.no_harm(metric, course)


S = Setting
SETTINGS = (
    S("ratio", (1,), (120,), 200, 10, 10),
    S("ratio", (5,), (120,), 200, 10, 2, both=True),
    S("ratio", (10,), (60,), 200, 10, 2),
    S("ratio", (50,), (60,), 200, 10, 2, known=False),
    S("ratio", (50,), (120,), 200, 10, 1.5),
    S("ratio", (5,), (120,), 200, 10, 3, known=False),
    S("ratio", (5,), (120,), 2000, 5, 1.5, rate=0.05),
    S("ratio", (1,), (120,), 2000, 30, 2, known=False),
    S("ratio", (10,), (120,), 20, 30, 5, rate=0.01),
    S("ratio", (50,), (120,), 20, 60, 2, rate=0.02, known=False),
    S("ratio", (5,), (240,), 500, 10, 10, rate=0.0005),
    S("ratio", (50,), (240,), 100, 30, 10, rate=0.0005, known=False),
    S("ratio", (20,), (240,), 40, 5, 5, rate=0.02),
    S("ratio", (1, 10, 50), (20, 40, 60), 100, 15, 2, rate=0.01, both=True),
    S("ratio", (1, 5, 25), (30, 30, 60), 50, 20, 3, known=False),
    S("ratio", (5, 20), (40, 60), 200, 10, 2, rate=0.01, onset=1),
    S("ratio", (10,), (120,), 500, 10, 2, wobble=0.3),
    S("ratio", (50,), (120,), 200, 10, 2, rate=0.02, wobble=0.15),
    S("ratio", (10,), (60,), 200, 10, 2, margin=1.5),
    S("latency", (5,), (120,), 200, 10, 2),
    S("latency", (10,), (60,), 200, 10, 1.5),
    S("latency", (50,), (60,), 100, 30, 2, known=False),
    S("latency", (1,), (120,), 2000, 10, 3, both=True),
    S("latency", (20,), (120,), 20, 60, 3, known=False),
    S("latency", (1, 10, 50), (10, 20, 60), 100, 30, 2),
    S("latency", (5,), (60,), 20, 15, 1.5, objective=0.1),
    S("latency", (10,), (60,), 60, 15, 1, objective=0.1),
    S("ratio", (5,), (120,), 200, 10, 1),
    S("ratio", (10,), (120,), 100, 30, 1, rate=0.02),
    S("ratio", (10,), (120,), 200, 10, 1, rate=0.0005, known=False),
    S("latency", (10,), (120,), 200, 10, 1),
    S("latency", (50,), (120,), 50, 30, 1, known=False),
)  # fmt: skip


FURTHER = (
    S("value", (10,), (60,), 100, 30, 1.4, wobble=0.05, known=False),
    S("value", (10,), (60,), 100, 30, 1.2, wobble=0.05),
    S("value", (10,), (120,), 100, 30, 1.4, wobble=0.1, known=False),
    S("value", (10,), (120,), 100, 60, 1.2, wobble=0.1),
    S("value", (10,), (120,), 100, 10, 1.5, wobble=0.3, known=False),
    S("value", (10,), (120,), 100, 60, 2, wobble=0.3, margin=1.5),
    S("value", (10,), (120,), 100, 60, 1.3, wobble=0.1, tolerance=0.15, known=False),
    S("value", (10,), (120,), 100, 60, 1.4, wobble=0.1, down=True, known=False),
    S("value", (10,), (60,), 100, 30, 1, wobble=0.05, known=False),
    S("value", (10,), (120,), 100, 60, 1, wobble=0.3, known=False),
    S("value", (10,), (120,), 100, 120, 1, wobble=0.4),
    S("count", (10,), (120,), 100, 10, 1.2, rate=60_000),
    S("count", (10,), (120,), 100, 10, 2, rate=7200),
    S("count", (10,), (120,), 100, 10, 1.4, rate=7200, known=False),
    S("count", (5,), (120,), 100, 30, 5, rate=360),
    S("count", (50,), (120,), 100, 30, 1.5, rate=3600, known=False),
    S("count", (5, 20, 50), (20, 20, 40), 100, 30, 2, rate=1200),
    S("count", (50,), (120,), 100, 60, 4, rate=60, tolerance=20, known=False),
    S("count", (10,), (120,), 100, 30, 1.5, rate=20_000, wobble=0.1),
    S("count", (20,), (120,), 100, 30, 2, rate=1200, down=True),
    S("count", (10,), (120,), 100, 10, 1, rate=7200),
    S("count", (50,), (120,), 100, 30, 1, rate=3600, known=False),
    S("count", (10,), (120,), 100, 30, 1, rate=600, tolerance=300),
    S("slo", (10,), (120,), 200, 10, 9, known=False),
    S("slo", (5,), (120,), 20, 30, 12, known=False),
    S("slo", (5, 25), (20, 60), 10, 30, 28.8, known=False),
    S("slo", (10,), (120,), 100, 10, 1, rate=0.005, known=False),
    S("slo", (1, 10), (20, 120), 50, 30, 1, rate=0.02, known=False),
)  # fmt: skip
"""Of kinds that do not compare shares of requests."""


def drawn(number: int, seed: int) -> list[Setting]:
    """Settings nobody chose: drawn from the whole range, kept when between 3 and 250 looks are foretold."""
    rng = np.random.default_rng(seed)
    kept: list[Setting] = []
    while len(kept) < number:
        steps = int(rng.integers(1, 4))
        weights = np.sort(rng.choice([1, 2, 5, 10, 20, 30, 50], steps, replace=False))
        setting = Setting(
            kind=str(rng.choice(["ratio", "ratio", "latency"])),
            weights=tuple(float(weight) for weight in weights),
            looks=tuple(int(looks) for looks in rng.integers(10, 60, steps)),
            rps=float(f"{math.exp(rng.uniform(math.log(20), math.log(2000))):.2g}"),
            look_s=float(rng.choice([5, 10, 15, 30, 60])),
            times=float(rng.choice([1, 1.5, 2, 3, 5, 10])),
            rate=float(f"{math.exp(rng.uniform(math.log(0.0005), math.log(0.05))):.2g}"),
            known=bool(rng.random() < 0.5),
        )
        looks = setting.forecast().looks(0.5)
        if looks is not None and 3 <= looks <= 250:
            kept.append(setting)
    return kept


def drawn_further(number: int, seed: int) -> list[Setting]:
    """The same of gauges and counts, without a margin of their own: between 10 and 250 looks, none falls below zero."""
    rng = np.random.default_rng(seed)
    kept: list[Setting] = []
    while len(kept) < number:
        kind = ("value", "count")[len(kept) % 2]
        wobble = float(f"{math.exp(rng.uniform(math.log(0.03), math.log(0.5))):.2g}")
        setting = Setting(
            kind=kind,
            weights=(float(rng.choice([1, 5, 10, 20, 50])),),
            looks=(int(rng.integers(20, 120)),),
            rps=100,
            look_s=float(rng.choice([10, 15, 30, 60])),
            times=float(rng.choice([1, 1.4, 1.5, 2, 3])),
            rate=float(f"{math.exp(rng.uniform(math.log(60), math.log(60_000))):.2g}"),
            wobble=wobble if kind == "value" else 0.0,
            known=bool(rng.random() < 0.5),
            down=bool(rng.random() < 0.25),
        )
        if setting.kind == "value" and setting.down and setting.times > MOST_FALLEN:
            continue
        looks = setting.forecast().looks(0.5)
        if looks is not None and 3 <= looks <= 250:
            kept.append(setting)
    return kept
