"""One line's record with everything that it names, and the people who decide on it."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from policies import entries as law
from policies import lifecycle
from policies.approvals import Decision, record_answer, record_decision, sign_decision
from policies.canonical import canonical_bytes, digest
from policies.ledger import Chain, seal
from policies.pack import assemble
from policies.policy import Policy, parse_policy
from policies.roster import Roster
from tests.policies.job import body_of
from tests.policies.samples import PEOPLE, POLICY, START, key_of, roster_of


@dataclass
class World:
    """One line's record and everything that it names."""

    line: str = "reviews"
    policy: Policy = field(default_factory=lambda: parse_policy(POLICY))
    roster: Roster = field(default_factory=lambda: roster_of(PEOPLE))
    job: str = "job"
    layers: int = 6
    base: str = digest(b"base")
    """The base model of the next change."""
    good: Callable[[int, int], bool] = lambda step, attempt: True
    holdout_good: bool = True
    kpis: list[dict[str, Any]] = field(default_factory=list)
    """What the KPI file asks for, as far as the law reads it."""
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
            base_model=self.base,
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
        self.append(body_of(self, action))

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
