"""Of two conditional writes at once one is compared after the other has written; nothing else waits for anybody."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from coalmine.testing.aws_conditions import Conditions


class Meeting:
    """An app whose requests wait a moment for company."""

    def __init__(self) -> None:
        self.met = threading.Barrier(2)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        try:
            self.met.wait(float(environ["patience"]))
        except threading.BrokenBarrierError:
            yield b"alone"
        else:
            yield b"met"


@pytest.mark.parametrize(
    ("asked", "patience", "answers"),
    [
        ({"REQUEST_METHOD": "PUT", "HTTP_IF_MATCH": '"1"'}, 0.2, b"alone"),
        ({"REQUEST_METHOD": "PUT", "HTTP_IF_NONE_MATCH": "*"}, 0.2, b"alone"),
        ({"REQUEST_METHOD": "POST", "HTTP_X_AMZ_TARGET": "DynamoDB_20120810.PutItem"}, 0.2, b"alone"),
        ({"REQUEST_METHOD": "PUT"}, 60.0, b"met"),
        ({"REQUEST_METHOD": "GET", "HTTP_IF_NONE_MATCH": '"1"'}, 60.0, b"met"),
    ],
)
def test_who_is_let_in_together(asked: dict[str, str], patience: float, answers: bytes) -> None:
    app = Conditions(Meeting())
    with ThreadPoolExecutor(2) as both:
        heard = both.map(lambda _: b"".join(app({**asked, "patience": patience}, None)), range(2))
        assert list(heard) == [answers, answers]
