"""The ledger in a bucket, against a server that speaks S3: what the contract does not ask of every ledger."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from activities.ledgers.registry import open_ledger, open_pages
from activities.ledgers.s3 import S3Ledger
from activities.ledgers.s3_names import HEADS, HINT, head_key, lines_key
from activities.ledgers.s3_objects import Objects
from activities.ledgers.s3_pages import S3Pages
from coalmine.cli import main
from coalmine.errors import LedgerError, MissingExtra
from coalmine.spec.ledger import Ledger
from tests.activities.ledgers.books import BOOK, ROLLOUT, entries
from tests.activities.ledgers.worlds import S3World, bucket_name

CHAIN = f"{BOOK}/1.42.0-1"


def keys(world: S3World) -> list[str]:
    return [found.key for found in world.objects.listed("")]


async def test_one_object_an_append_and_one_a_head(s3_world: S3World) -> None:
    await s3_world.workers[0].append(BOOK, entries(3))
    await s3_world.workers[1].append(BOOK, entries(5))
    folder = "chains/production/checkout/-/1.42.0-1"
    assert keys(s3_world) == [
        f"{folder}/0000000001.jsonl",
        f"{folder}/0000000004.jsonl",
        f"{HEADS}000000000001.json",
        f"{HEADS}000000000002.json",
    ]


async def test_a_spec_opens_it(bucket: str) -> None:
    ledger = Ledger(kind="s3", bucket=bucket, region="eu-west-1")
    assert await open_ledger(ledger).append(BOOK, entries(2)) == 2
    assert open_pages(ledger).chains() == [CHAIN]
    assert open_pages(ledger).place == f"s3://{bucket}/"


async def test_prefixes_are_ledgers_of_their_own(bucket: str) -> None:
    one, two = (Ledger(kind="s3", bucket=bucket, prefix=prefix) for prefix in ("one", "one/two"))
    await open_ledger(one).append(BOOK, entries(2))
    await open_ledger(two).append(BOOK, entries(3))
    assert len(await open_ledger(one).read(BOOK)) == 2
    assert len(await open_ledger(two).read(BOOK)) == 3
    assert open_pages(one).chains() == [CHAIN]


async def test_a_write_whose_answer_was_lost_is_not_made_twice(
    s3_world: S3World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, objects = s3_world.workers[0], s3_world.objects
    await ledger.append(BOOK, entries(2))
    put = objects.put_new

    def lose(key: str, body: bytes) -> bool:
        put(key, body)
        raise LedgerError("the connection was closed")

    with monkeypatch.context() as losing:
        losing.setattr(objects, "put_new", lose)
        with pytest.raises(LedgerError, match="the connection was closed"):
            await ledger.append(BOOK, entries(4))
    assert await ledger.append(BOOK, entries(4)) == 0
    assert len(await ledger.read(BOOK)) == 4
    assert [found.records for found in s3_world.pages_verified().chains] == [4]
    assert not s3_world.pages_verified().faults


async def test_a_cold_worker_finds_the_end_of_many_heads_by_the_hint(
    s3_world: S3World, monkeypatch: pytest.MonkeyPatch
) -> None:
    for records in range(1, 46):
        await s3_world.workers[0].append(BOOK, entries(records))
    assert s3_world.objects.get(HINT) == b'{"n": 40}'
    listed = s3_world.objects.listed
    seen: list[str] = []

    def counted(prefix: str, after: str = "") -> Any:
        for found in listed(prefix, after):
            seen.append(found.key)
            yield found

    monkeypatch.setattr(s3_world.objects, "listed", counted)
    assert await S3Ledger(s3_world.objects).append(BOOK, entries(46)) == 1
    assert [key for key in seen if key.startswith(HEADS)] == [head_key(n) for n in range(40, 46)]
    assert not s3_world.pages_verified().faults


async def test_heads_that_end_before_the_hint_do_not_stop_writing(s3_world: S3World) -> None:
    for records in range(1, 25):
        await s3_world.workers[0].append(BOOK, entries(records))
    s3_world.objects.delete([head_key(n) for n in range(5, 25)])
    assert await S3Ledger(s3_world.objects).append(BOOK, entries(26)) == 2
    # The head written now names the last that is left: what is gone shows against a tip that was kept.
    assert not s3_world.pages_verified().faults


async def test_what_somebody_else_puts_there_stops_no_writing_and_is_found(s3_world: S3World) -> None:
    for folder in (HEADS, "chains/", f"chains/{BOOK}/-/1.42.0-1/"):
        # As consoles and tools mark a folder.
        assert s3_world.objects.put_new(folder, b"")
    await s3_world.workers[0].append(BOOK, entries(3))
    assert not s3_world.pages_verified().faults
    assert s3_world.objects.put_new(f"{HEADS}notes.json", b"{}\n")
    assert s3_world.objects.put_new(HINT, b'{"n": Infinity}')
    assert await S3Ledger(s3_world.objects).append(BOOK, entries(5)) == 2
    assert [fault.message for fault in s3_world.pages_verified().faults] == ["this head is not as it was written"]


@pytest.mark.parametrize("number", [999_999_999_999, 500_000_000_000])
async def test_an_object_far_behind_the_heads_takes_no_number_from_them(s3_world: S3World, number: int) -> None:
    await s3_world.workers[0].append(BOOK, entries(1))
    assert s3_world.objects.put_new(head_key(number), b"{}\n")
    for records in range(2, 5):
        # Each a worker that starts anew.
        assert await S3Ledger(s3_world.objects).append(BOOK, entries(records)) == 1
    keys = [found.key for found in s3_world.objects.listed(HEADS)]
    assert keys == [*(head_key(n) for n in range(1, 5)), head_key(number)]
    assert [fault.file for fault in s3_world.pages_verified().faults] == [s3_world.pages.heads_at]


class TestObjectLock:
    """What is written can be neither replaced nor deleted."""

    @pytest.fixture
    def ledger(self, s3: Any, aws_environment: None) -> Ledger:
        name = bucket_name()
        s3.create_bucket(
            Bucket=name,
            CreateBucketConfiguration={"LocationConstraint": "eu-west-1"},
            ObjectLockEnabledForBucket=True,
        )
        return Ledger.model_validate({"kind": "s3", "bucket": name, "lock": {"mode": "compliance", "for": "400d"}})

    async def test_records_heads_and_histories_are_kept(self, s3: Any, ledger: Ledger) -> None:
        store = open_ledger(ledger)
        await store.append(BOOK, entries(2))
        await store.keep(BOOK, ROLLOUT, "run.history.json.gz", b"x")
        for key in (lines_key(CHAIN, 1), head_key(1), f"kept/{CHAIN}.run.history.json.gz"):
            found = s3.head_object(Bucket=ledger.bucket, Key=key)
            assert found["ObjectLockMode"] == "COMPLIANCE"
            left = found["ObjectLockRetainUntilDate"] - datetime.now(UTC)
            assert timedelta(days=399) < left <= timedelta(days=400)
            with pytest.raises(ClientError, match=r"AccessDenied|object protected"):
                s3.delete_object(Bucket=ledger.bucket, Key=key, VersionId=found["VersionId"])

    async def test_the_hint_is_not_locked(self, s3: Any, ledger: Ledger) -> None:
        store = open_ledger(ledger)
        for records in range(1, 21):
            await store.append(BOOK, entries(records))
        assert "ObjectLockMode" not in s3.head_object(Bucket=ledger.bucket, Key=HINT)

    async def test_a_bucket_without_it_is_told(self, bucket: str) -> None:
        ledger = Ledger.model_validate({"kind": "s3", "bucket": bucket, "lock": {"for": "1d"}})
        with pytest.raises(LedgerError, match=r"ledger\.lock needs a bucket that was made with Object Lock"):
            await open_ledger(ledger).append(BOOK, entries(1))


class TestTrouble:
    """Told with what to do; the workflow asks again."""

    async def test_no_such_bucket(self, aws_environment: None) -> None:
        ledger = Ledger(kind="s3", bucket="nobody-made-it")
        with pytest.raises(
            LedgerError, match=r"ledger s3://nobody-made-it/ cannot be \w+: NoSuchBucket.*; create it"
        ) as e:
            await open_ledger(ledger).append(BOOK, entries(1))
        assert e.value.retryable

    async def test_nobody_answers(self, aws_environment: None, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
        with pytest.raises(LedgerError, match="Could not connect to the endpoint URL"):
            await open_ledger(Ledger(kind="s3", bucket="records")).read(BOOK)

    async def test_no_credentials(self, bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(LedgerError, match="Unable to locate credentials"):
            await open_ledger(Ledger(kind="s3", bucket=bucket)).append(BOOK, entries(1))

    def test_the_extra_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "boto3", None)
        with pytest.raises(MissingExtra, match=r"ledger.kind: s3 needs the extra 'aws': pip install 'coalmine\[aws\]'"):
            Objects(Ledger(kind="s3", bucket="records"))

    async def test_a_kept_file_with_other_content_stays(self, s3_world: S3World) -> None:
        ledger = s3_world.workers[0]
        name = await ledger.keep(BOOK, ROLLOUT, "run.history.json.gz", b"one")
        with pytest.raises(LedgerError, match="is there already, with other content"):
            await ledger.keep(BOOK, ROLLOUT, "run.history.json.gz", b"two")
        assert await ledger.kept(name) == b"one"


def test_a_writer_between_record_and_head_is_waited_for(s3_world: S3World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody can be kept out of a bucket: a chain that seems to lack its head is read again."""
    monkeypatch.setattr("activities.ledgers.s3_pages.SETTLING", 0.01)
    chains = S3Pages.chains

    def and_then_append(self: S3Pages) -> list[str]:
        asyncio.run(s3_world.workers[0].append(BOOK, entries(9)))
        return chains(self)

    asyncio.run(s3_world.workers[0].append(BOOK, entries(4)))
    monkeypatch.setattr(S3Pages, "chains", and_then_append)
    found = s3_world.pages_verified()
    assert not found.faults
    assert found.records == 9


def test_the_command_line_verifies_a_bucket(s3_world: S3World, bucket: str, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(s3_world.workers[0].append(BOOK, entries(9)))
    place = f"s3://{bucket}/coalmine"
    assert main(["ledger", "verify", "--ledger", place]) == 0
    assert f"{place}/: 9 records in 1 chains: as they were written" in capsys.readouterr().err
    s3_world.replace(CHAIN, list(s3_world.pages.lines(CHAIN))[:5])
    assert main(["ledger", "verify", "--ledger", place]) == 1
    folder = "chains/production/checkout/-/1.42.0-1/"
    assert f"{place}/{folder}:5: the tail was cut off after this line" in capsys.readouterr().out
