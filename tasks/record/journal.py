"""The line's record: read and verified for anyone, appended to by the job alone."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from policies.entries import Body, Entry
from policies.errors import VerificationError
from policies.keys import fingerprint
from policies.ledger import CLOCK_TOLERANCE, Chain, seal
from tasks import clock
from tasks.errors import MissingError, RunFileError
from tasks.home import job_key_path
from tasks.record.kept_entries import KeptEntries
from tasks.record.ledger_store import LedgerStore
from tasks.reporting import Report, untold

Dated = Callable[[datetime], Body]
"""A body that says when: made for the time of its entry."""


class Record:
    """One line's ledger, verified as it is read.

    With entries `kept` on this machine, only what came after them is read. Whether the older ones
    still lie untouched in the bucket is seen by `check_untouched` and `reread`.

    Raises:
        VerificationError: the stored record does not hold, so nothing may be built on it.
    """

    def __init__(
        self,
        store: LedgerStore,
        line: str,
        key: Ed25519PublicKey,
        kept: KeptEntries | None = None,
        report: Report = untold,
    ) -> None:
        self.line = line
        self.store = store
        self._kept = kept
        self.chain = self._resumed(key)
        self.refresh(report)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Everything recorded so far, in order."""
        return tuple(sealed.entry for sealed in self.chain.sealed)

    def refresh(self, report: Report = untold) -> None:
        """Read and verify what was appended since the last look."""
        known = len(self.chain.sealed)
        for envelope in self.store.read(self.line, known, report):
            self.chain.follow(envelope)
        self.check_untouched(max(known - 1, 0))
        if self._kept is not None and len(self.chain.sealed) > known:
            self._kept.write([sealed.payload for sealed in self.chain.sealed])

    def check_untouched(self, start: int = 0) -> None:
        """See that nobody wrote over the entries from `start` on; without it, over any.

        Raises:
            VerificationError: somebody did. What was read are still the first versions.
        """
        if covered := self.store.covered(self.line, start):
            raise VerificationError(
                f"Somebody wrote over entries of line {self.line} in the ledger's bucket: "
                f"{', '.join(covered[:3])}. The first versions stand; find out who did it."
            )

    def reread(self, report: Report = untold) -> list[bytes]:
        """Every envelope as it lies in the bucket, in order, each verified anew.

        Raises:
            VerificationError: they do not hold, or are not what this record was read from.
        """
        self.check_untouched()
        chain = Chain(self.line, self.chain.keys[0])
        envelopes = self.store.read(self.line, report=report)
        for envelope in envelopes[: len(self.chain.sealed)]:
            chain.follow(envelope)
        if len(chain.sealed) < len(self.chain.sealed):
            raise VerificationError("the record ends here, but it was longer.", len(chain.sealed))
        if chain.sealed[-1:] != self.chain.sealed[-1:]:
            raise VerificationError("the record is not the one that was read before.")
        return envelopes[: len(chain.sealed)]

    def _resumed(self, key: Ed25519PublicKey) -> Chain:
        chain = Chain(self.line, key)
        if self._kept is not None:
            try:
                chain.resume(self._kept.read(), partial(self.store.read_one, self.line))
            except (VerificationError, MissingError):
                return Chain(self.line, key)  # then everything is read from the store
        return chain


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
        kept: KeptEntries | None = None,
        report: Report = untold,
    ) -> None:
        super().__init__(store, line, first, kept, report)
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
        return self.chain.follow(envelope)

    def _check_key(self) -> None:
        mine, due = fingerprint(self.key.public_key()), fingerprint(self.chain.key)
        if mine != due:
            raise RunFileError(
                f"The record of line {self.line} must be signed by the job key {due}, but the one "
                f"at {job_key_path()} is {mine}. Use that key (or point AVSS_JOB_KEY at it); see "
                f"`avss job-key show {self.line}`."
            )
