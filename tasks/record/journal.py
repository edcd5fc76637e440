"""The line's record: read and verified for anyone, appended to by the job alone."""

from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from policies.entries import Body, Entry
from policies.errors import VerificationError
from policies.keys import fingerprint
from policies.ledger import CLOCK_TOLERANCE, Chain, seal
from tasks import clock
from tasks.errors import RunFileError
from tasks.home import job_key_path
from tasks.record.ledger_store import LedgerStore

Dated = Callable[[datetime], Body]
"""A body that says when: made for the time of its entry."""


class Record:
    """One line's ledger, verified as it is read.

    Raises:
        VerificationError: the stored record does not hold, so nothing may be built on it.
    """

    def __init__(self, store: LedgerStore, line: str, key: Ed25519PublicKey) -> None:
        self.line = line
        self.store = store
        self.chain = Chain(line, key)
        self.envelopes: list[bytes] = []
        """As stored, in order."""
        self.refresh()

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything recorded so far, in order."""
        return tuple(sealed.entry for sealed in self.chain.sealed)

    def refresh(self) -> None:
        """Read and verify what was appended since the last look."""
        for envelope in self.store.read(self.line, len(self.chain.sealed)):
            self._follow(envelope)
        if covered := self.store.covered(self.line):
            raise VerificationError(
                f"Somebody wrote over entries of line {self.line} in the ledger's bucket: "
                f"{', '.join(covered[:3])}. The first versions stand; find out who did it."
            )

    def _follow(self, envelope: bytes) -> Entry:
        entry = self.chain.follow(envelope)
        self.envelopes.append(envelope)
        return entry


class Journal(Record):
    """The same record with the job's key in hand.

    `first` signed the line's first entry; `key` must be the one that is in force now.

    Raises:
        RunFileError: another key is in force.
    """

    def __init__(
        self,
        store: LedgerStore,
        line: str,
        first: Ed25519PublicKey,
        key: Ed25519PrivateKey,
        retention: timedelta,
    ) -> None:
        super().__init__(store, line, first)
        self.key = key
        self.retention = retention
        """How long the store must refuse to change or delete a new entry."""
        self._check_key()

    def append(
        self, body: Body | Dated, change: str | None, check: Callable[[Entry], object]
    ) -> Entry:
        """Sign and store one more entry, now; `check` raises where it must not stand there.

        Raises:
            ConflictError: another run appended first.
            RunFileError: the job's key was replaced meanwhile.
        """
        self._check_key()
        last = self.chain.sealed[-1].entry.time if self.chain.sealed else None
        now = clock.now()
        if last is not None and now < last <= now + CLOCK_TOLERANCE:
            now = last
        said = body if isinstance(body, Body) else body(now)
        entry = self.chain.draft(said, change=change, time=now)
        check(entry)
        envelope = seal(entry, self.key)
        self.store.append(self.line, entry.sequence, envelope, now + self.retention)
        return self._follow(envelope)

    def _check_key(self) -> None:
        mine, due = fingerprint(self.key.public_key()), fingerprint(self.chain.key)
        if mine != due:
            raise RunFileError(
                f"The record of line {self.line} must be signed by the job key {due}, but the one "
                f"at {job_key_path()} is {mine}. Use that key (or point AVSS_JOB_KEY at it); see "
                f"`avss job-key show {self.line}`."
            )
