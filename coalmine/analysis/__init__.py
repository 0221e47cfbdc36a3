"""The statistics: counts in, evidence out. Pure: numpy and scipy, no clock, no chance, no I/O.

``evaluate`` folds one look into the evidence of a rollout and says what it finds; ``summarise_history`` learns a
service's noise from earlier looks; ``adjusted_for_arms`` holds several candidates under one alpha; ``Comparison`` and
``Bake`` are the batched cores below them.
"""

from __future__ import annotations

from coalmine.analysis.arms import adjusted_for_arms
from coalmine.analysis.bake import Bake
from coalmine.analysis.comparison import Comparison
from coalmine.analysis.history import summarise_history
from coalmine.analysis.judge import evaluate

__all__ = ["Bake", "Comparison", "adjusted_for_arms", "evaluate", "summarise_history"]
