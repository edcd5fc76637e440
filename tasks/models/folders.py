"""Model folders between S3 and this machine: published under their digest, fetched and verified.

A published model lies at `models/<digest>/` in the work bucket, `<digest>` as in `avss.digests`, so
publishing again moves nothing, an interrupted upload goes on where it was, and whoever fetches can
tell by the name whether every byte is right.
"""

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Lock
from typing import TYPE_CHECKING

from filelock import FileLock

from avss.digests import MANIFEST_NAME, FolderDigest, folder_digest
from tasks.errors import MissingError, StorageError
from tasks.home import cache
from tasks.reporting import Report, summed, untold
from tasks.s3.objects import ObjectInfo, parse_uri
from tasks.s3.storage import ObjectStore, Progress

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ONE_AT_A_TIME = Lock()
"""Of this process: two downloads at once would each count on the same free space."""


@dataclass(frozen=True)
class PublishedModel:
    """A model folder in S3: its digest (SHA-256, hex) and its address."""

    digest: str
    uri: str


@dataclass(frozen=True)
class FetchedModel:
    """A model folder on this machine, and the digest that was computed from its files."""

    folder: Path
    found: FolderDigest


def publish_model(
    folder: Path,
    work_bucket: str,
    *,
    known: FolderDigest | None = None,
    client: "S3Client | None" = None,
    progress: Progress | None = None,
    given_up: Event | None = None,
) -> PublishedModel:
    """Upload a model folder to `models/<digest>/`; what is there already stays. Safe to repeat.

    `known` is the folder's digest where it was just computed: a large model is not read again. Once
    `given_up` is set, no further file is begun.

    Raises:
        InputError: no such folder, or no file in it.
        StorageError: S3 is unreachable, denies, or is full.
    """
    found = known or folder_digest(folder)
    store = ObjectStore(work_bucket, f"models/{found.digest}", client)
    files: list[tuple[str, str | None]] = [*sorted(found.files.items())]
    if (folder / MANIFEST_NAME).is_file():
        files.append((MANIFEST_NAME, None))
    for name, sha256 in files:
        if given_up is None or not given_up.is_set():
            store.sync_file(folder / name, name, sha256=sha256, progress=progress)
    return PublishedModel(found.digest, store.uri())


@contextmanager
def publishing(
    folder: Path,
    work_bucket: str,
    known: FolderDigest,
    *,
    client: "S3Client | None" = None,
    progress: Progress | None = None,
) -> Iterator[None]:
    """Publish a model folder while the block is at work on it, and be done when the block is.

    Where the block fails, or what then waits for the upload is interrupted, the file under way is
    the last one; what arrived stays, named by nobody.

    Raises:
        StorageError: as `publish_model`, once the block is done.
    """
    given_up = Event()
    with ThreadPoolExecutor(1) as beside:
        upload = beside.submit(
            publish_model,
            folder,
            work_bucket,
            known=known,
            client=client,
            progress=progress,
            given_up=given_up,
        )
        try:
            yield
            upload.result()
        except BaseException:
            given_up.set()
            raise


def fetch_model(
    uri: str,
    *,
    client: "S3Client | None" = None,
    report: Report = untold,
    given_up: Event | None = None,
) -> FetchedModel:
    """A local copy of the model folder at an s3:// prefix, verified, also when it was cached.

    A prefix whose last part is a digest must hold exactly the model with that digest. Any other
    prefix is cached by what S3 lists there (keys, sizes, ETags) and checked against the digest that
    the copy had when it was complete. `report` is told bytes.

    Raises:
        MissingError: no object below the prefix.
        StorageError: S3 fails, the disk is too small, or the model is not the one it is called.
        CancelledError: `given_up` was set; files under way are the last ones.
    """
    store = ObjectStore.at(uri, client)
    objects = [item for item in store.list() if not item.key.endswith("/")]
    if not objects:
        raise MissingError(f"{uri} is empty: no object has this prefix. Name a model's folder.")
    last = parse_uri(uri).prefix.rpartition("/")[2]
    named = last if _DIGEST.fullmatch(last) else None
    folder = cache("models") / (named or _listing_name(uri, objects))
    note = folder.with_name(f"{folder.name}.digest")
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        expected = named or (note.read_text() if note.is_file() else None)
        if folder.is_dir() and expected:
            present = folder_digest(folder, given_up=given_up)
            if present.digest == expected:
                return FetchedModel(folder, present)
        moved = summed(sum(item.size for item in objects), report)
        found = _download(store, objects, folder, expected=named, progress=moved, given_up=given_up)
        note.write_text(found.digest)
    return FetchedModel(folder, found)


def fetch_file(uri: str, *, client: "S3Client | None" = None) -> Path:
    """A local copy of one object, under its own name; fetched again only when S3 has another one.

    Raises:
        MissingError: no such object.
        StorageError: S3 fails, or the disk is too small.
    """
    location = parse_uri(uri)
    folder, _, name = location.prefix.rpartition("/")
    store = ObjectStore(location.bucket, folder, client)
    found = [item for item in store.list(name) if item.key == name]
    if not name or not found:
        raise MissingError(f"{uri} does not exist. Name one object.")
    path = cache("files") / _listing_name(uri, found) / name
    with FileLock(path.parent.with_name(f"{path.parent.name}.lock")):
        if not path.is_file():
            _require_space(path.parent, found)
            store.download_file(name, path)
    return path


def _download(
    store: ObjectStore,
    objects: Sequence[ObjectInfo],
    folder: Path,
    *,
    expected: str | None,
    progress: Progress,
    given_up: Event | None,
) -> FolderDigest:
    """Put the whole model at `folder`, or nothing; an interrupted download goes on where it was."""
    partial = folder.with_name(f"{folder.name}.partial")
    with _ONE_AT_A_TIME:
        _require_space(partial, objects)
        arrived = store.download_folder(partial, progress=progress, given_up=given_up)
    found = FolderDigest.of(arrived)
    if not found.files:
        shutil.rmtree(partial)
        raise MissingError(f"{store.uri()} holds hidden files alone: expected a model folder.")
    if expected and found.digest != expected:
        shutil.rmtree(partial)
        raise StorageError(
            f"{store.uri()} was altered: its content has the digest {found.digest}, not its name. "
            "Restore the objects, or publish the model again."
        )
    shutil.rmtree(folder, ignore_errors=True)
    partial.replace(folder)
    return found


def _listing_name(uri: str, objects: Iterable[ObjectInfo]) -> str:
    lines = [uri, *(f"{item.key} {item.size} {item.etag}" for item in objects)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:32]


def _require_space(folder: Path, objects: Iterable[ObjectInfo]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    present = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = sum(item.size for item in objects) - present
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise StorageError(
            f"{folder} has {free / 1e9:.1f} GB free and {needed / 1e9:.1f} GB are needed. "
            "Free some, or set AVSS_HOME to another disk."
        )
