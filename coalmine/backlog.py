"""What waits for the ledger while it is out: all decisions, looks as long as there is room. Pure."""

from __future__ import annotations

from coalmine.records import LedgerEntry

LOOK_DETAILS = frozenset({"counts", "effects"})
"""What a look's entry holds for the ledger alone."""
KEPT_COUNTS = 200
"""Newest entries of the backlog whose looks keep their details."""
KEPT_BACKLOG = 1_500
"""Entries the backlog holds at most: a state over 2 MB cannot be carried, and the server would end the workflow."""


def put_by(backlog: list[LedgerEntry], entry: LedgerEntry) -> int:
    """Keep an entry. In a long outage looks lose their details, then go, then refused words.

    Returns:
        How many entries went for good.
    """
    backlog.append(entry)
    old = len(backlog) - KEPT_COUNTS - 1
    if old >= 0 and not LOOK_DETAILS.isdisjoint(backlog[old].data):
        rest = {key: value for key, value in backlog[old].data.items() if key not in LOOK_DETAILS}
        backlog[old] = backlog[old].model_copy(update={"data": rest})
    if len(backlog) <= KEPT_BACKLOG:
        return 0
    # Decisions last: neither looks nor a flood of words that were refused may push one out.
    spared = next((kind for kind in ("look", "refused") if any(kept.kind == kind for kept in backlog)), "")
    goes = (index for index, kept in enumerate(backlog) if kept.kind == spared)
    del backlog[next(goes, 0)]
    return 1
