"""A boto3 client from the standard environment, and S3's errors as ours."""

import errno
import ipaddress
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import boto3
from boto3.exceptions import S3UploadFailedError
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from botocore.exceptions import ConnectionError as BotoConnectionError
from botocore.loaders import Loader, create_loader
from botocore.session import Session as BotocoreSession
from s3transfer.exceptions import RetriesExceededError

from tasks.errors import ConflictError, MissingError, StorageError

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

READ_TIMEOUT = 60.0
"""Seconds without a byte after which a connection is given up and taken up again."""

_MISSING = {"NoSuchBucket", "NoSuchKey", "NoSuchVersion", "404", "NotFound"}
_DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "ExpiredToken",
    "InvalidToken",
    "403",
    "401",
}
_ELSEWHERE = {
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}
"""What S3 says to a request that was made for another region."""
_CONFLICT = {"PreconditionFailed", "ConditionalRequestConflict", "412"}


def new_client(environment: Mapping[str, str] | None = None) -> "S3Client":
    """An S3 client by boto3's own chain: `AWS_ENDPOINT_URL`, credentials, region, profile.

    With `environment`, its AWS variables are used in place of the process' own.

    TLS unless the endpoint is this machine, or `AVSS_ALLOW_PLAIN_HTTP=1` says otherwise. With
    `AVSS_KMS_KEY` (a key's id, ARN or alias) whatever is written is encrypted with it (SSE-KMS);
    without, as the bucket says.

    Checksums are sent and checked where S3 requires them, since many S3 servers know no others;
    `AWS_REQUEST_CHECKSUM_CALCULATION` and `AWS_RESPONSE_CHECKSUM_VALIDATION` say otherwise.
    """
    given = environment or {}
    config = Config(
        connect_timeout=5,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": 4},
        request_checksum_calculation=_checksums("AWS_REQUEST_CHECKSUM_CALCULATION"),
        response_checksum_validation=_checksums("AWS_RESPONSE_CHECKSUM_VALIDATION"),
    )
    try:
        session = boto3.session.Session(
            botocore_session=_quick_session(),
            aws_access_key_id=given.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=given.get("AWS_SECRET_ACCESS_KEY"),
            region_name=given.get("AWS_DEFAULT_REGION"),
        )
        client = session.client("s3", endpoint_url=given.get("AWS_ENDPOINT_URL"), config=config)
    except (BotoCoreError, ValueError) as error:
        raise StorageError(f"The S3 settings cannot be used: {error}") from None
    _require_tls(client.meta.endpoint_url)
    if key := os.environ.get("AVSS_KMS_KEY"):
        _encrypt_with(client, key)
    return client


@lru_cache(1)
def _descriptions() -> Loader:
    """botocore's descriptions of S3, parsed once a process: they are most of a client's cost."""
    loader: Loader = create_loader()
    return loader


def _quick_session() -> BotocoreSession:
    session = BotocoreSession()
    session.register_component("data_loader", _descriptions())
    return session


def _require_tls(endpoint: str) -> None:
    address = urlsplit(endpoint)
    if address.scheme == "https" or os.environ.get("AVSS_ALLOW_PLAIN_HTTP") == "1":
        return
    host = address.hostname or ""
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    if not here:
        raise StorageError(
            f"{endpoint} is not encrypted: data and credentials would cross the network in the "
            "open. Use https://, or set AVSS_ALLOW_PLAIN_HTTP=1 where the network is your own."
        )


def _encrypt_with(client: "S3Client", key: str) -> None:
    """Ask for SSE-KMS with every write of this client."""

    def add(params: dict[str, Any], **_: Any) -> None:
        params |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": key}

    for operation in ("PutObject", "CreateMultipartUpload", "CopyObject"):
        client.meta.events.register(f"provide-client-params.s3.{operation}", add)


def _checksums(variable: str) -> Literal["when_supported", "when_required"]:
    supported = os.environ.get(variable, "").lower() == "when_supported"
    return "when_supported" if supported else "when_required"


@contextmanager
def mapped_errors(client: "S3Client", subject: str) -> Iterator[None]:
    """Raise what boto3 raises as our errors.

    Args:
        client: the client in use; its endpoint is named in the message.
        subject: what was touched, such as `s3://bucket/key`.

    Raises:
        MissingError: no such bucket or key.
        ConflictError: a conditional write lost.
        StorageError: unreachable, denied, no credentials, no space, anything else.
    """
    endpoint = client.meta.endpoint_url
    try:
        yield
    except ClientError as error:
        raise _from_response(error, subject, endpoint) from None
    except S3UploadFailedError as error:
        cause = error.__context__
        if isinstance(cause, ClientError):
            raise _from_response(cause, subject, endpoint) from None
        raise StorageError(f"{subject}: the upload to {endpoint} failed; run it again.") from None
    except (NoCredentialsError, PartialCredentialsError):
        raise StorageError(
            f"{subject}: no S3 credentials. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "AWS_PROFILE, or an instance role; for the local stack: avss stack up."
        ) from None
    except (BotoConnectionError, HTTPClientError, RetriesExceededError, ConnectionError):
        raise StorageError(
            f"{subject}: S3 at {endpoint} cannot be reached. Check AWS_ENDPOINT_URL and the "
            "network; for the local stack: avss stack up."
        ) from None
    except BotoCoreError as error:
        raise StorageError(f"{subject}: {error}") from None
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        place = error.filename or "the disk"
        raise StorageError(f"{subject}: no space left on {place}; free some.") from None


def _from_response(error: ClientError, subject: str, endpoint: str) -> Exception:
    code = error.response.get("Error", {}).get("Code", "unknown")
    if code == "NoSuchBucket":
        bucket = subject.removeprefix("s3://").split("/", 1)[0]
        return MissingError(
            f"There is no bucket {bucket} at {endpoint}. Create it or correct the name."
        )
    if code in _MISSING:
        return MissingError(f"{subject} does not exist at {endpoint}.")
    if code in _DENIED:
        return StorageError(
            f"{subject}: {endpoint} denied access ({code}). Check the credentials and that they "
            "may do this; `avss doctor` tries each permission."
        )
    if code in _ELSEWHERE:
        return StorageError(
            f"{subject}: {endpoint} says that the bucket is in another region ({code}). Set "
            "AWS_REGION to the bucket's, or correct AWS_ENDPOINT_URL."
        )
    if code in _CONFLICT:
        return ConflictError(f"{subject} was written by somebody else first.")
    return StorageError(f"{subject}: {endpoint} answered {code} to {error.operation_name}.")
