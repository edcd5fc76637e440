"""The three buckets, and what each one must keep."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tasks.errors import MissingError, StorageError
from tasks.s3.client import mapped_errors, new_client

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client


@dataclass(frozen=True)
class BucketNames:
    """Names of the buckets of one installation."""

    data: str = "avss-data"
    """Business data: versioned, so that a snapshot stays what it was; the job only reads it."""
    work: str = "avss-work"
    """Snapshots' manifests, models, evidence, approvals, MLflow's artifacts."""
    ledger: str = "avss-ledger"
    """The record: versioned, Object Lock."""


def ensure_buckets(names: BucketNames, client: "S3Client | None" = None) -> None:
    """Create what is missing and turn versioning on where it belongs; safe to repeat.

    Raises:
        StorageError: unreachable or denied, or the ledger's bucket exists without Object Lock,
            which cannot be added later.
    """
    client = client or new_client()
    for name in (names.data, names.work):
        _create(client, name, lock=False)
    _create(client, names.ledger, lock=True)
    with mapped_errors(client, f"s3://{names.data}"):
        client.put_bucket_versioning(
            Bucket=names.data, VersioningConfiguration={"Status": "Enabled"}
        )
    _require_lock(client, names.ledger)


def _create(client: "S3Client", name: str, *, lock: bool) -> None:
    try:
        with mapped_errors(client, f"s3://{name}"):
            client.head_bucket(Bucket=name)
    except MissingError:
        wanted: dict[str, Any] = {"Bucket": name, "ObjectLockEnabledForBucket": lock}
        region = client.meta.region_name
        if region not in ("us-east-1", "aws-global"):  # S3 refuses to be told its default region
            wanted["CreateBucketConfiguration"] = {"LocationConstraint": region}
        with mapped_errors(client, f"s3://{name}"):
            client.create_bucket(**wanted)


def _require_lock(client: "S3Client", name: str) -> None:
    try:
        with mapped_errors(client, f"s3://{name}"):
            answer = client.get_object_lock_configuration(Bucket=name)
        locked = answer["ObjectLockConfiguration"].get("ObjectLockEnabled") == "Enabled"
    except StorageError as error:
        if "ObjectLockConfigurationNotFound" not in str(error):
            raise
        locked = False
    if not locked:
        raise StorageError(
            f"Bucket {name} exists without Object Lock, which cannot be added here. "
            "Name another bucket for the ledger, or create it with Object Lock."
        )
