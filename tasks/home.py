"""Where this machine keeps what can be fetched again: caches, the job's key, remembered places."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path


def home() -> Path:
    """`$AVSS_HOME`, or `.avss` in the current folder."""
    return Path(os.environ.get("AVSS_HOME", ".avss")).resolve()


def cache(name: str) -> Path:
    """A cache folder below the home, made when missing."""
    folder = home() / "cache" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
