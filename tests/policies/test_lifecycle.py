"""The life of a change: what is next, and how it can end."""

from dataclasses import replace
from datetime import timedelta

import pytest

from policies import entries as law
from policies import lifecycle
from policies.approvals import record_decision
from policies.canonical import digest
from policies.errors import UnlawfulTransitionError
from policies.policy import Policy, parse_policy
from tests.policies.job import body_of

OVERRIDE = """
name: lenient
limits: {max_layers_removed: 1, max_share_removed: null, attempts_per_step: 2}
calibration: {min_records: 10, min_rank_stability: null}
data: {min_records: 10}
kpis: {default: {min_retention: 0.9, worst_slice: null}}
approvals:
  step: {roles: [product]}
  promotion: {roles: [product]}
  override: {roles: [risk], quorum: 2, rules: [kpi_retention], expires_hours: 5}
"""


def closed(world):
    assert world.run() is None
    return world.state.closed[-1]


def test_a_change_lives_through_all_stages(finished):
    kinds = [sealed.entry.type for sealed in finished.chain.sealed]
    assert kinds[:5] == [
        "change.opened",
        "snapshot.pinned",
        "data.validated",
        "drift.checked",
        "base.measured",
    ]
    assert kinds.count("step.approved") == 4  # three steps and the promotion
    assert kinds[-2:] == ["model.promoted", "change.closed"]
    over = finished.state.closed[0]
    assert over.outcome == "promoted"
    assert len(over.change.kept) == finished.layers - 3
    assert [len(step.attempts) for step in over.change.steps] == [1, 2, 1]
    assert finished.state.promoted is over


def test_folding_the_record_gives_the_same_state(finished):
    entries = [sealed.entry for sealed in finished.chain.sealed]
    assert lifecycle.fold(entries) == finished.state


def test_nothing_is_next_where_no_change_is_open(finished, world):
    assert finished.next() is None
    assert lifecycle.open_action("reviews", finished.state).change == "reviews-0002"
    assert isinstance(world.next(), lifecycle.PinSnapshot)


@pytest.mark.parametrize("stage", range(1, 40))
def test_whoever_resumes_at_any_point_goes_on_where_it_was(finished, stage):
    entries = [sealed.entry for sealed in finished.chain.sealed]
    state = lifecycle.fold(entries[:stage])
    for entry in entries[stage:]:
        lifecycle.check_lawful(state, entry, finished.policy, finished.roster)
        state = lifecycle.advance(state, entry)
    assert state == finished.state


def test_a_rejected_first_step_ends_the_change(world):
    world.run()
    assert world.decide("carol", "reject").valid
    over = closed(world)
    assert over.outcome == "rejected"
    assert over.change.model == over.change.opened.base_model


def test_a_later_rejection_keeps_what_was_approved(world):
    world.run()
    world.decide("alice")
    world.decide("bob")
    world.run()
    world.decide("bob", "reject")
    assert isinstance(world.run(), lifecycle.CollectDecisions)
    assert world.waiting_for == "promotion"
    assert world.change.ended.reason == "rejected"
    assert len(world.change.kept) == world.layers - 1


def test_silence_expires(world):
    world.run()
    world.decide("alice")
    world.now += timedelta(hours=47)
    world.settle(1)
    assert world.waiting_for == 1
    world.now += timedelta(hours=1)
    world.settle(1)
    assert closed(world).outcome == "expired"


def test_when_nothing_passes_the_change_is_refused(new_world):
    world = new_world(good=lambda step, attempt: False)
    world.open()
    over = closed(world)
    assert (over.outcome, over.change.ended.reason) == ("refused", "nothing_passes")
    assert len(over.change.steps[0].attempts) == 2


def test_a_holdout_that_does_not_confirm_refuses_the_whole(new_world):
    world = new_world(holdout_good=False)
    world.open()
    world.approve_all()
    over = world.state.closed[0]
    assert over.outcome == "refused"
    assert over.change.registered is None


def test_a_rejected_promotion(world):
    while world.run().step != "promotion":
        world.decide("alice")
        world.decide("bob")
    world.decide("bob", "reject")
    over = closed(world)
    assert over.outcome == "rejected"
    assert over.change.promoted is None


def test_broken_data_ends_the_change(world):
    world.perform(world.next())
    report = world.put({"broken": True})
    world.append(law.DataValidated(passed=False, report=report, failures=("text is empty",)))
    assert closed(world).outcome == "invalid_data"


def test_drift_ends_the_change_or_is_told(new_world):
    for conduct, outcome in (("refuse", "invalid_data"), ("tell", None)):
        policy = parse_policy(f"name: x\ndrift: {{data: {{on_alarm: {conduct}}}}}\n")
        world = new_world(policy=policy)
        world.open()
        world.perform(world.next())
        world.perform(world.next())
        drifted = law.DriftChecked(
            against=digest(b"before"), report=world.put({}), passed=False, alarms=("label",)
        )
        world.append(drifted)
        action = world.next()
        assert getattr(action, "outcome", None) == outcome


def test_at_the_limit_there_is_nothing_to_do(new_world):
    world = new_world(policy=parse_policy("name: x\nlimits: {max_share_removed: 0.1}"))
    world.open()
    assert closed(world).outcome == "nothing_to_do"


