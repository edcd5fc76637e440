"""The job's key: private on the machine that runs it, public beside the ledger, locked like it."""

from contextlib import suppress
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from policies.keys import parse_public_key, public_line, read_private_key
from tasks.errors import ConflictError, MissingError, RunFileError
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


def first_key(
    store: LedgerStore, line: str, key: Ed25519PrivateKey, retain_until: datetime
) -> Ed25519PublicKey:
    """The key that signs a line's first entry; of a new line it is `key`, laid beside the ledger.

    A line's later entries may be signed by another key: its record says so.
    """
    content = (public_line(key.public_key()) + "\n").encode("ascii")
    keys = ObjectStore(store.bucket, "keys", store.client)
    with suppress(ConflictError):
        put_locked(keys, f"{line}.pub", content, retain_until)
    return parse_public_key(published_key(store, line))


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
