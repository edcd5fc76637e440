"""The models of a change on their shelf: taken in, checked while they travel, interrupted."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from threading import Event, Timer

import pytest

from avss.digests import MANIFEST_NAME, folder_digest
from avss.errors import InputError, ProofError
from tasks.errors import MissingError, StorageError
from tasks.home import home as home_folder
from tasks.models.folders import fetch_model
from tasks.models.shelf import ModelShelf
from tasks.s3.storage import ObjectStore

pytestmark = pytest.mark.usefixtures("own_home")


def test_a_device_that_is_not_here_is_refused_before_anything_is_done(s3):
    with pytest.raises(InputError, match="tpu9"):
        ModelShelf(s3.work(), "tpu9")


def test_a_customers_model_is_fetched_once_and_read_once(s3, folder, monkeypatch):
    s3.work().below("their/model").upload_folder(folder)
    shelf, read, fetched = ModelShelf(ObjectStore(s3.names.work)), [], []

    def fetch(uri, **keywords):
        fetched.append(uri)
        return fetch_model(uri, **keywords)

    theirs = s3.work().uri("their/model")
    with monkeypatch.context() as patched:
        patched.setattr("tasks.models.shelf.fetch_model", fetch)
        patched.setattr("avss.digests.file_digest", read.append)
        digest = shelf.take_in(theirs, None)
        copy = shelf.folder(digest)
    assert (fetched, read) == ([theirs], [])  # its digest came with the download
    assert folder_digest(copy) == folder_digest(folder)
    assert folder_digest(copy).digest == digest
    assert folder_digest(fetch_model(shelf.uri(digest)).folder).digest == digest


def written(folder):
    def write(out):
        shutil.copytree(folder, out)
        return folder_digest(out)

    return write


def test_a_model_that_was_just_published_is_not_read_again(s3, folder, monkeypatch):
    shelf = ModelShelf(ObjectStore(s3.names.work))
    digest = shelf.add(written(folder))
    expected = folder_digest(folder)
    with monkeypatch.context() as patched:
        patched.setattr("tasks.models.shelf.fetch_model", pytest.fail)
        model = shelf.fetched(digest)
    assert model.found == expected
    assert folder_digest(model.folder) == expected


def test_several_models_are_read_side_by_side_and_once(s3, folder, monkeypatch):
    work, both, fetched = ObjectStore(s3.names.work), threading.Barrier(2), []
    digests = [ModelShelf(work).add(written(folder))]
    (folder / "config.json").write_text(f'{{"another": "{s3.unique}"}}')
    digests.append(ModelShelf(work).add(written(folder)))
    shelf = ModelShelf(work)

    def fetch(uri, **keywords):
        fetched.append(uri)
        both.wait(timeout=60)  # broken, and raised, where the other is not begun by then
        return fetch_model(uri, **keywords)

    monkeypatch.setattr("tasks.models.shelf.fetch_model", fetch)
    shelf.fetch_all(digests * 2)
    assert [shelf.fetched(digest).found.digest for digest in digests] == digests
    assert sorted(fetched) == sorted(map(shelf.uri, digests))


def test_a_model_travels_while_it_is_checked(s3, folder):
    work, moved = ObjectStore(s3.names.work), []
    shelf = ModelShelf(work)

    def check(draft):
        uploaded = f"models/{folder_digest(draft).digest}/{MANIFEST_NAME}"
        until = time.monotonic() + 60
        while not work.exists(uploaded):
            assert time.monotonic() < until, "nothing arrives while the check is at work"

    digest = shelf.add(written(folder), check, lambda *at: moved.append(at))
    travelled = [folder / name for name in (*folder_digest(folder).files, MANIFEST_NAME)]
    assert moved[-1] == (sum(path.stat().st_size for path in travelled),) * 2
    assert folder_digest(shelf.folder(digest)) == folder_digest(folder)
    shutil.rmtree(shelf.folder(digest))
    assert folder_digest(fetch_model(shelf.uri(digest)).folder) == folder_digest(folder)


def test_a_model_that_fails_its_check_is_on_no_shelf_and_stops_travelling(s3, folder):
    work, begun, failed = ObjectStore(s3.names.work), Event(), Event()

    def at_the_first_file(_done, _total):
        begun.set()
        assert failed.wait(60)

    def check(_draft):
        assert begun.wait(60)
        Timer(0.5, failed.set).start()  # by then the upload was given up
        raise ProofError("other logits")

    with pytest.raises(ProofError, match="other logits"):
        ModelShelf(work).add(written(folder), check, at_the_first_file)
    arrived = list(work.below(f"models/{folder_digest(folder).digest}").list())
    assert [one.key for one in arrived] == ["config.json"]
    assert list((home_folder() / "cache" / "models").iterdir()) == []


def test_an_interrupt_that_comes_while_only_the_upload_goes_on_ends_it_too(
    s3, folder, interruption
):
    work = ObjectStore(s3.names.work)

    def at_the_first_file(done, _total):
        if done <= (folder / "config.json").stat().st_size:
            time.sleep(0.5)  # the check is over by then
            interruption.now()
            time.sleep(0.5)

    with pytest.raises(interruption.error):
        ModelShelf(work).add(written(folder), report=at_the_first_file)
    arrived = list(work.below(f"models/{folder_digest(folder).digest}").list())
    assert [one.key for one in arrived] == ["config.json"]


def test_an_interrupt_does_not_wait_for_the_models_that_are_read(s3, folder, interruption):
    shelf = ModelShelf(ObjectStore(s3.names.work))
    digest = shelf.add(written(folder))
    os.truncate(shelf.folder(digest) / "config.json", 1 << 40)  # most of an hour to read
    Timer(1, interruption.now).start()
    with pytest.raises(interruption.error):
        ModelShelf(ObjectStore(s3.names.work)).fetch_all([digest])


def test_a_fault_of_one_model_does_not_wait_for_another(s3, folder):
    shelf = ModelShelf(ObjectStore(s3.names.work))
    digest = shelf.add(written(folder))
    os.truncate(shelf.folder(digest) / "config.json", 1 << 40)  # most of an hour to read
    with pytest.raises(MissingError, match="is empty"):
        ModelShelf(ObjectStore(s3.names.work)).fetch_all([digest, "f" * 64])


def test_models_are_downloaded_one_at_a_time(s3, folder, monkeypatch):
    """Else each would count on the same free space."""
    work, under_way, most = ObjectStore(s3.names.work), [], []
    digests = [ModelShelf(work).add(written(folder))]
    (folder / "config.json").write_text(f'{{"another": "{s3.unique}"}}')
    digests.append(ModelShelf(work).add(written(folder)))
    for digest in digests:
        shutil.rmtree(home_folder() / "cache" / "models" / digest)
    download = ObjectStore.download_folder

    def slow(store, path, **options):
        under_way.append(path)
        most.append(len(under_way))
        time.sleep(0.5)
        try:
            return download(store, path, **options)
        finally:
            under_way.remove(path)

    monkeypatch.setattr(ObjectStore, "download_folder", slow)
    ModelShelf(work).fetch_all(digests)
    assert most == [1, 1]


def test_an_interrupt_begins_no_further_file(s3, folder, interruption, monkeypatch):
    shelf, begun = ModelShelf(ObjectStore(s3.names.work)), []
    digest = shelf.add(written(folder))
    shutil.rmtree(shelf.folder(digest))
    download = ObjectStore.download_file

    def slow(store, key, path, **options):
        begun.append(key)
        if len(begun) == 2:  # as many as travel side by side
            interruption.now()
        time.sleep(0.5)
        return download(store, key, path, **options)

    monkeypatch.setattr(ObjectStore, "download_file", slow)
    with pytest.raises(interruption.error):
        ModelShelf(ObjectStore(s3.names.work)).fetch_all([digest])
    assert len(begun) == 2
    assert len(shelf.fetched(digest).found.files) == 2  # and the manifest, which does not count


def test_an_upload_that_fails_beside_a_check_is_said_after_it(s3, folder, monkeypatch):
    checked = []
    monkeypatch.setattr(ObjectStore, "upload_file", failing)
    with pytest.raises(StorageError, match="the bucket is full"):
        ModelShelf(ObjectStore(s3.names.work)).add(written(folder), checked.append)
    assert len(checked) == 1
    assert list((home_folder() / "cache" / "models").iterdir()) == []


DIES_WHILE_IT_WRITES = """
import os, signal, sys
from pathlib import Path
from tasks.models.shelf import ModelShelf
from tasks.s3.storage import ObjectStore
def write(out):
    out.mkdir()
    (out / "model.safetensors").write_bytes(bytes(100))
    os.kill(os.getpid(), signal.SIGKILL)
ModelShelf(ObjectStore(sys.argv[1])).add(write)
"""


def test_what_a_killed_process_was_writing_goes_with_the_next_model_and_what_lives_stays(
    s3, folder
):
    models = home_folder() / "cache" / "models"
    command = [sys.executable, "-c", DIES_WHILE_IT_WRITES, s3.names.work]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    (left,) = (path for path in models.iterdir() if path.is_dir())
    shelf = ModelShelf(ObjectStore(s3.names.work))

    def check(draft):
        assert not left.exists()
        other = folder.with_name("other")
        other.mkdir()
        (other / "config.json").write_text(s3.unique)
        shelf.add(written(other))
        assert draft.is_dir()  # of one that is at work

    digest = shelf.add(written(folder), check)
    assert folder_digest(models / digest) == folder_digest(folder)
    assert [path.name for path in models.iterdir() if path.name.startswith(".")] == []


def failing(*_arguments, **_keywords):
    raise StorageError("the bucket is full")
