"""Model folders to S3 and back, on a real S3 server."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from avss.digests import MANIFEST_NAME, folder_digest
from tasks.errors import MissingError, StorageError
from tasks.models import folders as models
from tasks.models.folders import fetch_file, fetch_model, publish_model
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore, file_sha256

pytestmark = pytest.mark.usefixtures("own_home")


def test_a_published_model_comes_back_whole(s3, folder):
    published = publish_model(folder, s3.names.work)
    assert published.digest == folder_digest(folder).digest
    assert published.uri == f"s3://{s3.names.work}/models/{published.digest}"
    copy = fetch_model(published.uri).folder
    assert folder_digest(copy) == folder_digest(folder)
    assert (copy / MANIFEST_NAME).read_text() == "{}"
    assert not (copy / ".cache").exists()


def test_publishing_again_moves_nothing(s3, folder):
    moved = []
    publish_model(folder, s3.names.work, progress=moved.append)
    assert sum(moved) > 0
    moved.clear()
    publish_model(folder, s3.names.work, progress=moved.append)
    assert moved == []


def test_an_interrupted_upload_goes_on_where_it_was(s3, folder, monkeypatch):
    upload, tried = ObjectStore.upload_file, []

    def interrupt_second(store, path, key, *, sha256, progress=None):
        tried.append(key)
        if len(tried) == 2:
            raise KeyboardInterrupt
        upload(store, path, key, sha256=sha256, progress=progress)

    monkeypatch.setattr(ObjectStore, "upload_file", interrupt_second)
    with pytest.raises(KeyboardInterrupt):
        publish_model(folder, s3.names.work)
    published = publish_model(folder, s3.names.work)
    assert len(tried) == len(set(tried)) + 1  # only the interrupted file was sent again
    assert folder_digest(fetch_model(published.uri).folder).digest == published.digest


def test_a_cached_model_is_not_fetched_again(s3, folder):
    uri = publish_model(folder, s3.names.work).uri
    moved = []
    first = fetch_model(uri, report=lambda *of: moved.append(of)).folder
    assert moved[-1][0] == moved[-1][1] > 0
    moved.clear()
    assert fetch_model(uri, report=lambda *of: moved.append(of)).folder == first
    assert moved == []


def test_a_damaged_cache_is_fetched_again(s3, folder):
    uri = publish_model(folder, s3.names.work).uri
    (fetch_model(uri).folder / "config.json").write_text("damaged")
    assert folder_digest(fetch_model(uri).folder) == folder_digest(folder)


def test_a_model_altered_in_s3_is_refused(s3, folder):
    uri = publish_model(folder, s3.names.work).uri
    ObjectStore.at(uri).put("config.json", b"altered")
    with pytest.raises(StorageError, match="was altered"):
        fetch_model(uri)
    with pytest.raises(StorageError, match="was altered"):
        fetch_model(uri)


def test_a_file_added_in_s3_is_noticed(s3, folder):
    uri = publish_model(folder, s3.names.work).uri
    ObjectStore.at(uri).put("pytorch_model.bin", b"added")
    with pytest.raises(StorageError, match="was altered"):
        fetch_model(uri)


def test_a_customers_own_prefix_is_fetched_and_follows_changes(s3, folder):
    store = s3.work().below("their/model")
    store.upload_folder(folder)
    first = fetch_model(store.uri()).folder
    assert fetch_model(store.uri()).folder == first
    store.put("config.json", b"{}")
    second = fetch_model(store.uri()).folder
    assert (second / "config.json").read_text() == "{}"


def test_a_damaged_copy_of_a_customers_model_is_fetched_again(s3, folder):
    store = s3.work().below("their/model")
    store.upload_folder(folder)
    (fetch_model(store.uri()).folder / "config.json").write_text("damaged")
    assert folder_digest(fetch_model(store.uri()).folder) == folder_digest(folder)


def test_an_empty_prefix_is_said(s3):
    with pytest.raises(MissingError, match="is empty"):
        fetch_model(s3.work().uri("nothing"))


def test_a_prefix_of_hidden_files_is_said_and_leaves_nothing(s3, folder):
    store = s3.work().below("their/cache")
    store.put(".cache/download", b"half")
    for _ in range(2):
        with pytest.raises(MissingError, match="hidden files alone"):
            fetch_model(store.uri())


def test_a_disk_too_small_is_said_before_the_download(s3, folder, monkeypatch):
    uri = publish_model(folder, s3.names.work).uri
    usage = models.shutil.disk_usage(folder)
    monkeypatch.setattr(models.shutil, "disk_usage", lambda _: usage._replace(free=10))
    with pytest.raises(StorageError, match="GB free"):
        fetch_model(uri)


def test_one_object_keeps_its_name_and_follows_changes(s3):
    store = s3.data()
    store.put("day.jsonl", b"one")
    path = fetch_file(store.uri("day.jsonl"))
    assert (path.name, path.read_bytes()) == ("day.jsonl", b"one")
    store.put("day.jsonl", b"two")
    assert fetch_file(store.uri("day.jsonl")).read_bytes() == b"two"


def test_a_missing_object_is_said(s3):
    with pytest.raises(MissingError, match="does not exist"):
        fetch_file(s3.data().uri("nothing.jsonl"))


@pytest.fixture
def large(folder, s3) -> Path:
    """A file of three parts beside the small ones."""
    path = folder / "model-00001.safetensors"
    path.write_bytes(s3.unique.encode() + random.Random(1).randbytes(36 << 20))
    return path


def parts_left(s3) -> list[str]:
    """Keys of uploads that were begun and neither ended nor given up."""
    answer = new_client().list_multipart_uploads(Bucket=s3.names.work)
    return [one["Key"] for one in answer.get("Uploads", ())]


def test_a_large_file_travels_in_parts_and_arrives_whole(s3, folder, large):
    moved = []
    published = publish_model(folder, s3.names.work, progress=moved.append)
    assert len(moved) > 3
    head = new_client().head_object(
        Bucket=s3.names.work, Key=f"models/{published.digest}/{large.name}"
    )
    assert head["ETag"].strip('"').endswith("-3")
    assert head["Metadata"]["sha256"] == file_sha256(large)
    assert folder_digest(fetch_model(published.uri).folder) == folder_digest(folder)


DIES_AFTER_20_MIB = """
import os, signal, sys
from pathlib import Path
from tasks.models.folders import publish_model
sent = 0
def die(count):
    global sent
    sent += count
    if sent > 20 << 20:
        os.kill(os.getpid(), signal.SIGKILL)
publish_model(Path(sys.argv[1]), sys.argv[2], progress=die)
"""


def test_an_upload_that_was_killed_between_parts_is_made_again(s3, folder, large):
    command = [sys.executable, "-c", DIES_AFTER_20_MIB, str(folder), s3.names.work]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    key = f"models/{folder_digest(folder).digest}/{large.name}"
    assert not ObjectStore(s3.names.work).exists(key)  # half a file is no file
    assert key in parts_left(s3)  # until the bucket's lifecycle rules let them go
    again = []
    published = publish_model(folder, s3.names.work, progress=again.append)
    assert sum(again) >= large.stat().st_size
    assert folder_digest(fetch_model(published.uri).folder) == folder_digest(folder)


def test_a_large_file_that_was_altered_under_its_name_is_refused(s3, folder, large):
    uri = publish_model(folder, s3.names.work).uri
    content = bytearray(large.read_bytes())
    content[25 << 20] ^= 1
    large.write_bytes(content)
    ObjectStore.at(uri).upload_file(large, large.name)
    with pytest.raises(StorageError, match="was altered"):
        fetch_model(uri)
