"""The ledger's bucket on a real S3 server: what must be impossible is tried."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from tasks.errors import ConflictError, StorageError
from tasks.record.ledger_store import LedgerStore
from tasks.s3.client import new_client

SOON = timedelta(minutes=1)


@pytest.fixture
def ledger(s3) -> LedgerStore:
    return LedgerStore(s3.names.ledger)


def until() -> datetime:
    return datetime.now(UTC) + SOON


def test_entries_come_back_in_their_order(s3, ledger):
    for sequence in (2, 0, 1):
        ledger.append(s3.unique, sequence, f"entry {sequence}".encode(), until())
    told = []
    read = ledger.read(s3.unique, report=lambda *of: told.append(of))
    assert read == [b"entry 0", b"entry 1", b"entry 2"]
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert ledger.read(s3.unique, start=2) == [b"entry 2"]
    assert s3.unique in ledger.lines()


def test_a_new_line_is_empty(s3, ledger):
    assert ledger.read(s3.unique) == []
    assert s3.unique not in ledger.lines()


def test_a_line_is_not_its_namesake_with_a_longer_name(s3, ledger):
    ledger.append(f"{s3.unique}-b", 0, b"other", until())
    assert ledger.read(s3.unique) == []


def test_a_sequence_is_taken_once(s3, ledger):
    ledger.append(s3.unique, 0, b"first", until())
    with pytest.raises(ConflictError, match="Entry 0"):
        ledger.append(s3.unique, 0, b"second", until())
    assert ledger.read(s3.unique) == [b"first"]


def test_the_same_append_may_be_repeated(s3, ledger):
    ledger.append(s3.unique, 0, b"first", until())
    ledger.append(s3.unique, 0, b"first", until())
    assert ledger.covered(s3.unique) == ()


def test_one_of_many_writers_wins(s3, ledger):
    outcomes = []

    def write(number: int) -> None:
        try:
            ledger.append(s3.unique, 0, f"writer {number}".encode(), until())
        except ConflictError:
            outcomes.append(None)
        else:
            outcomes.append(number)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    winners = [number for number in outcomes if number is not None]
    assert len(winners) == 1
    assert ledger.read(s3.unique) == [f"writer {winners[0]}".encode()]


def test_an_entry_stands_when_somebody_writes_or_deletes_over_it(s3, ledger):
    ledger.append(s3.unique, 0, b"truth", until())
    where = {"Bucket": s3.names.ledger, "Key": f"ledger/{s3.unique}/{0:012d}.json"}
    client = new_client()
    client.put_object(**where, Body=b"lie")
    client.delete_object(**where)
    assert ledger.read(s3.unique) == [b"truth"]
    assert ledger.covered(s3.unique) == (f"{s3.unique}/{0:012d}.json",)
    with pytest.raises(ConflictError):
        ledger.append(s3.unique, 0, b"another truth", until())
    assert ledger.read(s3.unique) == [b"truth"]


def test_an_entry_cannot_be_removed(s3, ledger):
    ledger.append(s3.unique, 0, b"truth", until())
    where = {"Bucket": s3.names.ledger, "Key": f"ledger/{s3.unique}/{0:012d}.json"}
    client = new_client()
    version = client.head_object(**where)["VersionId"]
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(**where, VersionId=version)


def test_strange_objects_are_no_entries(s3, ledger):
    ledger.append(s3.unique, 0, b"truth", until())
    client = new_client()
    for key in ("notes.txt", "1.json", "000000000001.json/x"):
        client.put_object(Bucket=s3.names.ledger, Key=f"ledger/{s3.unique}/{key}", Body=b"x")
    assert ledger.read(s3.unique) == [b"truth"]


@pytest.mark.parametrize("line", ["", "Upper", "a/b", "../x", "-a", "x" * 64])
def test_a_name_that_is_no_line_is_refused(ledger, line):
    with pytest.raises(ValueError, match="no ledger key"):
        ledger.append(line, 0, b"x", until())


def test_a_time_without_zone_is_refused(s3, ledger):
    with pytest.raises(ValueError, match="time zone"):
        ledger.append(s3.unique, 0, b"x", datetime.now())


def test_a_bucket_with_the_guarantees_passes_the_probe(ledger):
    ledger.probe_guarantees()


def test_a_bucket_without_versioning_is_refused(s3):
    with pytest.raises(StorageError, match="versioning is off"):
        LedgerStore(s3.names.work).probe_guarantees()


def test_a_bucket_without_object_lock_is_refused(s3):
    with pytest.raises(StorageError):
        LedgerStore(s3.names.data).probe_guarantees()


@pytest.mark.parametrize(
    ("ignored", "promise"),
    [
        ({"IfNoneMatch"}, "If-None-Match was ignored"),
        ({"ObjectLockMode", "ObjectLockRetainUntilDate"}, "Object Lock was ignored"),
        ({"ChecksumSHA256"}, "wrong checksum"),
    ],
)
def test_a_server_that_ignores_what_it_is_told_is_refused(s3, ignored, promise):
    """As some S3 servers do: they take the request and drop the header."""
    client = new_client()

    def forget(params, **_):
        for name in ignored:
            params.pop(name, None)

    client.meta.events.register("provide-client-params.s3.PutObject", forget)
    with pytest.raises(StorageError, match=promise):
        LedgerStore(s3.names.ledger, client).probe_guarantees()


def test_an_unreachable_bucket_does_not_pass(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        LedgerStore(s3.names.ledger).probe_guarantees()
