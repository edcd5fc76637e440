"""The digest of a model folder, against its definition."""

import json
import os
from hashlib import sha256
from threading import Barrier, Timer

import pytest

from avss.digests import MANIFEST_NAME, file_digest, folder_digest
from avss.errors import InputError


@pytest.fixture
def folder(tmp_path):
    files = ("a.safetensors", "b.safetensors", "sub/c.json")
    for name in (*files, MANIFEST_NAME, ".git/HEAD", "sub/.part"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def test_it_is_the_digest_of_every_files_path_and_digest_but_what_is_hidden(folder):
    expected = {
        name: sha256(name.encode()).hexdigest()
        for name in ("a.safetensors", "b.safetensors", "sub/c.json")
    }
    canonical = json.dumps(expected, sort_keys=True, separators=(",", ":")).encode()
    found = folder_digest(folder)
    assert found.files == expected
    assert found.digest == sha256(canonical).hexdigest()


def test_files_are_read_side_by_side(folder, monkeypatch):
    expected, both = folder_digest(folder), Barrier(2)

    def read(path, **options):
        if path.suffix == ".safetensors":
            both.wait(timeout=60)  # broken, and raised, where the other is not begun by then
        return file_digest(path, **options)

    monkeypatch.setattr("avss.digests.file_digest", read)
    assert folder_digest(folder) == expected


def test_a_folder_of_hidden_files_alone_is_refused(tmp_path):
    (tmp_path / ".hidden").write_text("")
    with pytest.raises(InputError, match="holds no files"):
        folder_digest(tmp_path)


def test_an_interrupt_does_not_wait_for_large_files(folder, interruption):
    os.truncate(folder / "a.safetensors", 1 << 40)  # takes no room, and most of an hour to read
    Timer(1, interruption.now).start()
    with pytest.raises(interruption.error):
        folder_digest(folder)
