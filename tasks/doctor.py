"""Is this machine, and what it reaches, fit for the job? Everything is tried, nothing assumed."""

import os
import stat
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from importlib import metadata

from packaging.requirements import Requirement

from tasks.errors import StorageError, TaskError
from tasks.home import job_key_path
from tasks.http_probe import answer_of
from tasks.models.mlflow_client import tracking_uri
from tasks.models.signature import check_model_key, model_key_path
from tasks.record.job_keys import read_job_key
from tasks.record.ledger_store import LedgerStore
from tasks.reporting import Report, told, untold
from tasks.s3.client import mapped_errors, new_client
from tasks.s3.storage import ObjectStore

_SKEW = timedelta(seconds=60)
_SWITCHES = {
    "DO_NOT_TRACK": {"1", "true"},
    "PREFECT_SERVER_ANALYTICS_ENABLED": {"false", "0"},
    "MLFLOW_DISABLE_TELEMETRY": {"true", "1"},
    "GX_ANALYTICS_ENABLED": {"false", "0"},
    "HF_HUB_DISABLE_TELEMETRY": {"1", "true"},
    "RAY_USAGE_STATS_ENABLED": {"0", "false"},
}


@dataclass(frozen=True)
class Check:
    """One thing that was tried: what was seen, and what to do where it is not well."""

    name: str
    ok: bool
    detail: str
    advice: str = ""
    """Empty where the detail itself says what to do."""


class _UnwellError(Exception):
    """What a check saw, where it is not what the job needs."""


@dataclass(frozen=True)
class _Trial:
    name: str
    attempt: Callable[[], str]
    advice: str


def diagnose(
    *, work: str, ledger: str, data: str | None = None, report: Report = untold
) -> tuple[Check, ...]:
    """Try everything that a run needs.

    Args:
        work: name of the work bucket; a small object is written to it and removed.
        ledger: name of the ledger's bucket; a small object is locked in it for two minutes.
        data: name of the business-data bucket, which is only read.
        report: told how many checks are done.
    """
    trials = tuple(_trials(work, ledger, data))
    return tuple(tried(it.name, it.attempt, it.advice) for it in told(trials, len(trials), report))


def tried(name: str, attempt: Callable[[], str], advice: str = "") -> Check:
    """What an attempt saw, or why it is not well; an error that is no user's goes through."""
    try:
        return Check(name, True, attempt())
    except _UnwellError as problem:
        return Check(name, False, str(problem), advice)
    except Exception as problem:
        if not isinstance(problem, TaskError) and getattr(problem, "exit_code", 1) != 2:
            raise
        return Check(name, False, str(problem))


def _trials(work: str, ledger: str, data: str | None) -> Iterator[_Trial]:
    yield _Trial("packages", packages, "Install from the lock: make install.")
    yield _Trial("telemetry", telemetry, "Start through `avss`, or export these variables.")
    yield _Trial("job key", job_key, "")
    yield _Trial("model key", model_key, "chmod 600 the key.")
    yield _Trial(
        "S3: work bucket",
        lambda: work_bucket(work),
        "The job needs Get, Put, List and DeleteObject there. Check AWS_ENDPOINT_URL and keys.",
    )
    if data is not None:
        yield _Trial(
            "S3: data bucket",
            lambda: data_bucket(data),
            "The job needs GetObject, GetObjectVersion and List there, and versioning switched on.",
        )
    yield _Trial(
        "S3: ledger bucket",
        lambda: ledger_bucket(ledger),
        "Create the bucket with Object Lock, on a server that enforces it and If-None-Match.",
    )
    yield _Trial("clock", lambda: clock(work), "Set this machine's clock by NTP.")
    yield _Trial("Prefect", prefect, "Set PREFECT_API_URL, or for the local one: avss stack up.")
    yield _Trial("MLflow", mlflow, "Set MLFLOW_TRACKING_URI, or for the local one: avss stack up.")


