"""Each ledger keeps the contract that ships in ``coalmine.testing``."""

from __future__ import annotations

from pathlib import Path

import pytest

from coalmine.testing.ledger_contract import LedgerContract
from tests.activities.ledgers.worlds import FileWorld, S3World


class TestFile(LedgerContract):
    @pytest.fixture
    def world(self, tmp_path: Path) -> FileWorld:
        return FileWorld(tmp_path / "ledger")


class TestS3(LedgerContract):
    @pytest.fixture
    def world(self, s3_world: S3World) -> S3World:
        return s3_world
