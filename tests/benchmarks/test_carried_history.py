"""The benchmark of a history that was learnt at another weight tells the choices apart."""

from __future__ import annotations

from benchmarks.carried_history import measure


def test_the_choices_differ_as_their_names_say() -> None:
    clusters = measure("clusters of five", 0.05, 0.05, 40)
    assert clusters["none"]["rolled_back"] > clusters["half"]["rolled_back"]
    varying = measure("rates that vary by half", 0.05, 0.05, 40)
    assert varying["all"]["seen"] < varying["half"]["seen"] <= varying["none"]["seen"]


def test_at_the_weight_it_was_learnt_at_all_choices_are_nearly_one() -> None:
    found = measure("counting alone", 0.05, 0.5, 20)
    assert found["none"] == found["half"] == found["all"]
