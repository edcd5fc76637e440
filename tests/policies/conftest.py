"""A small world of the law: keys, people, a policy, and a job that does whatever is next."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies import entries as law
from policies import lifecycle, measurements
from policies.approvals import Decision, record_answer, record_decision, sign_decision
from policies.canonical import canonical_bytes, digest
from policies.keys import public_line
from policies.ledger import Chain, seal
from policies.pack import assemble
from policies.policy import Policy, parse_policy
from policies.roster import Roster, parse_roster

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
POLICY = """
name: test
limits: {max_layers_removed: 3, max_share_removed: null, attempts_per_step: 2}
calibration: {min_records: 10, min_rank_stability: null}
data: {min_records: 10}
kpis:
  default: {min_retention: 0.9, worst_slice: null, max_drop_per_step: null}
approvals:
  step: {quorum: 2, roles: [product, risk], at_least: {risk: 1}, expires_hours: 48}
  promotion: {quorum: 1, roles: [risk], expires_hours: 48}
"""
PEOPLE = {"alice": ["product"], "bob": ["risk"], "carol": ["risk", "product"], "dave": ["audit"]}


def key_of(name: str) -> Ed25519PrivateKey:
    """The same key for the same name, always."""
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


def roster_of(people: Mapping[str, list[str]], **more: Any) -> Roster:
    """A roster whose people have one key each, named like them; `more` adds fields a person."""
    return Roster.model_validate(
        {
            "people": [
                {
                    "name": name,
                    "roles": roles,
                    "keys": [{"key": public_line(key_of(name).public_key())}],
                    **more.get(name, {}),
                }
                for name, roles in people.items()
            ]
        }
    )


def measured(value: float | None, reason: str = "") -> measurements.Measured:
    return measurements.Measured(value=value, reason=reason)


def kpi(**changes: Any) -> measurements.KpiFact:
    """A KPI that passes every gate of the standard policy."""
    values: dict[str, Any] = {
        "name": "sentiment.auc",
        "n": 200,
        "value": 0.8,
        "base_value": 0.81,
        "retention": 0.99,
        "retention_low": 0.97,
        "confidence": 0.95,
        "higher_is_better": True,
        "retention_before": measured(1.0),
    }
    return measurements.KpiFact(**{**values, **changes})


def facts(
    layers: measurements.LayerFacts | None = None, **changes: Any
) -> measurements.Measurements:
    """Measurements that pass the standard policy, for a step that removes one layer of 30."""
    every = tuple(range(30))
    layers = layers or measurements.LayerFacts(
        original_layers=30,
        base_kept=every,
        parent_kept=every,
        kept=tuple(layer for layer in every if layer != 7),
    )
    ratio = measurements.Ratio(value=0.97, high=1.0)
    values: dict[str, Any] = {
        "step": 1,
        "attempt": 1,
        "split": "validation",
        "layers": layers,
        "calibration": measurements.CalibrationFacts(
            records=500, tokens=60_000, rank_stability=measured(0.9)
        ),
        "data": measurements.DataFacts(records=900, passed=True),
        "data_drift": measurements.DriftFacts(against=None),
        "score_drift": measurements.DriftFacts(against=None),
        "output_drift": (
            measurements.OutputDriftFact(
                kpi="sentiment", measure="label_flip_rate", moved=measured(0.05)
            ),
        ),
        "kpis": (kpi(),),
        "resources": measurements.ResourceFacts(
            parameters=measured(0.9),
            bytes_on_disk=measured(0.9),
            kv_bytes_per_token=measured(0.9),
            prefill_seconds=ratio,
            decode_seconds=ratio,
            money_per_month=measured(0.9),
        ),
        "proof": measurements.ProofFact(passed=True, largest_difference=0.0),
    }
    return measurements.Measurements(**{**values, **changes})


@dataclass
class World:
    """One line's record and everything that it names."""

    line: str = "reviews"
    policy: Policy = field(default_factory=lambda: parse_policy(POLICY))
    roster: Roster = field(default_factory=lambda: roster_of(PEOPLE))
    job: str = "job"
    layers: int = 6
    good: Callable[[int, int], bool] = lambda step, attempt: True
    holdout_good: bool = True
    kpis: list[dict[str, Any]] = field(default_factory=list)
    """What the KPI file asks for, as far as the law reads it."""
    data_facts = measurements.DataFacts
    documents: dict[str, bytes] = field(default_factory=dict)
    envelopes: list[bytes] = field(default_factory=list)
    state: lifecycle.State = field(default_factory=lifecycle.State)
    now: datetime = START
    nonces: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    split: str = digest(b"split")
    like: tuple[str, ...] = ()
    """Earlier changes whose data this one's is like."""

    def __post_init__(self) -> None:
        self.signer = key_of(self.job)
        self.chain = Chain(self.line, self.signer.public_key())

    def fork(self) -> "World":
        """The same world once more: what is done in one is not in the other."""
        other = copy(self)
        other.documents, other.envelopes = dict(self.documents), list(self.envelopes)
        other.chain = copy(self.chain)
        other.chain.sealed, other.chain.keys = list(self.chain.sealed), list(self.chain.keys)
        return other

    def put(self, content: object) -> str:
        """Store a document; its digest."""
        data = content if isinstance(content, bytes) else canonical_bytes(content)
        self.documents[digest(data)] = data
        return digest(data)

    def append(
        self, body: law.Body, *, lawful: bool = True, change: str | None = None
    ) -> law.Entry:
        """Seal and store one entry; `lawful=False` writes what the policy does not let follow."""
        open_change = self.state.change.id if self.state.change else None
        entry = self.chain.draft(body, change=change or open_change, time=self.now)
        if lawful:
            lifecycle.check_lawful(self.state, entry, self.policy, self.roster)
        after = lifecycle.advance(self.state, entry)
        envelope = seal(entry, self.signer)
        self.chain.follow(envelope)
        self.state = after
        self.envelopes.append(envelope)
        return entry

    def open(self, requester: str = "erin") -> None:
        """Open the line's next change."""
        opened = law.ChangeOpened(
            requester=requester,
            base_model=digest(b"base"),
            original_layers=self.layers,
            kept_layers=tuple(range(self.layers)),
            policy=self.put(self.policy.document()),
            kpis=self.put({"kpis": self.kpis}),
            roster=self.put(self.roster.document()),
            run=self.put({"run": 1}),
            environment=self.put({"python": "3.11"}),
            **self.start,
        )
        self.append(opened, change=lifecycle.open_action(self.line, self.state).change)

    @property
    def change(self) -> lifecycle.ChangeState:
        assert self.state.change is not None
        return self.state.change

    def perform(self, action: lifecycle.Action) -> None:
        """Do the next action, as a job would whose measurements all pass unless told otherwise."""
        self.now += timedelta(minutes=1)
        self.append(self.body_of(action))

    def body_of(self, action: lifecycle.Action) -> law.Body:
        change, document = self.change, self.put({"at": len(self.envelopes)})
        match action:
            case lifecycle.PinSnapshot():
                splits = law.Splits(
                    calibration=self.split, validation=self.split, holdout=self.split
                )
                return law.SnapshotPinned(manifest=document, records=900, splits=splits)
            case lifecycle.ValidateData():
                return law.DataValidated(passed=True, report=document)
            case lifecycle.CheckDataDrift():
                like = dict.fromkeys(self.like, document)
                return law.DriftChecked(
                    against=None, report=document, passed=True, unchanged_since=like
                )
            case lifecycle.MeasureBase():
                return law.BaseMeasured(report=document)
            case lifecycle.RankLayers():
                protected = self.policy.limits.protected(self.layers)
                barred = lifecycle.barred(self.state, change)
                free = sorted(set(change.kept) - protected - barred)
                return law.LayersRanked(
                    step=action.step,
                    model=change.model,
                    scores=document,
                    shortlist=tuple(free[: self.policy.selection.shortlist]),
                )
            case lifecycle.ProbeShortlist():
                order = tuple(reversed(action.shortlist))
                return law.ShortlistProbed(step=action.step, probe=document, order=order)
            case lifecycle.BuildCandidate():
                return law.CandidateBuilt(
                    step=action.step,
                    attempt=action.attempt,
                    layer=action.layer,
                    parent=change.model,
                    model=digest([change.model, action.layer]),
                    healing="none",
                    build=document,
                )
            case lifecycle.MeasureCandidate():
                found = self.put(self.facts(action.step, action.attempt))
                return law.CandidateMeasured(
                    step=action.step, attempt=action.attempt, measurements=found
                )
            case lifecycle.JudgeCandidate():
                found = self.facts(action.step, action.attempt)
                evidence = self.evidence(action.step, found)
                return law.CandidateJudged(
                    step=action.step,
                    attempt=action.attempt,
                    passed=evidence.passed,
                    evidence=self.put(evidence),
                    verdicts=evidence.verdicts,
                )
            case lifecycle.RequestDecision():
                return lifecycle.request_decision(change, action, self.policy, self.now)
            case lifecycle.EndSteps():
                return law.StepsEnded(reason=action.reason, detail="as the policy says")
            case lifecycle.ConfirmHoldout():
                found = self.facts("promotion", 1)
                evidence = self.evidence("promotion", found)
                return law.HoldoutConfirmed(
                    passed=evidence.passed,
                    measurements=self.put(found),
                    evidence=self.put(evidence),
                    verdicts=evidence.verdicts,
                )
            case lifecycle.RegisterModel():
                return law.ModelRegistered(
                    model=change.model,
                    name=self.line,
                    version=str(self.state.changes),
                    uri=f"s3://avss-work/models/{self.state.changes}",
                )
            case lifecycle.PromoteModel():
                settled = change.promotion.settled if change.promotion else None
                return law.ModelPromoted(
                    model=change.model,
                    version=str(self.state.changes),
                    alias=self.policy.promotion.alias,
                    previous_version=None,
                    deciders=settled.deciders if settled else (),
                )
            case lifecycle.CloseChange():
                return law.ChangeClosed(outcome=action.outcome, reason=action.reason)
            case _:
                raise AssertionError(f"not for a machine: {action}")

    def facts(self, step: int | str, attempt: int) -> measurements.Measurements:
        """What was measured: good or bad as this world has it."""
        whole = step == "promotion"
        good = self.holdout_good if whole else self.good(int(step), attempt)
        earlier = measurements.DriftFacts(
            against="step before",
            checks=(
                measurements.DriftCheckFact(name="rank_change", distance=0.1),
                measurements.DriftCheckFact(name="lowest_change", distance=0.2),
            ),
        )
        low = 0.95 if good else 0.5
        return facts(
            lifecycle.layer_facts(self.change, step),
            step=step,
            attempt=attempt,
            split="holdout" if whole else "validation",
            score_drift=measurements.DriftFacts(against=None) if step == 1 else earlier,
            kpis=(kpi(retention_low=low),),
        )

    def evidence(self, step: int | str, found: measurements.Measurements) -> Any:
        named = {"scores": self.put({"scores of": step})}
        return lifecycle.make_evidence(self.change, step, found, named, self.policy)

    def next(self) -> lifecycle.Action | None:
        return lifecycle.next_action(self.state, self.policy)

    def run(self) -> lifecycle.Action | None:
        """Go on until people are waited for, or the change is over."""
        while (action := self.next()) is not None:
            if isinstance(action, lifecycle.CollectDecisions):
                return action
            self.perform(action)
        return None

    @property
    def waiting_for(self) -> int | str:
        action = self.next()
        assert isinstance(action, lifecycle.CollectDecisions)
        return action.step

    def expectation(self) -> Any:
        return lifecycle.expectation(self.change, self.waiting_for, self.policy, self.roster)

    def decision(
        self, who: str, what: str = "approve", key: str | None = None, **changes: Any
    ) -> bytes:
        """A signed decision on what is asked now; `changes` alter the subject or the decision."""
        return self.signed(self.expectation().subject, who, what, key, **changes)

    def signed(
        self, subject: Any, who: str, what: str, key: str | None = None, **changes: Any
    ) -> bytes:
        self.nonces += 1
        own = {name: changes.pop(name) for name in list(changes) if hasattr(subject, name)}
        values: dict[str, Any] = {
            "subject": subject.model_copy(update=own),
            "decision": what,
            "reason": "I read the dossier",
            "approver": who,
            "time": self.now,
            "expires": self.now + timedelta(hours=24),
            "nonce": f"{self.nonces:032x}",
        }
        return sign_decision(Decision(**{**values, **changes}), key_of(key or who))

    def receive(self, envelope: bytes) -> law.DecisionRecorded:
        """Record an answer and settle the request if it can be."""
        step = self.waiting_for
        body = record_decision(envelope, self.expectation(), now=self.now)
        self.append(body)
        self.settle(step)
        return body

    def settle(self, step: int | str) -> None:
        settled = lifecycle.settle(self.change, step, self.policy, self.roster, self.now)
        if settled is not None:
            self.append(settled)

    def decide(self, who: str, what: str = "approve", **changes: Any) -> law.DecisionRecorded:
        """Somebody answers, a minute later."""
        self.now += timedelta(minutes=1)
        return self.receive(self.decision(who, what, **changes))

    def approve_all(self) -> None:
        """Run the change to its end, everybody agreeing."""
        while isinstance(action := self.run(), lifecycle.CollectDecisions):
            if action.step != "promotion":
                self.decide("alice")
            self.decide("bob")

    def ask_move(
        self, version: str | None = None, requester: str = "erin", *, change: str | None = None
    ) -> law.Entry:
        """Somebody asks for a rollback, or for a version to be put in use."""
        wish = lifecycle.Wish(requester, "it answers rudely", version)
        self.put(self.policy.document())
        roster = self.put(self.roster.document())
        body = lifecycle.request_move(self.state, wish, self.policy, roster, self.now)
        _, concerned = lifecycle.target_of(self.state, wish)
        return self.append(body, change=change or concerned)

    def move_expectation(self) -> Any:
        move = self.state.open_move
        assert move is not None
        return lifecycle.move_expectation(self.state, move, self.policy, self.roster)

    def decide_move(self, who: str, what: str = "approve", **changes: Any) -> law.AliasAnswered:
        """Somebody answers on the move, and it is settled if it can be."""
        self.now += timedelta(minutes=1)
        move = self.state.open_move
        assert move is not None
        expected = self.move_expectation()
        envelope = self.signed(expected.subject, who, what, **changes)
        body = record_answer(envelope, expected, move.asked.number, now=self.now)
        self.append(body, change=move.change)
        self.settle_move()
        return body

    def settle_move(self) -> None:
        settled, move = (
            lifecycle.settle_move(self.state, self.policy, self.now),
            self.state.open_move,
        )
        if settled is not None and move is not None:
            self.append(settled, change=move.change)

    def pack(self, change: str | None = None, **extra: bytes) -> dict[str, bytes]:
        """The evidence pack of a change, by default the last one."""
        changes = [*(one.change for one in self.state.closed), self.state.change]
        wanted = change or next(one.id for one in reversed(changes) if one)
        return assemble(
            self.chain,
            self.envelopes,
            wanted,
            fetch=self.documents.__getitem__,
            signer=self.signer,
            time=self.now,
            extra=extra,
        )


@pytest.fixture(scope="session")
def new_world() -> Callable[..., World]:
    """Makes worlds."""
    return World


@pytest.fixture
def world() -> World:
    """A world in which a change has just been opened."""
    made = World()
    made.open()
    return made


@pytest.fixture(scope="session")
def finished() -> World:
    """A world whose change is promoted: one refused candidate, three approved steps. Read only."""
    made = World(good=lambda step, attempt: (step, attempt) != (2, 1))
    made.open()
    made.approve_all()
    return made


@pytest.fixture(scope="session")
def make_facts() -> Callable[..., measurements.Measurements]:
    return facts


@pytest.fixture(scope="session")
def make_kpi() -> Callable[..., measurements.KpiFact]:
    return kpi


@pytest.fixture(scope="session")
def make_key() -> Callable[[str], Ed25519PrivateKey]:
    return key_of


@pytest.fixture(scope="session")
def make_roster() -> Callable[..., Roster]:
    return roster_of


@pytest.fixture(scope="session")
def read_roster() -> Callable[[str], Roster]:
    return parse_roster