def test_a_second_change_of_the_line(new_world):
    world = new_world()
    for number in (1, 2):
        world.open()
        assert world.change.id == f"reviews-000{number}"
        world.approve_all()
    assert world.state.changes == 2
    assert world.state.find("reviews-0001").promoted


def test_people_may_override_where_the_policy_says_so(new_world):
    world = new_world(
        policy=parse_policy(OVERRIDE), good=lambda step, attempt: False, holdout_good=False
    )
    world.open()
    assert world.run() == lifecycle.CollectDecisions(1)
    request = world.change.steps[0].request
    assert request.asked.override
    assert request.asked.candidate == world.change.steps[0].attempts[0].built.model
    assert request.asked.expires - request.asked_at == timedelta(hours=5)
    assert world.decide("alice").fault == "wrong_role"
    assert world.decide("bob", override=False).fault == "wrong_override"
    world.decide("bob")
    world.decide("carol")
    assert "overridden by bob, carol" in world.change.steps[0].request.settled.reason
    assert world.run() == lifecycle.CollectDecisions("promotion")
    assert world.change.promotion.asked.override


def test_nobody_is_asked_where_another_rule_failed_too(new_world):
    text = OVERRIDE.replace("rules: [kpi_retention]", "rules: [latency]")
    world = new_world(policy=parse_policy(text), good=lambda step, attempt: False)
    world.open()
    assert closed(world).outcome == "refused"


def test_late_answers_are_recorded_and_do_not_count(world):
    world.run()
    late = world.decision("carol", "reject")
    expected = world.expectation()
    world.decide("alice")
    world.decide("bob")
    body = record_decision(late, replace(expected, over=True), now=world.now)
    assert body.fault == "late"
    world.append(body)
    assert world.change.steps[0].approved


def test_an_aborted_change_lets_the_next_one_begin(world):
    world.append(law.ChangeClosed(outcome="aborted", reason="asked for by hand"))
    assert world.state.change is None
    world.open()
    assert world.change.id == "reviews-0002"


def test_faults_resumes_and_rosters_are_remembered(world, make_roster):
    world.append(law.FaultRecorded(stage="PinSnapshot", error="StorageError", message="no route"))
    world.append(law.RunResumed(at="PinSnapshot", environment=world.put({})))
    roster = make_roster({"bob": ["risk"]})
    changed = law.RosterChanged(roster=world.put(roster.document()), previous=world.change.roster)
    world.append(changed)
    assert (world.change.faults, world.change.resumes) == (1, 1)
    assert world.change.roster == roster.digest
    with pytest.raises(UnlawfulTransitionError, match="another roster"):
        world.append(changed)


def each_way(attempts: int = 2, **changes: object) -> Policy:
    limits = {"max_share_removed": 0.25, "attempts_per_step": attempts}
    healing = {"gated": "each", "methods": ["distilled", "none", "closed_form"], **changes}
    return Policy.model_validate({"name": "each", "limits": limits, "healing": healing})


def tried(world) -> list[tuple[int, tuple[str, ...]]]:
    """The first step's candidates: the layer, and the ways of healing it was built with."""
    entries = [sealed.entry for sealed in world.chain.sealed]
    actions = [
        lifecycle.next_action(lifecycle.fold(entries[:at]), world.policy)
        for at, entry in enumerate(entries)
        if entry.type == "candidate.built" and entry.body.step == 1
    ]
    return [(action.layer, action.methods) for action in actions]


WAYS = [("distilled", "none", "closed_form"), ("none", "closed_form"), ("none",)]


def test_a_refused_way_of_healing_is_followed_by_those_before_it_on_the_same_layer(new_world):
    world = new_world(policy=each_way(), good=lambda step, attempt: attempt == 3)
    world.open()
    world.run()
    layer = world.change.steps[0].probed.order[0]
    assert tried(world) == [(layer, ways) for ways in WAYS]
    assert [one.built.healing for one in world.change.steps[0].attempts] == [
        "distilled",
        "closed_form",
        "none",
    ]
    assert isinstance(world.next(), lifecycle.CollectDecisions)


def test_only_after_all_ways_of_healing_is_the_next_layer_tried(new_world):
    world = new_world(policy=each_way(), good=lambda step, attempt: False)
    world.open()
    over = closed(world)
    first, second = over.change.steps[0].probed.order[:2]
    assert tried(world) == [(layer, ways) for layer in (first, second) for ways in WAYS]
    assert (over.outcome, over.change.ended.reason) == ("refused", "nothing_passes")


def test_ways_that_the_policy_does_not_name_are_not_tried(new_world):
    policy = each_way(attempts=1, methods=["closed_form"])
    world = new_world(policy=policy, good=lambda step, attempt: False)
    world.open()
    assert closed(world).outcome == "refused"
    assert [ways for _, ways in tried(world)] == [("closed_form",)]


def test_the_refused_way_again_is_unlawful(new_world):
    world = new_world(policy=each_way(), good=lambda step, attempt: False)
    world.open()
    while not (isinstance(world.next(), lifecycle.BuildCandidate) and world.next().attempt == 2):
        world.perform(world.next())
    again = body_of(world, replace(world.next(), methods=("distilled",)))
    with pytest.raises(UnlawfulTransitionError, match="not what the policy lets follow"):
        world.append(again)
    world.append(body_of(world, world.next()))
