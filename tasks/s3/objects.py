"""What S3 holds, in plain values: places, objects, versions."""

from dataclasses import dataclass
from datetime import datetime

from tasks.errors import StorageError


@dataclass(frozen=True)
class Location:
    """A place in S3: a bucket and a prefix without slashes at its ends (may be empty)."""

    bucket: str
    prefix: str = ""

    @property
    def uri(self) -> str:
        """The place as `s3://bucket/prefix`."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


@dataclass(frozen=True)
class ObjectInfo:
    """An object as it is now; `key` is relative to the store's prefix, `size` in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class ObjectVersion(ObjectInfo):
    """One version of an object; in a bucket without versioning `version_id` is "null"."""

    version_id: str
    is_latest: bool
    deleted: bool = False
    """True for a delete marker: the object was hidden here, its older versions are still there."""


def parse_uri(uri: str) -> Location:
    """Split `s3://bucket/prefix`.

    Raises:
        StorageError: no such form.
    """
    scheme, _, rest = uri.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme != "s3" or not bucket:
        raise StorageError(f"{uri!r} is no S3 address; expected s3://bucket/prefix.")
    return Location(bucket, prefix.strip("/"))
