"""Judging again: every decision, verdict and state of a change, from its documents alone."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import ValidationError

from policies.agreement import (
    metrics_of,
    same_answer,
    same_data,
    same_documents,
    same_evidence,
)
from policies.approvals import record_answer, record_decision
from policies.canonical import digest, parse_canonical
from policies.entries import (
    AliasAnswered,
    AliasBody,
    AliasRequested,
    CandidateJudged,
    ChangeOpened,
    DecisionRecorded,
    Entry,
    HoldoutConfirmed,
    ModelRegistered,
    MonitorChecked,
    RosterChanged,
)
from policies.errors import LawError, PolicyError, VerificationError
from policies.lifecycle.advance import advance
from policies.lifecycle.evidencing import make_evidence
from policies.lifecycle.lawful import check_lawful
from policies.lifecycle.moves import check_move, move_expectation
from policies.lifecycle.requests import expectation
from policies.lifecycle.state import ChangeState, State
from policies.model_signature import check_model_signature
from policies.pack import evidence_path, parse_evidence
from policies.policy import Policy, parse_policy
from policies.roster import Roster, parse_roster
from policies.schema import Step, plain
from policies.watching import judge_watch, parse_watch

T = TypeVar("T")


@dataclass
class Rejudge:
    """Walks the record; what belongs to `change` is judged again from the pack's documents."""

    change: str
    files: Mapping[str, bytes]
    state: State = field(default_factory=State)
    policy: Policy | None = None
    roster: Roster | None = None
    """The one in force."""
    kpis: frozenset[str] = frozenset()
    """Metrics that the change's KPI file yields."""
    signed: bool = False
    """Whether the registered model's signature was checked."""
    verdicts: int = 0
    decisions: int = 0
    documents: set[str] = field(default_factory=set)

    def follow(self, entry: Entry) -> None:
        """Check one more entry. Raises VerificationError naming it."""
        after = advance(self.state, entry)
        if entry.change == self.change:
            self._check(entry)
        self.state = after

    def _check(self, entry: Entry) -> None:
        body = entry.body
        for name in body.documents:
            self._document(entry, name)
        if isinstance(body, ChangeOpened):
            self.policy = self._read(entry, body.policy, "policy", parse_policy)
            self.kpis = self._read(entry, body.kpis, "KPI file", metrics_of)
            self.roster = self._read(entry, body.roster, "roster", parse_roster)
            return
        if isinstance(body, AliasBody):
            self._check_move(entry, body)
            return
        if isinstance(body, MonitorChecked):
            self._check_watch(entry, body)
            return
        change, policy = self.state.change, self.policy
        if change is None or change.id != self.change or policy is None or self.roster is None:
            return
        try:
            check_lawful(self.state, entry, policy, self.roster)
        except PolicyError as error:
            raise VerificationError(str(error), entry.sequence) from None
        if isinstance(body, CandidateJudged):
            attempt = change.steps[-1].attempts[-1]
            measured = attempt.measured.measurements if attempt.measured else ""
            self._check_evidence(entry, body, change, policy, measured)
        elif isinstance(body, HoldoutConfirmed):
            self._check_evidence(entry, body, change, policy, body.measurements)
        elif isinstance(body, DecisionRecorded):
            self._check_decision(entry, body, change, policy, self.roster)
        elif isinstance(body, ModelRegistered) and body.signature is not None:
            self._check_signature(entry, body.signature, body.model)
        elif isinstance(body, RosterChanged):
            self.roster = self._read(entry, body.roster, "roster", parse_roster)

    def _check_signature(self, entry: Entry, name: str, model: str) -> None:
        try:
            check_model_signature(self._document(entry, name), model)
        except ValueError as error:
            raise VerificationError(
                f"the model's signature does not hold: {error}.", entry.sequence
            ) from None
        self.signed = True

    def _check_evidence(
        self,
        entry: Entry,
        body: CandidateJudged | HoldoutConfirmed,
        change: ChangeState,
        policy: Policy,
        measured: str,
    ) -> None:
        given = self._read(entry, body.evidence, "evidence", parse_evidence)
        for name in given.documents.values():
            self._document(entry, name)
        split = "holdout" if isinstance(body, HoldoutConfirmed) else "validation"
        facts = given.measurements
        if digest(facts) != measured or facts.split != split:
            raise VerificationError("the evidence rests on other measurements.", entry.sequence)
        same_data(entry, facts, change)
        if left_out := self.kpis - {kpi.name for kpi in facts.kpis}:
            raise VerificationError(
                f"the measurements leave out {plain(min(left_out))}, which the KPI file asks for.",
                entry.sequence,
            )
        same_documents(entry, given, change)
        step: Step = "promotion" if isinstance(body, HoldoutConfirmed) else body.step
        try:
            again = make_evidence(change, step, facts, given.documents, policy)
        except LawError as error:
            raise VerificationError(str(error), entry.sequence) from None
        if again.verdicts != body.verdicts or again.passed != body.passed:
            raise VerificationError(
                "its verdicts are not what the policy says of the measurements.", entry.sequence
            )
        same_evidence(entry, given, again)
        self.verdicts += len(again.verdicts)

    def _check_decision(
        self,
        entry: Entry,
        body: DecisionRecorded,
        change: ChangeState,
        policy: Policy,
        roster: Roster,
    ) -> None:
        self.decisions += 1
        if body.envelope is None:
            return
        fits = expectation(change, body.step, policy, roster)
        same_answer(entry, body, record_decision(body.envelope.encode(), fits, now=entry.time))

    def _check_move(self, entry: Entry, body: AliasBody) -> None:
        """An entry about the alias, under the policy and roster that its request named."""
        move = self.state.open_move
        asked = body if isinstance(body, AliasRequested) else move.asked if move else None
        if asked is None:
            return
        policy = self._read(entry, asked.move.policy, "policy", parse_policy)
        roster = self._read(entry, asked.move.roster, "roster", parse_roster)
        try:
            check_move(self.state, entry, body, policy)
        except PolicyError as error:
            raise VerificationError(str(error), entry.sequence) from None
        if not isinstance(body, AliasAnswered) or move is None:
            return
        self.decisions += 1
        if body.envelope is not None:
            fits = move_expectation(self.state, move, policy, roster)
            again = record_answer(body.envelope.encode(), fits, body.number, now=entry.time)
            same_answer(entry, body, again)

    def _check_watch(self, entry: Entry, body: MonitorChecked) -> None:
        """A check of the model in use, under the policy that it was promoted with."""
        facts = self._read(entry, body.facts, "check of the model in use", parse_watch)
        live = self.state.live
        if live is None or self.policy is None:
            return
        about = (live.id, live.model, live.opened.base_model)
        if (facts.change, facts.model, facts.base_model) != about:
            raise VerificationError("the check is of another model.", entry.sequence)
        again = judge_watch(facts, self.policy)
        if again != body.verdicts:
            raise VerificationError(
                "its verdicts are not what the policy says of the measurements.", entry.sequence
            )
        self.verdicts += len(again)

    def _document(self, entry: Entry, name: str) -> bytes:
        content = self.files.get(evidence_path(name))
        if content is None:
            raise VerificationError(f"document {name} is not in the pack.", entry.sequence)
        if name not in self.documents and digest(content) != name:
            raise VerificationError(
                f"document {name} is not the one that was recorded.", entry.sequence
            )
        self.documents.add(name)
        return content

    def _read(self, entry: Entry, name: str, what: str, parse: Callable[[bytes], T]) -> T:
        content = self._document(entry, name)
        try:
            parse_canonical(content)
            return parse(content)
        except (PolicyError, ValidationError, ValueError):
            raise VerificationError(
                f"document {name} is not a {what} of a known form.", entry.sequence
            ) from None
