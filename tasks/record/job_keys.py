"""The job's key: private on the machine that runs it, public beside the ledger, locked like it."""

from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.keys import public_line, read_private_key
from tasks.errors import ConflictError, MissingError, RunFileError, StorageError
from tasks.home import job_key_path
from tasks.record.ledger_store import LedgerStore
from tasks.s3.object_lock import put_locked
from tasks.s3.storage import ObjectStore


def read_job_key() -> Ed25519PrivateKey:
    """The job's private key.

    Raises:
        RunFileError: there is none; the message says how to make one.
        DecisionError: it cannot be used.
    """
    path = job_key_path()
    if not path.exists():
        raise RunFileError(
            f"The job has no key at {path}. Make one and keep it for the life of its lines: "
            f"mkdir -p {path.parent} && ssh-keygen -t ed25519 -N '' -C avss-job -f {path} "
            "(or point AVSS_JOB_KEY at one)."
        )
    return read_private_key(Path(path))


def publish_key(
    store: LedgerStore, line: str, key: Ed25519PrivateKey, retain_until: datetime
) -> None:
    """Lay the key that signs a line's first entry beside the ledger; safe to repeat.

    Raises:
        StorageError: the line was begun with another key.
    """
    content = (public_line(key.public_key()) + "\n").encode("ascii")
    keys = ObjectStore(store.bucket, "keys", store.client)
    try:
        put_locked(keys, f"{line}.pub", content, retain_until)
    except ConflictError:
        if published_key(store, line).encode("ascii") != content.strip():
            raise StorageError(
                f"Line {line} was begun with another job key than the one at {job_key_path()}. "
                "Use that key, or record its replacement."
            ) from None


def published_key(store: LedgerStore, line: str) -> str:
    """The public key that a line began with, as an OpenSSH line.

    Raises:
        MissingError: there is no such line in this ledger.
    """
    keys = ObjectStore(store.bucket, "keys", store.client)
    versions = [one for one in keys.list_versions(f"{line}.pub") if not one.deleted]
    if not versions:
        raise MissingError(
            f"There is no line {line} in the ledger s3://{store.bucket}. Check its name, and "
            "AVSS_LEDGER_BUCKET if it lies elsewhere."
        )
    first = versions[-1]
    return keys.get(first.key, version_id=first.version_id).decode("ascii").strip()
