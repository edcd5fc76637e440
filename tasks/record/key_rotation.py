"""Which keys signed a line's record, and the hand-over to another one."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.entries import Entry, JobKeyChanged
from policies.keys import fingerprint, public_line
from policies.lifecycle import advance, fold
from policies.schema import rfc3339
from tasks.errors import RunFileError
from tasks.record.journal import Journal, Record


@dataclass(frozen=True)
class KeyPeriod:
    """One key that signed a line's record, and from which entry on."""

    fingerprint: str
    public_key: str
    first_entry: int
    reason: str
    """Why it replaced the one before; empty for the first."""
    compromised_since: str | None = None
    """Since when somebody else may have had it."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def key_history(record: Record) -> tuple[KeyPeriod, ...]:
    """Every key that signed the record, in order; the last one is in force."""
    changes = [one for one in record.entries if isinstance(one.body, JobKeyChanged)]
    bodies = [cast(JobKeyChanged, one.body) for one in changes]
    starts = [0, *(one.sequence + 1 for one in changes)]
    reasons = ["", *(one.reason for one in bodies)]
    ends = [*(one.compromised_since for one in bodies), None]
    return tuple(
        KeyPeriod(fingerprint(key), public_line(key), start, reason, rfc3339(end) if end else None)
        for key, start, reason, end in zip(record.chain.keys, starts, reasons, ends, strict=True)
    )


def replace_key(
    journal: Journal, new: Ed25519PrivateKey, reason: str, compromised_since: datetime | None
) -> Entry:
    """Record that from the next entry on only `new` signs; the key before it is withdrawn.

    Raises:
        RunFileError: the line is signed by this very key already.
    """
    if fingerprint(new.public_key()) == fingerprint(journal.chain.key):
        raise RunFileError("The new key is the one in force. Make another: ssh-keygen -t ed25519")
    body = JobKeyChanged(
        public_key=public_line(new.public_key()),
        reason=reason,
        compromised_since=compromised_since,
    )
    state = fold(journal.entries)
    change = state.change.id if state.change else None
    return journal.append(body, change, lambda entry: advance(state, entry))
