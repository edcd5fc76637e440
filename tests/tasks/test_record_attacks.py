"""Attacks on a line's record where it really lies: on an S3 server with Object Lock.

What the server refuses is tried in place. What it cannot refuse, since the attacker owns the store,
is tried on a copy in a bucket without any lock.
"""

import threading
from datetime import timedelta

import pytest

from policies import dsse
from policies.checkpoints import Checkpoint, check_history
from policies.errors import LawError, VerificationError
from policies.keys import fingerprint
from policies.ledger import PAYLOAD_TYPE, seal
from tasks import clock
from tasks.errors import ConflictError, RunFileError, StorageError
from tasks.record.checkpoints import check, lay_down, prove, sign_checkpoint
from tasks.record.job_keys import first_key, published_key
from tasks.record.journal import Record
from tasks.record.key_rotation import key_history, replace_key
from tasks.record.ledger_store import LedgerStore
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore
from tests.tasks.locked_line import LOCKED, Line, edited, key_of, rewritten, said


@pytest.fixture
def line(s3):
    return Line(s3)


def test_the_record_and_its_copy_hold(line):
    assert len(line.read().entries) == 6
    assert line.read_copy(line.envelopes).entries == line.read().entries


def test_a_newer_version_over_an_entry_is_found_and_the_first_stands(line):
    new_client().put_object(**line.where(2), Body=line.envelopes[3])
    assert line.store.read(line.name) == line.envelopes
    with pytest.raises(VerificationError, match="wrote over entries"):
        line.read()


def test_a_delete_marker_over_an_entry_is_found_and_the_entry_stands(line):
    new_client().delete_object(**line.where(2))
    assert line.store.read(line.name) == line.envelopes
    with pytest.raises(VerificationError, match="wrote over entries"):
        line.read()


def test_an_old_entry_exchanged_in_a_store_without_locks_is_found_when_all_is_read_anew(line):
    copy = line.read_copy(line.envelopes[:2])
    assert len(copy.entries) == 2
    where = ObjectStore(copy.store.bucket, "ledger")
    where.put(f"{line.name}/{1:012d}.json", edited(line.envelopes[1]))
    with pytest.raises(VerificationError) as caught:
        copy.reread()
    assert caught.value.sequence == 1
    where.delete(f"{line.name}/{1:012d}.json")
    with pytest.raises(VerificationError, match="it was longer"):
        copy.reread()


def test_a_locked_entry_can_neither_be_removed_nor_freed(line):
    client = new_client()
    version = client.list_object_versions(
        Bucket=line.where(2)["Bucket"], Prefix=line.where(2)["Key"]
    )
    where = {**line.where(2), "VersionId": version["Versions"][0]["VersionId"]}
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(**where)
    with pytest.raises(client.exceptions.ClientError, match="AccessDenied"):
        client.delete_object(**where, BypassGovernanceRetention=True)
    assert len(line.read().entries) == 6


COPIES = {
    "edited": (lambda it: [*it[:2], edited(it[2]), *it[3:]], 2),
    "dropped": (lambda it: [*it[:2], *it[3:]], 2),
    "reordered": (lambda it: [*it[:2], it[3], it[2], *it[4:]], 2),
    "inserted": (lambda it: [*it[:3], it[0], *it[3:]], 3),
    "duplicated": (lambda it: [*it[:3], it[2], *it[3:]], 3),
    "signed by another key": (
        lambda it: [
            dsse.sign(PAYLOAD_TYPE, dsse.Envelope.parse(one).payload, key_of("mallory"))
            for one in it
        ],
        0,
    ),
}


@pytest.mark.parametrize("attack", COPIES)
def test_a_doctored_copy_is_found_at_its_first_bad_entry(line, attack):
    doctor, at = COPIES[attack]
    with pytest.raises(VerificationError) as caught:
        line.read_copy(doctor(line.envelopes))
    assert caught.value.sequence == at


def test_a_record_cut_short_does_not_fit_a_checkpoint(line):
    kept = Checkpoint.over(line.name, [one.digest for one in line.journal.chain.sealed])
    short = line.read_copy(line.envelopes[:4])
    assert len(short.entries) == 4
    with pytest.raises(VerificationError, match="cut off"):
        check_history(kept, [one.digest for one in short.chain.sealed])


def test_a_history_rewritten_with_the_right_key_does_not_fit_a_checkpoint(line):
    kept = Checkpoint.over(line.name, [one.digest for one in line.journal.chain.sealed])
    other = line.read_copy(rewritten(line, 3))
    assert len(other.entries) == 8
    with pytest.raises(VerificationError, match="rewritten"):
        check_history(kept, [one.digest for one in other.chain.sealed])


def test_a_fork_cannot_be_written_and_does_not_join(line):
    fork = rewritten(line, 5)
    with pytest.raises(ConflictError, match="written by another run"):
        line.store.append(line.name, 5, fork[5], clock.now() + LOCKED)
    with pytest.raises(VerificationError, match="Entry 6: it does not follow"):
        line.read_copy([*line.envelopes, *fork[6:]])
    assert line.read().reread() == line.envelopes


