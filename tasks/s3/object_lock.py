"""Writes that nobody can take back, and the trial that a bucket really keeps them.

S3 servers differ: some accept the headers of `If-None-Match` or Object Lock and ignore them. A
ledger on such a server would look safe, so every promise is tried before it is relied on.
"""

import hashlib
import uuid
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from tasks.errors import ConflictError, StorageError
from tasks.s3.client import mapped_errors
from tasks.s3.storage import ObjectStore

_TRIAL = timedelta(minutes=2)


def put_locked(store: ObjectStore, key: str, data: bytes, retain_until: datetime) -> None:
    """Write `data` where nothing is, with its SHA-256 checked on arrival, in COMPLIANCE mode.

    Raises:
        ConflictError: the key is taken.
        StorageError: unreachable, denied, or the bucket has no Object Lock.
    """
    if retain_until.tzinfo is None:
        raise ValueError("retain_until needs a time zone")
    with mapped_errors(store.client, store.uri(key)):
        store.client.put_object(
            **_object(store, key),
            Body=data,
            IfNoneMatch="*",
            ChecksumSHA256=b64encode(hashlib.sha256(data).digest()).decode(),
            ObjectLockMode="COMPLIANCE",
            ObjectLockRetainUntilDate=retain_until,
        )


def probe_bucket(store: ObjectStore) -> None:
    """Try versioning, `If-None-Match`, the checksum and the lock on a small object below `store`.

    The object stays locked for two minutes; the next probe removes it.

    Raises:
        StorageError: a promise is broken, or S3 cannot be reached; the message says which.
    """
    bucket, key = store.location.bucket, uuid.uuid4().hex
    _sweep(store)
    _check_switches(store)
    until = datetime.now(UTC) + _TRIAL
    put_locked(store, key, b"avss probe", until)
    try:
        put_locked(store, key, b"avss probe, second writer", until)
    except ConflictError:
        pass
    else:
        raise _broken(bucket, "If-None-Match was ignored: a second writer replaced an object")
    version = _locked_version(store, key)
    for broken_promise, attempt in _forbidden(store, key, version, until).items():
        if _accepted(store, key, attempt):
            raise _broken(bucket, broken_promise)
    if _locked_version(store, key) != version:
        raise _broken(bucket, "a locked version vanished")


def _check_switches(store: ObjectStore) -> None:
    """Versioning and Object Lock as the bucket itself says they are."""
    bucket = store.location.bucket
    with mapped_errors(store.client, f"s3://{bucket}"):
        versioning = store.client.get_bucket_versioning(Bucket=bucket).get("Status")
    if versioning != "Enabled":
        raise _broken(bucket, "versioning is off")


def _locked_version(store: ObjectStore, key: str) -> str:
    with mapped_errors(store.client, store.uri(key)):
        head = store.client.head_object(**_object(store, key))
    if head.get("ObjectLockMode") != "COMPLIANCE":
        bucket = store.location.bucket
        raise _broken(bucket, "Object Lock was ignored: an object came back without its lock")
    return head["VersionId"]


def _forbidden(
    store: ObjectStore, key: str, version: str, until: datetime
) -> dict[str, Callable[[], Any]]:
    """What a bucket that keeps its promises refuses, by what it means if it does not."""
    client, where = store.client, _object(store, key)
    sooner: Any = {"Mode": "COMPLIANCE", "RetainUntilDate": until - timedelta(minutes=1)}
    return {
        "a wrong checksum was accepted": lambda: client.put_object(
            **_object(store, f"{key}-checksum"),
            Body=b"avss probe",
            ChecksumSHA256=b64encode(bytes(32)).decode(),
        ),
        "the lock of an object was shortened": lambda: client.put_object_retention(
            **where, VersionId=version, Retention=sooner
        ),
        "a locked version was deleted": lambda: client.delete_object(**where, VersionId=version),
    }


def _accepted(store: ObjectStore, key: str, attempt: Callable[[], Any]) -> bool:
    try:
        with mapped_errors(store.client, store.uri(key)):
            attempt()
    except StorageError:
        return False
    return True


def _sweep(store: ObjectStore) -> None:
    """Remove what earlier probes left and is no longer locked."""
    for version in store.list_versions():
        if datetime.now(UTC) - version.modified > 2 * _TRIAL:
            where = {**_object(store, version.key), "VersionId": version.version_id}
            _accepted(store, version.key, partial(store.client.delete_object, **where))


def _object(store: ObjectStore, key: str) -> dict[str, Any]:
    return {"Bucket": store.location.bucket, "Key": f"{store.location.prefix}/{key}"}


def _broken(bucket: str, promise: str) -> StorageError:
    return StorageError(
        f"Bucket {bucket} cannot hold a ledger: {promise}. Use a bucket created with Object Lock "
        "(which turns versioning on) on a server that enforces it."
    )