def packages() -> str:
    """Installed versions against the ranges that are known to run together."""
    wrong = []
    for line in metadata.requires("avss") or ():
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            installed = None
        if installed is None or not requirement.specifier.contains(installed, prereleases=True):
            wrong.append(f"{requirement.name} {installed or 'missing'} ({requirement.specifier})")
    if wrong:
        raise _UnwellError("outside the range that works: " + ", ".join(wrong))
    return "every package is in the range that works"


def telemetry() -> str:
    """The libraries' telemetry switches in this process."""
    on = [name for name, off in _SWITCHES.items() if os.environ.get(name, "").lower() not in off]
    if on:
        raise _UnwellError("not switched off: " + ", ".join(on))
    return "off in every library that has one"


def job_key() -> str:
    """The job's private key: it can be used, and is for its owner's eyes only."""
    read_job_key()
    return f"{job_key_path()}, for its owner only"


def model_key() -> str:
    """The key that signs models: the same, or it can be made when the first model is signed."""
    found, path = check_model_key(), model_key_path()
    mode = stat.S_IMODE(path.stat().st_mode) if path.exists() else 0
    if mode & 0o077:
        raise _UnwellError(f"others may read {path} (mode {mode:04o})")
    return found


def work_bucket(bucket: str) -> str:
    """Write, read, list and remove a small object."""
    store, key = ObjectStore(bucket, "doctor"), uuid.uuid4().hex
    store.put(key, b"avss doctor")
    try:
        if store.get(key) != b"avss doctor" or key not in {item.key for item in store.list(key)}:
            raise _UnwellError(f"{store.uri(key)} did not come back as it was written")
    finally:
        store.delete(key)
    return f"{store.uri()} at {store.client.meta.endpoint_url}: written, read, listed, removed"


def data_bucket(bucket: str) -> str:
    """Read the bucket's list and whether it keeps versions."""
    store = ObjectStore(bucket)
    first = next(iter(store.list_versions()), None)
    with mapped_errors(store.client, store.uri()):
        status = store.client.get_bucket_versioning(Bucket=bucket).get("Status")
    if status != "Enabled":
        raise _UnwellError(f"{store.uri()} keeps no versions: a snapshot could not be pulled again")
    return f"{store.uri()}: listed, versioned" + ("" if first else "; it is empty")


def ledger_bucket(bucket: str) -> str:
    """Versioning, Object Lock and If-None-Match, by trying to break them."""
    LedgerStore(bucket).probe_guarantees()
    return f"s3://{bucket}: a second writer, a shorter lock and a deletion were all refused"


def clock(bucket: str) -> str:
    """This machine's clock against the S3 server's: entries, locks and expiries carry times."""
    client = new_client()
    with mapped_errors(client, f"s3://{bucket}"):
        headers = client.head_bucket(Bucket=bucket)["ResponseMetadata"]["HTTPHeaders"]
    if "date" not in headers:
        raise StorageError(f"{client.meta.endpoint_url} tells no time.")
    skew = abs(datetime.now(UTC) - parsedate_to_datetime(headers["date"]))
    if skew > _SKEW:
        raise _UnwellError(f"{skew.total_seconds():.0f} s away from the S3 server's")
    return "agrees with the S3 server's to the minute"


def prefect() -> str:
    """The Prefect API answers."""
    server = os.environ.get("PREFECT_API_URL")
    if not server:
        raise _UnwellError("PREFECT_API_URL is not set")
    _answers(server, "health")
    return f"{server} answers"


def mlflow() -> str:
    """The MLflow server answers."""
    server = tracking_uri()
    _answers(server, "health")
    return f"{server} answers"


def _answers(server: str, path: str) -> None:
    status = answer_of(f"{server.rstrip('/')}/{path}")
    if status is None:
        raise _UnwellError(f"{server} cannot be reached")
    if status != 200:
        raise _UnwellError(f"{server} answers {status}")
