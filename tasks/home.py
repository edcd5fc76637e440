"""Where this machine keeps what can be fetched again: caches, the job's key, remembered places."""

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout

_DRAFT = ".new-"


def home() -> Path:
    """`$AVSS_HOME`, or `.avss` in the current folder."""
    return Path(os.environ.get("AVSS_HOME", ".avss")).resolve()


def cache(name: str) -> Path:
    """A cache folder below the home, made when missing."""
    folder = home() / "cache" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def draft(folder: Path) -> Iterator[Path]:
    """A folder in `folder` for what is not whole yet, removed after the block.

    Those that processes left which were killed go first: a lock tells who is alive.
    """
    for left in folder.glob(f"{_DRAFT}*"):
        if left.is_dir():
            _remove_dead(left)
    path = folder / f"{_DRAFT}{uuid4().hex}"
    with FileLock(f"{path}.lock"):
        path.mkdir()
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
            Path(f"{path}.lock").unlink(missing_ok=True)


def _remove_dead(path: Path) -> None:
    try:
        with FileLock(f"{path}.lock", blocking=False):
            shutil.rmtree(path, ignore_errors=True)
            Path(f"{path}.lock").unlink(missing_ok=True)
    except Timeout:
        pass


def write_whole(path: Path, pieces: Iterable[bytes]) -> None:
    """Write a file all or nothing, its folder too. Raises OSError where that cannot be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.writelines(pieces)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)


def job_key_path() -> Path:
    """The job's private key: `$AVSS_JOB_KEY`, or `keys/job_ed25519` below the home."""
    configured = os.environ.get("AVSS_JOB_KEY")
    return Path(configured) if configured else home() / "keys" / "job_ed25519"
