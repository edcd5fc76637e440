"""Objects on a real S3 server, and what is said when S3 does not do what was asked."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tasks.errors import MissingError, StorageError
from tasks.s3.storage import Location, ObjectInfo, ObjectStore, parse_uri


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [("s3://b", "b", ""), ("s3://b/", "b", ""), ("s3://b/a/c/", "b", "a/c")],
)
def test_address_is_split(uri, bucket, prefix):
    assert parse_uri(uri) == Location(bucket, prefix)


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///key", "http://b/k", "/a/path", "b/k"])
def test_what_is_no_address_is_refused(uri):
    with pytest.raises(StorageError, match="expected s3://bucket/prefix"):
        parse_uri(uri)


def test_keys_are_relative_to_the_prefix(s3):
    store = s3.work()
    store.put("a/b.txt", b"one")
    store.put("a2.txt", b"two")
    assert [item.key for item in store.list()] == ["a/b.txt", "a2.txt"]
    assert [item.key for item in store.list("a/")] == ["a/b.txt"]
    assert store.below("a").get("b.txt") == b"one"
    assert ObjectStore.at(store.uri("a")).get("b.txt") == b"one"


def test_a_neighbour_with_a_longer_name_is_not_listed(s3):
    store = s3.work()
    store.put("model/x", b"mine")
    store.put("model-2/x", b"not mine")
    assert [item.key for item in store.below("model").list()] == ["x"]


def test_put_if_absent_writes_once(s3):
    store = s3.work()
    assert store.put_if_absent("k", b"first")
    assert not store.put_if_absent("k", b"second")
    assert store.get("k") == b"first"


def test_content_is_named_by_its_digest_and_checked_when_read(s3):
    store = s3.work()
    digest = store.put_content(b"evidence")
    assert digest == hashlib.sha256(b"evidence").hexdigest()
    assert store.put_content(b"evidence") == digest
    assert store.get_content(digest) == b"evidence"
    store.put(digest, b"altered")
    with pytest.raises(StorageError, match="was altered"):
        store.get_content(digest)


def test_versions_are_listed_newest_first_and_read_one_by_one(s3):
    store = s3.data()
    old = store.put("k", b"old")
    new = store.put("k", b"new")
    store.delete("k")
    versions = list(store.list_versions())
    assert [version.deleted for version in versions] == [True, False, False]
    assert [version.version_id for version in versions[1:]] == [new, old]
    assert store.get("k", version_id=old) == b"old"
    assert not store.exists("k")


def test_a_file_comes_back_whole(s3, tmp_path: Path):
    store = s3.work()
    source = tmp_path / "model.safetensors"
    source.write_bytes(bytes(range(256)) * 80_000)  # 20 MB: several parts
    moved = []
    store.upload_file(source, "m", progress=moved.append)
    assert sum(moved) == source.stat().st_size
    digest = store.download_file("m", tmp_path / "deep" / "copy")
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest()
    assert (tmp_path / "deep" / "copy").read_bytes() == source.read_bytes()


def test_a_failed_download_leaves_nothing(s3, tmp_path: Path):
    with pytest.raises(MissingError, match="does not exist"):
        s3.work().download_file("nothing", tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_travels_and_only_what_changed_is_moved_again(s3, tmp_path: Path):
    store, source = s3.work(), tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "a").write_bytes(b"a")
    (source / "sub" / "b").write_bytes(b"b")
    store.upload_folder(source)
    (source / "a").write_bytes(b"changed")
    moved = []
    store.upload_folder(source, progress=moved.append)
    assert sum(moved) == len(b"changed")
    store.download_folder(tmp_path / "copy")
    assert (tmp_path / "copy" / "a").read_bytes() == b"changed"
    assert (tmp_path / "copy" / "sub" / "b").read_bytes() == b"b"


def test_an_empty_prefix_is_said(s3, tmp_path: Path):
    with pytest.raises(MissingError, match="is empty"):
        s3.work().download_folder(tmp_path / "copy")


def test_a_key_cannot_leave_its_folder(s3, tmp_path: Path, monkeypatch):
    store = s3.work()
    evil = ObjectInfo("../evil", 1, "etag", datetime.now(UTC))
    monkeypatch.setattr(store, "list", lambda: iter([evil]))  # servers differ in allowing such keys
    with pytest.raises(StorageError, match="leaves its folder"):
        store.download_folder(tmp_path / "copy")


def test_a_missing_bucket_is_named(s3):
    with pytest.raises(MissingError, match="no bucket nowhere-at-all"):
        list(ObjectStore("nowhere-at-all").list())


def test_wrong_credentials_are_told_without_being_shown(s3, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-the-secret")
    with pytest.raises(StorageError, match="denied access") as caught:
        s3.work().get("k")
    assert "not-the-secret" not in str(caught.value)


def test_no_credentials_are_told(s3, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StorageError, match="no S3 credentials"):
        s3.work().get("k")


def test_an_unreachable_server_is_named(s3, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9 cannot be reached"):
        s3.work().get("k")
