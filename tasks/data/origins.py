"""Places that hold business data: S3 prefixes and, for trials, local folders."""

import re
import shutil
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import file_digest, md5
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import HTTPClientError, IncompleteReadError

from tasks.data.readers import data_files, format_of
from tasks.data.source import DataSource
from tasks.errors import ConflictError, DataError, MissingError, StorageError
from tasks.s3.client import mapped_errors
from tasks.s3.storage import ObjectStore

Moved = Callable[[int], None]
"""Called with the number of bytes that arrived since the last call."""

_CHUNK = 1 << 20
_ATTEMPTS = 5


@dataclass(frozen=True)
class SourceObject:
    """One object as it was listed; `version_id` is None where the bucket keeps no versions."""

    key: str
    size: int
    modified: datetime
    etag: str = ""
    version_id: str | None = None


class Origin(Protocol):
    """A place that holds objects."""

    uri: str

    def name(self, key: str) -> str:
        """What messages call an object."""

    def list(self) -> list[SourceObject]:
        """The objects as they are now, by key."""

    def fetch(self, item: SourceObject, path: Path, moved: Moved) -> None:
        """Write the listed object to `path`, all or nothing; go on where an earlier call broke."""


def origin_of(source: DataSource) -> Origin:
    """The place that a data source names."""
    if source.uri.startswith("s3://"):
        return S3Origin(source.uri)
    return LocalOrigin(source)


class LocalOrigin:
    """A local file or folder, for trials."""

    def __init__(self, source: DataSource) -> None:
        self.uri = source.uri
        self._source = source
        root = Path(source.uri)
        self._folder = root if root.is_dir() else root.parent

    def name(self, key: str) -> str:
        """The file's path."""
        return str(self._folder / key)

    def list(self) -> list[SourceObject]:
        """The data files as they are now, by name."""
        return [
            SourceObject(
                key=file.relative_to(self._folder).as_posix(),
                size=file.stat().st_size,
                modified=datetime.fromtimestamp(file.stat().st_mtime, UTC),
            )
            for file in data_files(Path(self.uri), self._source.format)
        ]

    def fetch(self, item: SourceObject, path: Path, moved: Moved) -> None:
        """Copy the file."""
        part = path.with_suffix(".part")
        try:
            shutil.copyfile(self._folder / item.key, part)
        except FileNotFoundError:
            raise _changed(self.name(item.key)) from None
        moved(item.size)
        part.replace(path)


class S3Origin:
    """A prefix, or a single object, in S3."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        store = ObjectStore.at(uri)
        parent, _, last = store.location.prefix.rpartition("/")
        self._only = last if format_of(last) else None
        self._store = (
            ObjectStore(store.location.bucket, parent, store.client) if self._only else store
        )

    def name(self, key: str) -> str:
        """The object's address."""
        return self._store.uri(key)

    def list(self) -> list[SourceObject]:
        """The newest versions, by key; needs s3:ListBucketVersions."""
        return [
            SourceObject(
                it.key,
                it.size,
                it.modified,
                it.etag,
                None if it.version_id == "null" else it.version_id,
            )
            for it in self._store.list_versions(self._only or "")
            if it.is_latest and not it.deleted and self._only in (None, it.key)
        ]

    def fetch(self, item: SourceObject, path: Path, moved: Moved) -> None:
        """Stream the pinned version; a connection that breaks is taken up again where it broke."""
        part = path.with_suffix(".part")
        for attempt in range(_ATTEMPTS):
            try:
                whole_md5 = self._rest(item, part, moved)
                break
            except (HTTPClientError, IncompleteReadError):
                if not part.exists() or attempt == _ATTEMPTS - 1:
                    raise StorageError(
                        f"{self.name(item.key)}: the connection to S3 broke {attempt + 1} "
                        "times. What has arrived is kept; run the same command again."
                    ) from None
                time.sleep(0.2 * 2**attempt)
        pinned = item.version_id or item.etag
        if pinned and (part.stat().st_size != item.size or whole_md5 not in (None, _md5(part))):
            part.unlink()
            raise DataError(
                f"{self.name(item.key)}: what arrived has not the size or MD5 that were listed. It "
                "was replaced, or damaged on the way: run it again, and write it anew if it stays."
            )
        part.replace(path)

    def _rest(self, item: SourceObject, part: Path, moved: Moved) -> str | None:
        """Append what is still missing; returns the MD5 of the whole where S3 tells it."""
        begun = part.stat().st_size if part.exists() else 0
        request: dict[str, Any] = {"Range": f"bytes={begun}-"} if begun else {}
        if item.version_id:
            request["VersionId"] = item.version_id
        elif item.etag:
            request["IfMatch"] = f'"{item.etag}"'
        if begun == item.size:
            return None
        location = self._store.location
        key = f"{location.prefix}/{item.key}".strip("/")
        try:
            with mapped_errors(self._store.client, self.name(item.key)):
                answer = self._store.client.get_object(Bucket=location.bucket, Key=key, **request)
        except (ConflictError, MissingError):
            raise _changed(self.name(item.key)) from None
        with part.open("ab" if begun else "wb") as file, closing(answer["Body"]) as body:
            for chunk in body.iter_chunks(_CHUNK):
                file.write(chunk)
                moved(len(chunk))
        encrypted = answer.get("ServerSideEncryption", "AES256") != "AES256"
        plain = re.fullmatch(r"[0-9a-f]{32}", item.etag) and not encrypted
        return item.etag if plain else None


def _changed(name: str) -> DataError:
    return DataError(
        f"{name} changed or vanished while it was pulled, or since it was pinned. Run it again; "
        "in a bucket with versioning this cannot happen."
    )


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, lambda: md5(usedforsecurity=False)).hexdigest()
