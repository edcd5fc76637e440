"""The ledger's bucket: one locked object an entry, written only where nothing is yet.

An entry lies at `ledger/<line>/<sequence>.json` and is put with `If-None-Match: *` and Object Lock
COMPLIANCE, so two writers cannot fork the chain and nobody, not even the account's root, can alter
it before its date. In a versioned bucket a stranger can still put a newer version or a delete
marker *over* an entry; so the first version of a key is the entry, and `covered` tells the rest.
"""

import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from tasks.errors import ConflictError, MissingError
from tasks.reporting import Report, told, untold
from tasks.s3.client import mapped_errors
from tasks.s3.object_lock import probe_bucket, put_locked
from tasks.s3.storage import ObjectStore, ObjectVersion

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

_ENTRY = re.compile(r"[a-z0-9][a-z0-9-]{0,62}/\d{12}\.json")
_READERS = 8


class LedgerStore:
    """Signed envelopes of all lines in one bucket; knows nothing of what they say."""

    def __init__(self, bucket: str, client: "S3Client | None" = None) -> None:
        self.bucket = bucket
        self._store = ObjectStore(bucket, "ledger", client)
        self.client = self._store.client

    def lines(self) -> tuple[str, ...]:
        """The names of all lines that have an entry, sorted."""
        pages = self.client.get_paginator("list_objects_v2")
        with mapped_errors(self.client, self._store.uri()):
            found = [
                item["Prefix"].split("/")[1]
                for page in pages.paginate(Bucket=self.bucket, Prefix="ledger/", Delimiter="/")
                for item in page.get("CommonPrefixes", ())
            ]
        return tuple(sorted(line for line in found if _ENTRY.fullmatch(f"{line}/{0:012d}.json")))

    def read(self, line: str, start: int = 0, report: Report = untold) -> list[bytes]:
        """The envelopes of a line from sequence `start` on, in the order of their sequence.

        Gaps are not judged here: verification of the chain does that.
        """
        entries = self._first_versions(f"{line}/", _before(line, start))
        with ThreadPoolExecutor(_READERS) as pool:
            return list(told(pool.map(self._fetch, entries), len(entries), report))

    def read_one(self, line: str, sequence: int) -> bytes:
        """The envelope of one entry.

        Raises:
            MissingError: there is no such entry.
        """
        key = _key(line, sequence)
        found = self._first_versions(key)
        if not found:
            raise MissingError(f"{self._store.uri(key)} is not there.")
        return self._fetch(found[0])

    def covered(self, line: str, start: int = 0) -> tuple[str, ...]:
        """Keys of entries from `start` on that somebody overwrote or deleted.

        Their first version still stands.
        """
        found = self._versions(f"{line}/", _before(line, start))
        versions = Counter(version.key for version in found)
        return tuple(sorted(key for key, count in versions.items() if count > 1))

    def append(self, line: str, sequence: int, envelope: bytes, retain_until: datetime) -> None:
        """Write an entry, locked until `retain_until` (with a time zone).

        Repeating the very same append is no error: a lost answer can be asked for again.

        Raises:
            ConflictError: another entry has this sequence.
            StorageError: unreachable, denied, or the bucket has no Object Lock.
        """
        key = _key(line, sequence)
        if not _ENTRY.fullmatch(key):
            raise ValueError(f"no ledger key: line {line!r}, sequence {sequence}")
        with suppress(ConflictError):
            put_locked(self._store, key, envelope, retain_until)
        if [self._fetch(first) for first in self._first_versions(key)] != [envelope]:
            raise ConflictError(
                f"Entry {sequence} of line {line} was written by another run. "
                "Read the ledger again and go on from there."
            )

    def probe_guarantees(self) -> None:
        """Try whether the bucket really keeps what the ledger relies on.

        Raises:
            StorageError: it does not, or it cannot be reached; the message says which promise
                is broken. No ledger may be kept there.
        """
        probe_bucket(ObjectStore(self.bucket, "probes", self.client))

    def _versions(self, prefix: str, after: str | None = None) -> list[ObjectVersion]:
        found = self._store.list_versions(prefix, after=after)
        return [version for version in found if _ENTRY.fullmatch(version.key)]

    def _first_versions(self, prefix: str, after: str | None = None) -> list[ObjectVersion]:
        """The oldest version of every entry, in order; listings give the newest of a key first."""
        found = self._versions(prefix, after)
        oldest = {version.key: version for version in found if not version.deleted}
        return [oldest[key] for key in sorted(oldest)]

    def _fetch(self, version: ObjectVersion) -> bytes:
        return self._store.get(version.key, version_id=version.version_id)


def _key(line: str, sequence: int) -> str:
    return f"{line}/{sequence:012d}.json"


def _before(line: str, sequence: int) -> str | None:
    return _key(line, sequence - 1) if sequence else None
