"""Who has a slot of an environment and who waits for one, and where a rollout stands in that. Pure."""

from __future__ import annotations

from coalmine.queueing import ordinal
from coalmine.records import FleetRequest, Phase, SlotBook, SlotPlace
from coalmine.rollout import RolloutState


def ask_slot(book: SlotBook, request: FleetRequest) -> None:
    """Give a slot, or a place at the end. A workflow that is in the book already keeps what it has.

    Its id is enough: one rollout at a time runs under it, so a newer request is that of its next run or next rollout.
    """
    for row in (book.holders, book.waiting):
        for index, one in enumerate(row):
            if one.workflow_id == request.workflow_id:
                row[index] = request
                return
    book.waiting.append(request)
    fill(book)


def free_slot(book: SlotBook, workflow_id: str, request_id: str | None = None) -> bool:
    """Take a rollout out of the book, and let the first that wait move up.

    Args:
        request_id: That of the rollout that is over; a later one of the same workflow keeps its slot. None: any.

    Returns:
        Whether it was there.
    """
    before = len(book.holders) + len(book.waiting)

    def stays(one: FleetRequest) -> bool:
        return one.workflow_id != workflow_id or request_id not in (None, one.request_id)

    book.holders = [one for one in book.holders if stays(one)]
    book.waiting = [one for one in book.waiting if stays(one)]
    fill(book)
    return len(book.holders) + len(book.waiting) < before


def fill(book: SlotBook) -> None:
    """Give free slots to those that wait, in order. A lower limit takes none away: those that run go on."""
    while book.waiting and (book.limit is None or len(book.holders) < book.limit):
        book.holders.append(book.waiting.pop(0))


def slot_place(book: SlotBook, request: FleetRequest) -> SlotPlace | None:
    """Where a request stands; None when it is not in the book."""
    waiting = [one.request_id for one in book.waiting]
    if request.request_id in waiting:
        return SlotPlace(position=waiting.index(request.request_id) + 1, waiting=len(waiting), limit=book.limit)
    if any(one.request_id == request.request_id for one in book.holders):
        return SlotPlace(waiting=len(waiting), limit=book.limit)
    return None


def waits_for_slot(state: RolloutState) -> SlotPlace | None:
    """The place of a rollout that waits for a slot."""
    place = state.slot
    return place if state.phase is Phase.ADMITTING and place is not None and place.position else None


def slot_text(place: SlotPlace) -> str:
    """``slot: waiting, 2nd of 3``."""
    return f"slot: waiting, {ordinal(place.position)} of {place.waiting}"
