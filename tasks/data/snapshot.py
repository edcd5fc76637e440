"""Pin the business data of a change, split it, and find the same data again later.

Lifecycle: `pin_snapshot` at the start of a change; `read_split` wherever records are needed;
`restore_snapshot` on another machine, or for the reference of a drift check.
"""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from pydantic import ValidationError

from tasks import clock
from tasks.data.origins import Origin, SourceObject, origin_of
from tasks.data.personal import Conduct
from tasks.data.pull import Progress, Seen, chosen, pull
from tasks.data.snapshot_manifest import PinnedObject, SnapshotManifest
from tasks.data.snapshot_records import Written, write_records
from tasks.data.source import DataSource, Split
from tasks.errors import DataError, StorageError
from tasks.s3.storage import file_sha256

if TYPE_CHECKING:
    from datasets import Dataset


@dataclass(frozen=True)
class Snapshot:
    """A pinned snapshot and the folder of the cache that holds its records."""

    manifest: SnapshotManifest
    folder: Path
    changed_during_pull: tuple[str, ...] = ()
    """Keys that got a newer version while the pinned ones were pulled; the pins hold."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the manifest, in hex."""
        return hashlib.sha256(self.manifest.to_bytes()).hexdigest()


def pin_snapshot(
    source: DataSource,
    *,
    cache: Path,
    progress: Progress | None = None,
    today: date | None = None,
    seen: Seen = frozenset(),
    personal: Conduct = "ignore",
) -> Snapshot:
    """List, pin, pull, clean and split the data of a source.

    Objects that an earlier call pulled are not pulled again; a call that dies leaves nothing but
    them. Memory does not grow with the data.

    Args:
        source: what the run file says under `data`.
        cache: a local folder; the only place where business text is written.
        progress: see `Progress`.
        today: the day (UTC) that `last_days` counts from.
        seen: objects that `since: last_approved` leaves out.
        personal: whether to look for personal data, and to mask it.

    Raises:
        DataError: no data, a broken file, a missing field, a conflict between records, an object
            that changed during the pull.
        StorageError: S3 cannot be reached or denies, or the disk is full.
    """
    origin = origin_of(source)
    items = chosen(origin.list(), source, today or clock.now().date(), seen)
    snapshot = _build(source, origin, items, cache, progress, personal=personal)
    pinned = {it.key: it for it in items}
    changed = [it.key for it in origin.list() if it != pinned.get(it.key, it)]
    if changed and not snapshot.manifest.versioned:
        raise DataError(
            f"{source.uri}: {changed[0]} changed while it was pulled, and its bucket keeps no "
            "versions. Run it again when nothing writes there."
        )
    return Snapshot(snapshot.manifest, snapshot.folder, tuple(changed))


def restore_snapshot(
    manifest: SnapshotManifest, cache: Path, *, progress: Progress | None = None
) -> Snapshot:
    """The snapshot of a manifest: from the cache, or pulled again in the pinned versions.

    Raises:
        DataError: the source no longer holds what was pinned.
        StorageError: S3 cannot be reached or denies, or the disk is full.
    """
    digest = hashlib.sha256(manifest.to_bytes()).hexdigest()
    folder = _snapshot_folder(cache, digest)
    if folder.is_dir():
        return Snapshot(manifest, folder)
    items = [
        SourceObject(it.key, it.size, datetime.min.replace(tzinfo=UTC), "", it.version_id)
        for it in manifest.objects
    ]
    origin = origin_of(manifest.source)
    known = {it.key: it.sha256 for it in manifest.objects}
    looked = manifest.personal_data
    snapshot = _build(
        manifest.source,
        origin,
        items,
        cache,
        progress,
        known,
        personal="ignore" if looked is None else "mask" if looked.masked else "warn",
    )
    if snapshot.digest != digest:
        raise DataError(
            f"{manifest.source.uri}: the pinned objects give other records than the manifest "
            "states. It was made by another version of this program, or was altered."
        )
    return snapshot


def load_manifest(data: bytes) -> SnapshotManifest:
    """Read a manifest.

    Raises:
        DataError: it is none.
    """
    try:
        return SnapshotManifest.model_validate_json(data)
    except ValidationError as error:
        first = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
        raise DataError(f"This is no snapshot manifest: field {first or 'root'}.") from None


def read_split(snapshot: Snapshot, split: Split) -> "Dataset":
    """The records of a split, in an order that is fair to cut off anywhere.

    Columns: `id` and `text` (text), then `label`, `timestamp` (ISO 8601, UTC), `segment`,
    `answer`, `group` where the run file maps them (text or null), then the source's own.
    """
    from datasets import Dataset

    return Dataset.from_file(str(snapshot.folder / f"{split}.arrow"))


def _build(
    source: DataSource,
    origin: Origin,
    items: list[SourceObject],
    cache: Path,
    progress: Progress | None,
    known: dict[str, str] | None = None,
    *,
    personal: Conduct,
) -> Snapshot:
    cache.mkdir(parents=True, exist_ok=True)
    with _disk_errors(cache), FileLock(cache / "pull.lock"):
        pulled = pull(origin, items, cache / "objects", progress)
        try:
            digests = {item.key: file_sha256(path) for item, path in pulled}
            for key, sha256 in (known or {}).items():
                if digests[key] != sha256:
                    raise DataError(
                        f"{origin.name(key)} is no longer what was pinned; its bucket keeps no "
                        "versions. Put the old object back, or open a new change."
                    )
            with _workshop(cache / "snapshots") as folder:
                named = [(origin.name(item.key), path) for item, path in pulled]
                written = write_records(source, named, folder, progress, personal)
                return _published(_manifest(source, items, digests, written), folder, cache)
        finally:
            for _, path in pulled:
                path.unlink(missing_ok=True)


def _published(manifest: SnapshotManifest, folder: Path, cache: Path) -> Snapshot:
    """Move a finished folder to the place that its digest names."""
    content = manifest.to_bytes()
    (folder / "manifest.json").write_bytes(content)
    place = _snapshot_folder(cache, hashlib.sha256(content).hexdigest())
    if not place.exists():
        os.replace(folder, place)  # noqa: PTH105 - named for its guarantee
    return Snapshot(manifest, place)


def _manifest(
    source: DataSource, items: list[SourceObject], digests: dict[str, str], written: Written
) -> SnapshotManifest:
    objects = tuple(
        PinnedObject(
            key=item.key,
            version_id=item.version_id,
            size=item.size,
            sha256=digests[item.key],
            records=count,
        )
        for item, count in zip(items, written.per_object, strict=True)
    )
    return SnapshotManifest(
        source=source,
        versioned=all(item.version_id for item in items),
        objects=objects,
        read=sum(written.per_object),
        records=sum(split.records for split in written.splits.values()),
        dropped=written.dropped,
        splits=written.splits,
        personal_data=written.personal_data,
    )


@contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """A folder to build in; gone afterwards, unless it was moved to its place."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder, prefix=".making-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _disk_errors(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise StorageError(f"No space left below {cache}; free some and run it again.") from None


def _snapshot_folder(cache: Path, digest: str) -> Path:
    return cache / "snapshots" / digest
