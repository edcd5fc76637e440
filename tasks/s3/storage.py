"""Objects in one bucket below one prefix: the only door to S3 for everything but the ledger."""

import hashlib
import os
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Self

from boto3.s3.transfer import TransferConfig

from tasks.errors import ConflictError, MissingError, StorageError
from tasks.s3.client import mapped_errors, new_client
from tasks.s3.objects import Location, ObjectInfo, ObjectVersion, parse_uri

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

__all__ = ["Location", "ObjectInfo", "ObjectStore", "ObjectVersion", "file_sha256", "parse_uri"]

_SIDE_BY_SIDE = 2
"""Files of a folder under way at once: one is hashed while the next arrives."""

_MIB = 1 << 20
_TRANSFER = TransferConfig(multipart_chunksize=16 * _MIB, io_chunksize=_MIB, max_io_queue=16)
"""Larger pieces than boto3's own (8 MiB, 256 KiB): each costs time, whatever its size."""

Progress = Callable[[int], None]
"""Called with the number of bytes moved since the last call."""


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class ObjectStore:
    """Objects of `bucket` below `prefix`; every key is relative to that prefix.

    Every method raises StorageError (MissingError for what is not there), never boto3's errors.
    """

    def __init__(self, bucket: str, prefix: str = "", client: "S3Client | None" = None) -> None:
        self.location = Location(bucket, prefix.strip("/"))
        self.client = client or new_client()

    @classmethod
    def at(cls, uri: str, client: "S3Client | None" = None) -> Self:
        """The store at `s3://bucket/prefix`."""
        location = parse_uri(uri)
        return cls(location.bucket, location.prefix, client)

    def below(self, prefix: str) -> "ObjectStore":
        """The store of a folder in this one."""
        return ObjectStore(self.location.bucket, self._key(prefix), self.client)

    def uri(self, key: str = "") -> str:
        """The full address of a key."""
        return Location(self.location.bucket, self._key(key)).uri

    def get(self, key: str, *, version_id: str | None = None) -> bytes:
        """An object's bytes; for objects that fit in memory."""
        with self._errors(key):
            answer = self.client.get_object(
                Bucket=self.location.bucket, Key=self._key(key), **_version(version_id)
            )
            return answer["Body"].read()

    def put(self, key: str, data: bytes, kind: str = "application/octet-stream") -> str | None:
        """Write an object of a media type; its version id where the bucket keeps versions."""
        with self._errors(key):
            answer = self.client.put_object(
                Bucket=self.location.bucket,
                Key=self._key(key),
                Body=data,
                ContentType=kind,
                **_checksum(data),
            )
        return answer.get("VersionId")

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write an object unless the key is taken; True if this call wrote it."""
        try:
            with self._errors(key):
                self.client.put_object(
                    Bucket=self.location.bucket,
                    Key=self._key(key),
                    Body=data,
                    IfNoneMatch="*",
                    **_checksum(data),
                )
        except ConflictError:
            return False
        return True

    def put_content(self, data: bytes) -> str:
        """Write bytes under their own SHA-256; returns it in hex. Safe to repeat."""
        digest = hashlib.sha256(data).hexdigest()
        self.put_if_absent(digest, data)
        return digest

    def get_content(self, digest: str) -> bytes:
        """The bytes that `put_content` stored, checked against their digest."""
        data = self.get(digest)
        if hashlib.sha256(data).hexdigest() != digest:
            raise StorageError(f"{self.uri(digest)} was altered: its SHA-256 is not its name.")
        return data

    def exists(self, key: str) -> bool:
        """Whether the key holds an object."""
        try:
            with self._errors(key):
                self.client.head_object(Bucket=self.location.bucket, Key=self._key(key))
        except MissingError:
            return False
        return True

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects whose keys begin with `prefix`, in the order of their keys."""
        pages = self.client.get_paginator("list_objects_v2")
        with self._errors(prefix):
            for page in pages.paginate(Bucket=self.location.bucket, Prefix=self._start(prefix)):
                for item in page.get("Contents", ()):
                    yield ObjectInfo(
                        self._relative(item["Key"]),
                        item["Size"],
                        item["ETag"].strip('"'),
                        item["LastModified"],
                    )

    def list_versions(
        self, prefix: str = "", *, after: str | None = None
    ) -> Iterator[ObjectVersion]:
        """Every version and delete marker below `prefix`, by key, the newest of a key first.

        `after` is a key to begin after, whatever lies up to it.
        """
        pages = self.client.get_paginator("list_object_versions")
        where: dict[str, str] = {"KeyMarker": self._key(after)} if after is not None else {}
        where |= {"Bucket": self.location.bucket, "Prefix": self._start(prefix)}
        with self._errors(prefix):
            for page in pages.paginate(**where):  # type: ignore[arg-type]
                found = [self._entry(item, deleted=False) for item in page.get("Versions", ())]
                found += [self._entry(item, deleted=True) for item in page.get("DeleteMarkers", ())]
                yield from sorted(
                    found, key=lambda it: (it.key, not it.is_latest, -it.modified.timestamp())
                )

    def delete(self, key: str) -> None:
        """Remove an object if it is there; in a versioned bucket its versions stay."""
        with self._errors(key):
            self.client.delete_object(Bucket=self.location.bucket, Key=self._key(key))

    def upload_file(
        self,
        path: Path,
        key: str,
        *,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Upload a file, in parts where it is large; its SHA-256 travels as metadata `sha256`.

        It is computed unless it is given, in hex.
        """
        digest = sha256 or file_sha256(path)
        with self._errors(key):
            self.client.upload_file(
                str(path),
                self.location.bucket,
                self._key(key),
                ExtraArgs={"Metadata": {"sha256": digest}},
                Callback=progress,
                Config=_TRANSFER,
            )

    def download_file(
        self,
        key: str,
        path: Path,
        *,
        version_id: str | None = None,
        progress: Progress | None = None,
    ) -> str:
        """Download to `path`, all or nothing; returns the SHA-256 of what was written, in hex."""
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
        part = Path(name)
        try:
            with self._errors(key):
                self.client.download_file(
                    self.location.bucket,
                    self._key(key),
                    name,
                    ExtraArgs=_version(version_id),
                    Callback=progress,
                    Config=_TRANSFER,
                )
            digest = file_sha256(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return digest

    def sync_file(
        self,
        path: Path,
        key: str,
        *,
        sha256: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Upload a file unless it is there already with the same SHA-256, as `upload_file`."""
        digest = sha256 or file_sha256(path)
        if self._sha256(key) != digest:
            self.upload_file(path, key, sha256=digest, progress=progress)

    def copy_file(self, source: "ObjectStore", key: str, to: str, sha256: str) -> None:
        """Copy an object inside S3, in parts where it is large, unless it is there already.

        `sha256` is what `upload_file` left with the source; it travels with the copy.
        """
        if self._sha256(to) == sha256:
            return
        with self._errors(to):
            self.client.copy(
                {"Bucket": source.location.bucket, "Key": source._key(key)},
                self.location.bucket,
                self._key(to),
                ExtraArgs={"Metadata": {"sha256": sha256}, "MetadataDirective": "REPLACE"},
                Config=_TRANSFER,
            )

    def digest_of(self, key: str) -> str:
        """The SHA-256 (hex) of an object as it is now, read through without being kept."""
        found = hashlib.sha256()
        with self._errors(key):
            answer = self.client.get_object(Bucket=self.location.bucket, Key=self._key(key))
            for piece in answer["Body"].iter_chunks(1 << 20):
                found.update(piece)
        return found.hexdigest()

    def upload_folder(self, folder: Path, *, progress: Progress | None = None) -> None:
        """Upload every file of a folder; what is there already with its SHA-256 is skipped."""
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.sync_file(path, path.relative_to(folder).as_posix(), progress=progress)

    def download_folder(
        self, folder: Path, *, progress: Progress | None = None, given_up: Event | None = None
    ) -> dict[str, str]:
        """Download every object into a folder; files already there with their SHA-256 are kept.

        Returns the SHA-256, in hex, of what now lies there, by key.

        Raises:
            CancelledError: `given_up` was set; no further file is begun then.
            MissingError: no object below this store's prefix.
            StorageError: a key would leave the folder.
        """
        keys = [item.key for item in self.list() if not item.key.endswith("/")]
        if not keys:
            raise MissingError(f"{self.uri()} is empty: no object has this prefix.")
        for key in keys:
            if not (folder / key).resolve().is_relative_to(folder.resolve()):
                raise StorageError(f"{self.uri(key)}: the key leaves its folder; rename it.")

        def fetched(key: str) -> str:
            if given_up is not None and given_up.is_set():
                raise CancelledError
            path = folder / key
            present = file_sha256(path) if path.is_file() else None
            if present is None or self._sha256(key) != present:
                present = self.download_file(key, path, progress=progress)
            return present

        with ThreadPoolExecutor(_SIDE_BY_SIDE) as pool:
            return dict(zip(keys, pool.map(fetched, keys), strict=True))

    def _sha256(self, key: str) -> str | None:
        """The digest that `upload_file` left with the object; None where there is none."""
        try:
            with self._errors(key):
                head = self.client.head_object(Bucket=self.location.bucket, Key=self._key(key))
        except MissingError:
            return None
        return head["Metadata"].get("sha256")

    def _key(self, key: str) -> str:
        return f"{self.location.prefix}/{key}".strip("/")

    def _start(self, prefix: str) -> str:
        return f"{self.location.prefix}/{prefix}".lstrip("/")

    def _relative(self, key: str) -> str:
        return key.removeprefix(self.location.prefix).lstrip("/")

    def _entry(self, item: Any, *, deleted: bool) -> ObjectVersion:
        return ObjectVersion(
            key=self._relative(item["Key"]),
            size=item.get("Size", 0),
            etag=item.get("ETag", "").strip('"'),
            modified=item["LastModified"],
            version_id=item["VersionId"],
            is_latest=item["IsLatest"],
            deleted=deleted,
        )

    def _errors(self, key: str) -> AbstractContextManager[None]:
        return mapped_errors(self.client, self.uri(key))


def _version(version_id: str | None) -> dict[str, Any]:
    return {"VersionId": version_id} if version_id else {}


def _checksum(data: bytes) -> dict[str, Any]:
    """The SHA-256 that S3 checks on arrival, as a parameter of `put_object`."""
    return {"ChecksumSHA256": b64encode(hashlib.sha256(data).digest()).decode()}