def test_sixteen_writers_at_once_lose_and_repeat_nothing(line):
    """All draft the same next entry: one wins each round; those who lost read again and go on."""
    start = threading.Barrier(16)
    first_try = []

    def write(number):
        journal = line.open(line.key)
        start.wait()
        for attempt in range(64):
            try:
                line.append(f"writer {number}", journal)
            except ConflictError:
                journal = line.open(line.key)
            else:
                first_try.append(attempt == 0)
                return

    writers = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    told = [entry.body.message for entry in line.read().entries[6:]]
    assert sorted(told) == sorted(f"writer {number}" for number in range(16))
    assert first_try.count(True) == 1


def test_a_clock_set_back_writes_nothing(line):
    earlier = clock.now() - timedelta(hours=2)
    with clock.telling(lambda: earlier), pytest.raises(LawError, match="Set the clock right"):
        line.append("too early")
    assert len(line.read().entries) == 6


def test_an_entry_back_in_time_is_found_in_a_copy(line):
    chain = line.journal.chain
    entry = chain.draft(said("late"), change=line.change, time=clock.now())
    early = entry.model_copy(update={"time": entry.time - timedelta(hours=1)})
    with pytest.raises(VerificationError, match="Entry 6: it is older"):
        line.read_copy([*line.envelopes, seal(early, line.key)])


def test_the_published_key_is_the_first_that_was_laid_down(line):
    until = clock.now() + LOCKED
    assert fingerprint(first_key(line.store, line.name, line.key, until)) == fingerprint(
        line.key.public_key()
    )
    keys = {"Bucket": line.s3.names.ledger, "Key": f"keys/{line.name}.pub"}
    before = published_key(line.store, line.name)
    new_client().put_object(**keys, Body=b"ssh-ed25519 AAAA mallory")
    assert published_key(line.store, line.name) == before
    assert fingerprint(first_key(line.store, line.name, key_of("mallory"), until)) == fingerprint(
        line.key.public_key()
    )


def test_a_job_with_another_key_may_not_write(line):
    with pytest.raises(RunFileError, match="must be signed by the job key"):
        line.open(key_of("mallory"))


def test_the_jobs_key_is_replaced_and_the_old_one_is_out(line):
    since = clock.now() - timedelta(days=2)
    entry = replace_key(line.journal, key_of("second"), "the machine was lost", since)
    assert entry.sequence == 6
    with pytest.raises(RunFileError, match="must be signed by the job key"):
        line.append("with the old key")
    with pytest.raises(RunFileError, match="must be signed by the job key"):
        line.open(line.key)
    after = line.open(key_of("second"))
    line.append("with the new key", after)
    with pytest.raises(RunFileError, match="is the one in force"):
        replace_key(after, key_of("second"), "again", None)
    first, second = key_history(line.read())
    assert (first.first_entry, second.first_entry) == (0, 7)
    assert (second.reason, first.compromised_since is not None) == ("the machine was lost", True)
    assert second.fingerprint == fingerprint(key_of("second").public_key())


def test_a_checkpoint_published_elsewhere_proves_one_history(line, tmp_path):
    earlier = sign_checkpoint(line.read(), line.key)
    place = line.s3.work().uri()
    assert lay_down(earlier, line.name, 6, place).endswith(f"{line.name}/{6:012d}")
    assert ObjectStore.at(place).get(f"{line.name}/{6:012d}") == earlier
    for number in range(3):
        line.append(f"more {number}")
    later = sign_checkpoint(line.read(), line.key)
    lay_down(later, line.name, 9, str(tmp_path / "kept" / "later"))
    assert (tmp_path / "kept" / "later").read_bytes() == later
    growth = prove(line.read(), earlier, later)
    assert (growth.earlier, growth.later) == (6, 9)
    keys = [line.key.public_key()]
    assert check(earlier, later, growth.proof, keys) == growth
    other = Checkpoint.over(line.name, [f"{number:064x}" for number in range(9)]).sign(line.key)
    with pytest.raises(VerificationError, match="not of one history"):
        check(earlier, other, growth.proof, keys)
    with pytest.raises(VerificationError, match="rewritten"):
        prove(line.read(), earlier, other)
    with pytest.raises(VerificationError, match="no signature of the expected key"):
        check(earlier, later, growth.proof, [key_of("mallory").public_key()])
    with pytest.raises(VerificationError, match="no checkpoint"):
        check(b"hello", later, growth.proof, keys)
    with pytest.raises(RunFileError, match="must be signed by the key"):
        sign_checkpoint(line.read(), key_of("mallory"))


def test_a_ledger_that_is_gone_is_an_error_not_a_new_line(line, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="cannot be reached"):
        Record(LedgerStore(line.s3.names.ledger), line.name, line.key.public_key())
