"""One digest for a model folder: the name that a model goes by everywhere."""

import hashlib
from collections.abc import Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event
from typing import Self

import rfc8785

from avss.errors import InputError

MANIFEST_NAME = "avss_manifest.json"

_PIECE = 1 << 20


@dataclass(frozen=True)
class FolderDigest:
    """`files` maps relative POSIX paths to SHA-256 (hex); `digest` covers them all."""

    files: Mapping[str, str]
    digest: str

    @classmethod
    def of(cls, files: Mapping[str, str]) -> Self:
        """From SHA-256 (hex) by path; files that do not count are left out."""
        counted = {name: sha for name, sha in files.items() if _counts(Path(name))}
        return cls(counted, digest_of_files(counted))


def folder_digest(folder: str | Path, *, given_up: Event | None = None) -> FolderDigest:
    """Digest of a model folder: SHA-256 over the canonical JSON (RFC 8785) of path -> SHA-256.

    The manifest is left out, since it names this digest's parts; so are hidden files and folders
    (`.git`, download caches), which no model is loaded from. Files are read side by side. Raises
    InputError where there is no such folder, or no file in it; CancelledError soon after `given_up`
    is set.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: expected a model folder.")
    paths = [
        path
        for path in sorted(root.rglob("*"))
        if path.is_file() and _counts(path.relative_to(root))
    ]
    if not paths:
        raise InputError(f"{root} holds no files: expected a model folder.")
    names = [path.relative_to(root).as_posix() for path in paths]
    stop = given_up or Event()
    with ThreadPoolExecutor() as pool:
        try:
            digests = pool.map(partial(file_digest, given_up=stop), paths)
            files = dict(zip(names, digests, strict=True))
        except BaseException:  # an interrupt does not wait for large files
            stop.set()
            raise
    return FolderDigest(files, digest_of_files(files))


def source_digest(source: str | Path) -> FolderDigest | None:
    """Digest of a model folder, or of a single file as a folder of one; None for a hub id."""
    path = Path(source)
    if path.is_file():
        files = {path.name: file_digest(path)}
        return FolderDigest(files, digest_of_files(files))
    return folder_digest(path) if path.is_dir() else None


def digest_of_files(files: Mapping[str, str]) -> str:
    """SHA-256 (hex) over the canonical JSON of relative path -> SHA-256 (hex)."""
    return hashlib.sha256(rfc8785.dumps(dict(files))).hexdigest()


def file_digest(path: Path, *, given_up: Event | None = None) -> str:
    """SHA-256 (hex) of one file. Raises CancelledError soon after `given_up` is set."""
    found, piece = hashlib.sha256(), memoryview(bytearray(_PIECE))
    with path.open("rb", buffering=0) as stream:
        while size := stream.readinto(piece):
            if given_up is not None and given_up.is_set():
                raise CancelledError
            found.update(piece[:size])
    return found.hexdigest()


def _counts(relative: Path) -> bool:
    hidden = any(part.startswith(".") for part in relative.parts)
    return not hidden and relative.as_posix() != MANIFEST_NAME
