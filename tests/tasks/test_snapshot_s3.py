"""Snapshots from a real S3 server; `test_s3_faults` has what goes wrong on the way there."""

from pathlib import Path
from typing import Any

import pytest

from tasks.data.pull import mark, read_source
from tasks.data.snapshot import load_manifest, pin_snapshot, read_split, restore_snapshot
from tasks.data.splits import SPLITS
from tasks.errors import DataError, StorageError
from tasks.s3.storage import ObjectStore
from tests.tasks.objects import fill, rows, source


def test_versions_are_pinned_and_pulled_again(s3: Any, tmp_path: Path) -> None:
    store = s3.data()
    fill(store, 5)
    store.put("part/_SUCCESS", b"done")
    store.put("part/gone.jsonl", rows(900, 910))
    store.delete("part/gone.jsonl")
    snapshot = pin_snapshot(source(store), cache=tmp_path / "one")
    assert snapshot.manifest.versioned
    assert [it.key for it in snapshot.manifest.objects] == [f"part/{i:03d}.jsonl" for i in range(5)]
    assert snapshot.manifest.records == 50
    fill(store, 2, size=77)
    store.delete("part/003.jsonl")
    again = restore_snapshot(snapshot.manifest, tmp_path / "two")
    assert again.digest == snapshot.digest
    assert [read_split(again, it)[:] for it in SPLITS] == [
        read_split(snapshot, it)[:] for it in SPLITS
    ]


def test_a_neighbouring_prefix_is_left_alone(s3: Any, tmp_path: Path) -> None:
    fill(s3.data().below("reviews"), 1)
    fill(s3.data().below("reviews-old"), 2)
    snapshot = pin_snapshot(source(s3.data().below("reviews")), cache=tmp_path)
    assert snapshot.manifest.records == 10


def test_one_object_can_be_the_source(s3: Any, tmp_path: Path) -> None:
    fill(s3.data(), 3)
    uri = s3.data().uri("part/001.jsonl")
    records = read_source(uri, "text", cache=tmp_path)
    assert [it["id"] for it in records] == [str(i) for i in range(10, 20)]
    with pytest.raises(DataError, match=r"part/001\.jsonl, record 1: no field 'body'"):
        read_source(uri, "body", cache=tmp_path)


def test_an_empty_prefix_and_a_missing_bucket_are_said(s3: Any, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no data"):
        pin_snapshot(source(s3.data().below("nothing")), cache=tmp_path)
    with pytest.raises(StorageError, match="no bucket avss-nowhere"):
        pin_snapshot(source(ObjectStore("avss-nowhere")), cache=tmp_path)


def test_new_versions_during_the_pull_are_noticed_and_kept_out(s3: Any, tmp_path: Path) -> None:
    store = s3.data()
    fill(store, 12)
    changed: list[int] = []

    def meddle(stage: str, done: int, total: int) -> None:
        if stage == "pull" and not changed:
            changed.append(done)
            fill(s3.data(), 12, size=11)

    snapshot = pin_snapshot(source(store), cache=tmp_path, progress=meddle)
    assert snapshot.manifest.records == 120
    assert len(snapshot.changed_during_pull) == 12


def test_an_unversioned_object_that_changes_ends_the_pull(s3: Any, tmp_path: Path) -> None:
    store = ObjectStore(f"plain-{s3.unique}")
    store.client.create_bucket(Bucket=store.location.bucket)
    fill(store, 12)
    snapshot = pin_snapshot(source(store), cache=tmp_path)
    assert not snapshot.manifest.versioned
    changed: list[int] = []

    def meddle(stage: str, done: int, total: int) -> None:
        if stage == "pull" and not changed:
            changed.append(done)
            fill(ObjectStore(store.location.bucket), 12, size=11)

    with pytest.raises(DataError, match="changed"):
        pin_snapshot(source(store), cache=tmp_path, progress=meddle)
    with pytest.raises(DataError, match="no longer what was pinned"):
        restore_snapshot(snapshot.manifest, tmp_path / "elsewhere")


def test_only_what_no_approved_change_has_read(s3: Any, tmp_path: Path) -> None:
    store = s3.data()
    fill(store, 3)
    fresh = source(store, since="last_approved")
    first = pin_snapshot(fresh, cache=tmp_path)
    assert first.manifest.records == 30
    seen = frozenset(mark(it.key, it.version_id, it.size) for it in first.manifest.objects)
    with pytest.raises(DataError, match=r"no object is left after data\.match, data\.since"):
        pin_snapshot(fresh, cache=tmp_path, seen=seen)
    store.put("part/001.jsonl", rows(100, 105))
    store.put("part/later.jsonl", rows(200, 207))
    second = pin_snapshot(fresh, cache=tmp_path, seen=seen)
    assert [it.key for it in second.manifest.objects] == ["part/001.jsonl", "part/later.jsonl"]
    assert pin_snapshot(source(store), cache=tmp_path, seen=seen).manifest.records > 30
    assert load_manifest(second.manifest.to_bytes()) == second.manifest
