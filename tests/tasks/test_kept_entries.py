"""Entries kept on this machine save reading and are never believed against the store."""

from dataclasses import replace

import pytest

from policies.errors import VerificationError
from tasks.record.journal import Record
from tasks.record.kept_entries import KeptEntries
from tasks.record.ledger_store import LedgerStore
from tasks.s3.client import new_client
from tests.tasks.locked_line import Line, rewritten, said


@pytest.fixture
def line(s3):
    return Line(s3)


@pytest.fixture
def kept(line, tmp_path):
    """What a first look left on this machine."""
    kept = KeptEntries(tmp_path / "ledger" / f"{line.name}.jsonl")
    assert line.look(kept).entries == line.read().entries
    return kept


def counted(line, monkeypatch):
    """How many objects the ledger fetches from now on."""
    fetched = []
    fetch = LedgerStore._fetch
    monkeypatch.setattr(
        LedgerStore, "_fetch", lambda self, it: fetched.append(it.key) or fetch(self, it)
    )
    return fetched


def test_of_entries_that_are_kept_only_the_last_is_fetched_again(line, kept, monkeypatch):
    line.append("one more")
    fetched = counted(line, monkeypatch)
    assert len(line.look(kept).entries) == 7
    assert len(fetched) == 2
    assert len(kept.read()) == 7
    assert len(line.look(kept).entries) == 7
    assert len(fetched) == 3


SPOILT = {
    "gone": lambda it: [],
    "cut short": lambda it: it[:3],
    "damaged": lambda it: [*it[:3], it[3][:-20], *it[4:]],
    "altered": lambda it: [*it[:3], it[3].replace(b"entry 3", b"entry x"), *it[4:]],
    "altered at the end": lambda it: [*it[:-1], it[-1].replace(b"entry", b"Entry")],
    "without one": lambda it: [*it[:2], *it[3:]],
    "longer than the record": lambda it: [*it, it[-1].replace(b'"sequence":5', b'"sequence":6')],
    "no JSON": lambda it: [b"\xff\x00"],
}


@pytest.mark.parametrize("how", SPOILT)
def test_a_spoilt_file_of_kept_entries_fools_nobody_and_is_mended(line, kept, how):
    good = kept.read()
    kept.write(SPOILT[how](good))
    assert line.look(kept).entries == line.read().entries
    assert kept.read() == good


def test_entries_kept_of_another_line_or_bucket_are_passed_over(line, kept, s3):
    other = Line(replace(s3, unique=f"{s3.unique}-b"))
    assert other.look(kept).entries == other.read().entries
    copy = line.read_copy(rewritten(line, 3))
    found = Record(copy.store, line.name, line.key.public_key(), kept)
    assert [one.digest for one in found.chain.sealed] == [one.digest for one in copy.chain.sealed]


def test_who_cannot_write_keeps_nothing_and_reads_all(line, tmp_path):
    (tmp_path / "file").write_text("")
    assert len(line.look(KeptEntries(tmp_path / "file" / "x.jsonl")).entries) == 6


def test_what_happens_to_old_entries_is_found_when_all_is_read_anew(line, kept):
    line.append("one more")
    new_client().put_object(**line.where(2), Body=line.envelopes[3])
    record = line.look(kept)  # the true entries: it knows them
    assert [one.body for one in record.entries[2:3]] == [said("entry 2")]
    for look in (record.check_untouched, record.reread, line.read):
        with pytest.raises(VerificationError, match="wrote over entries"):
            look()
