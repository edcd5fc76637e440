"""Random lives of changes: whatever people, data and crashes do, no unlawful state is reached."""

from datetime import timedelta

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from policies import entries as law
from policies import lifecycle
from policies.approvals import tally
from policies.errors import LawError, UnlawfulTransitionError
from policies.verification import verify_pack

PEOPLE = ("alice", "bob", "carol", "dave", "erin", "mallory")


class Lives(RuleBasedStateMachine):
    """A line whose measurements, people and failures are chosen by the test."""

    new_world = None

    @initialize(requester=st.sampled_from(PEOPLE))
    def begin(self, requester):
        self.good, self.measured = True, {}
        self.world = type(self).new_world(good=self.is_good)
        self.world.open(requester)

    def is_good(self, step, attempt):
        """What was measured once stays so when it is judged."""
        place = (self.world.change.id, step, attempt)
        return self.measured.setdefault(place, self.good)

    def waiting(self):
        return isinstance(self.world.next(), lifecycle.CollectDecisions)

    def open(self):
        return self.world.state.change is not None

    @precondition(lambda self: self.open() and not self.waiting())
    @rule(goods=st.lists(st.sampled_from([True, True, True, False]), min_size=1, max_size=12))
    def work(self, goods):
        """Some actions in a row; each says whether what it measures is good."""
        for good in goods:
            if self.open() and not self.waiting():
                self.good = self.world.holdout_good = good
                self.world.perform(self.world.next())

    @precondition(lambda self: self.open() and self.waiting())
    @rule(
        who=st.sampled_from(PEOPLE),
        what=st.sampled_from(["approve", "approve", "approve", "reject", "withdraw"]),
        lie=st.sampled_from([{}, {}, {}, {"step": 9}, {"key": "mallory"}, {"line": "other"}]),
        wait=st.integers(0, 30),
    )
    def answer(self, who, what, lie, wait):
        self.world.now += timedelta(hours=wait)
        self.world.decide(who, what, **lie)

    @precondition(lambda self: self.open() and self.waiting())
    @rule()
    def agree(self):
        """Everybody who may says yes, so that lives get long."""
        step = self.world.waiting_for
        for who in ("alice", "bob", "carol"):
            if self.waiting() and self.world.waiting_for == step:
                self.world.decide(who)

    @precondition(lambda self: self.world.state.open_move is None and self.world.state.previous)
    @rule(version=st.sampled_from([None, None, "1", "2"]), requester=st.sampled_from(PEOPLE))
    def ask_move(self, version, requester):
        """At any time, also while the next change goes on."""
        before = self.world.state
        try:
            self.world.ask_move(version, requester)
        except LawError:
            assert self.world.state == before

    @precondition(lambda self: self.world.state.open_move is not None)
    @rule(
        who=st.sampled_from(PEOPLE),
        what=st.sampled_from(["approve", "approve", "reject", "withdraw"]),
        lie=st.sampled_from([{}, {}, {"step": "promotion"}, {"key": "mallory"}]),
        cheat=st.booleans(),
    )
    def answer_move(self, who, what, lie, cheat):
        state = self.world.state
        if cheat:
            asked = state.open_move.asked
            lied = law.AliasMoved(
                number=asked.number,
                alias="champion",
                version=asked.move.version,
                model=asked.move.model,
                previous_version=None,
                deciders=("bob",),
                reason="x",
            )
            with pytest.raises(UnlawfulTransitionError):
                self.world.append(lied, change=state.open_move.change)
            assert self.world.state == state
        self.world.decide_move(who, what, **lie)

    @precondition(lambda self: self.open())
    @rule()
    def crash(self):
        entries = [sealed.entry for sealed in self.world.chain.sealed]
        self.world.state = lifecycle.fold(entries)

    @precondition(lambda self: self.open())
    @rule(kind=st.sampled_from(["end", "close", "register", "promote", "approve"]))
    def cheat(self, kind):
        """What a dishonest job would write: refused unless it happens to be what is due."""
        change, due = self.world.change, self.world.next()
        request = change.steps[-1].request if change.steps else None
        bodies = {
            "end": law.StepsEnded(reason="limit", detail="x"),
            "close": law.ChangeClosed(outcome="promoted", reason="x"),
            "register": law.ModelRegistered(model=change.model, name="x", version="1", uri="x"),
            "promote": law.ModelPromoted(
                model=change.model,
                version="1",
                alias="champion",
                previous_version=None,
                deciders=(),
            ),
            "approve": law.StepApproved(
                step=len(change.steps) or 1,
                evidence=request.asked.evidence if request else change.opened.policy,
                deciders=("mallory",),
                reason="x",
            ),
        }
        before = self.world.state
        try:
            self.world.append(bodies[kind])
        except UnlawfulTransitionError:
            assert self.world.state == before
        else:
            assert isinstance(
                due, lifecycle.EndSteps | lifecycle.RegisterModel | lifecycle.CloseChange
            )

    @precondition(lambda self: not self.open())
    @rule(requester=st.sampled_from(PEOPLE))
    def another(self, requester):
        self.world.open(requester)

    @invariant()
    def lawful(self):
        for over in self.world.state.closed:
            if over.change.promoted:
                self.check_promoted(over.change)
        for move in self.world.state.moves:
            if isinstance(move.over, law.AliasMoved):
                gate = self.world.policy.move_gate(move.asked.move.action)
                self.check_counted(move.decisions, gate, move.asked.move.requester, 1)
        for change in self.changes():
            limits = self.world.policy.limits
            assert change.original_layers - len(change.kept) <= limits.max_layers_removed
            assert limits.protected(change.original_layers) <= set(change.kept)
            for step in change.approved_steps:
                assert step.chosen.judged.passed
                self.check_people(change, step.request, quorum=2)

    def changes(self):
        state = self.world.state
        return [*(one.change for one in state.closed), *([state.change] if state.change else [])]

    def check_promoted(self, change):
        assert change.holdout.passed
        assert change.approved_steps
        assert change.promoted.model == change.registered.model == change.model
        self.check_people(change, change.promotion, quorum=1)

    def check_people(self, change, request, quorum):
        gate = self.world.policy.approval_gate(request.asked.step)
        self.check_counted(request.decisions, gate, change.opened.requester, quorum)

    def check_counted(self, decisions, gate, requester, quorum):
        counted = tally(decisions, gate)
        assert counted.outcome == "approved"
        assert len(set(counted.deciders)) >= quorum
        assert requester not in counted.deciders
        assert {"dave", "erin", "mallory"}.isdisjoint(counted.deciders)

    def teardown(self):
        if hasattr(self, "world"):
            report = verify_pack(self.world.pack())
            event(f"ended {report.outcome}")


def test_no_life_of_a_change_is_unlawful(new_world):
    Lives.new_world = staticmethod(new_world)
    run_state_machine_as_test(Lives, settings=settings(max_examples=60, stateful_step_count=60))
