"""A line as anyone sees it who may read its buckets: the verified record and the documents."""

from functools import cached_property
from typing import Any, Self

from policies.keys import parse_public_key
from policies.lifecycle import ChangeState, State, advance
from policies.policy import Policy, parse_policy
from policies.roster import Roster, parse_roster
from policies.schema import Step
from tasks.errors import MissingError, StorageError
from tasks.places import Places
from tasks.record.approval_box import ApprovalBox
from tasks.record.documents import Documents
from tasks.record.job_keys import published_key
from tasks.record.journal import Record
from tasks.record.kept_entries import KeptEntries
from tasks.record.ledger_store import LedgerStore
from tasks.reporting import Report, untold
from tasks.s3.storage import ObjectStore


class LineView:
    """Reads one line; needs no key but the job's public one, which lies locked with the ledger."""

    def __init__(self, line: str, places: Places) -> None:
        self.line = line
        self._state = State()
        self.work = ObjectStore(places.work)
        self.store = LedgerStore(places.ledger)
        self.documents = Documents(self.work)
        self.approvals = ApprovalBox(self.work)

    @cached_property
    def job_key_line(self) -> str:
        """The job's public key in OpenSSH form."""
        return published_key(self.store, self.line)

    @cached_property
    def record(self) -> Record:
        """The line's verified record; the job's own view of it can append."""
        return self._read(untold)

    def read(self, report: Report) -> Self:
        """Read the record now, telling how far that is; else the first use of it does."""
        self.record = self._read(report)
        return self

    def _read(self, report: Report) -> Record:
        key = parse_public_key(self.job_key_line)
        return Record(self.store, self.line, key, self.kept, report)

    @property
    def kept(self) -> KeptEntries:
        """The line's entries that this machine keeps."""
        return KeptEntries.of(self.store.bucket, self.line)

    @property
    def state(self) -> State:
        """Where the line stands: folded as far as it was at the last look, and on from there."""
        for sealed in self.record.chain.sealed[self._state.length :]:
            self._state = advance(self._state, sealed.entry)
        return self._state

    def change(self, change: str) -> ChangeState:
        """One change of the line.

        Raises:
            MissingError: there is none of this id.
        """
        found = self.state.find(change)
        if found is None:
            known = [one.change.id for one in self.state.closed]
            raise MissingError(
                f"Line {self.line} has no change {change}. "
                f"It has: {', '.join(known[-5:]) or 'none yet'}."
            )
        return found

    def policy_of(self, change: ChangeState) -> Policy:
        """The policy that the change was opened under."""
        return self.policy_at(change.opened.policy)

    def roster_of(self, change: ChangeState) -> Roster:
        """The roster in force for the change now."""
        return self.roster_at(change.roster)

    def policy_at(self, digest: str) -> Policy:
        """A recorded policy."""
        return parse_policy(self.documents.raw(digest), "the recorded policy")

    def roster_at(self, digest: str) -> Roster:
        """A recorded roster."""
        return parse_roster(self.documents.raw(digest), "the recorded roster")

    def evidence_digest(self, change: ChangeState, step: Step) -> str:
        """Digest of the latest evidence of a step, or of the promotion's.

        Raises:
            MissingError: nothing was judged there yet.
        """
        if step == "promotion":
            digest = change.holdout.evidence if change.holdout else None
        else:
            found = change.step(step)
            attempts = (found.chosen, *reversed(found.attempts)) if found else ()
            judged = (one.judged for one in attempts if one is not None and one.judged)
            digest = next((one.evidence for one in judged), None)
        if digest is None:
            raise MissingError(f"Change {change.id} has no evidence for step {step} yet.")
        return digest

    def named_documents(self, evidence: dict[str, Any]) -> dict[str, Any]:
        """The documents that an evidence names, parsed."""
        return {name: self.documents.get(digest) for name, digest in evidence["documents"].items()}


def line_of(change: str) -> str:
    """The line that a change's id belongs to.

    Raises:
        StorageError: it is no change's id.
    """
    line, _, number = change.rpartition("-")
    if not line or not number.isdigit():
        raise StorageError(f"{change!r} is no change's id; expected one such as my-line-0001.")
    return line
