"""Packs whose record the job itself signed although the law does not let it follow."""

from datetime import timedelta

import pytest

from policies import entries as law
from policies import lifecycle
from policies.approvals import record_decision
from policies.canonical import digest
from policies.errors import VerificationError
from policies.policy import parse_policy
from policies.verification import verify_pack
from tests.policies.job import body_of, evidence_of, found_in


def sabotage(world, body):
    """Write with the job's own key what the law does not let follow."""
    world.append(body, lawful=False)
    with pytest.raises(VerificationError) as caught:
        verify_pack(world.pack())
    assert caught.value.sequence == len(world.envelopes) - 1
    assert caught.value.exit_code == 5
    return str(caught.value)


def test_a_step_without_its_quorum(world):
    world.run()
    world.decide("alice")
    asked = world.change.steps[0].request.asked
    lie = law.StepApproved(step=1, evidence=asked.evidence, deciders=("alice", "bob"), reason="x")
    assert "step.approved is not what the policy lets follow" in sabotage(world, lie)


def test_a_candidate_registered_after_a_rejection(world):
    world.run()
    world.decide("bob", "reject")
    asked = world.change.steps[0].request.asked
    with pytest.raises(VerificationError, match="nothing was confirmed"):
        world.append(
            law.ModelRegistered(model=asked.candidate, name="x", version="1", uri="x"),
            lawful=False,
        )


def test_verdicts_that_do_not_follow_from_the_measurements(new_world):
    world = new_world(good=lambda step, attempt: False)
    world.open()
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    honest = body_of(world, world.next())
    kindly = tuple(one.model_copy(update={"passed": True}) for one in honest.verdicts)
    lie = honest.model_copy(update={"passed": True, "verdicts": kindly})
    assert "verdicts are not what the policy says" in sabotage(world, lie)


def test_evidence_of_another_measurement(world):
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    honest = body_of(world, world.next())
    evidence = evidence_of(world, 1, found_in(world, 1, 1))
    better = evidence.measurements.model_copy(update={"output_drift": ()})
    forged = evidence.model_copy(update={"measurements": better})
    lie = honest.model_copy(update={"evidence": world.put(forged)})
    assert "rests on other measurements" in sabotage(world, lie)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("candidate_model", digest(b"other")),
        ("parent_model", digest(b"other")),
        ("policy", digest(b"other")),
        ("proposed_layer", 3),
        ("change", "reviews-0002"),
        ("line", "letters"),
    ],
)
def test_evidence_that_says_otherwise_than_the_record(world, field, value):
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    honest = body_of(world, world.next())
    evidence = evidence_of(world, 1, found_in(world, 1, 1)).model_copy(update={field: value})
    lie = honest.model_copy(update={"evidence": world.put(evidence)})
    assert f"otherwise than the record about {field}" in sabotage(world, lie)


def test_a_document_that_is_not_what_it_is_called(world):
    world.run()
    scores = world.change.steps[0].ranked.scores
    world.documents[scores] = b"other scores"
    with pytest.raises(VerificationError, match=f"document {scores} is not the one"):
        verify_pack(world.pack())


def test_a_policy_that_is_none(world, new_world):
    other = new_world()
    other.policy = world.policy
    other.append(
        world.change.opened.model_copy(update={"policy": other.put(b"hello")}),
        change="reviews-0001",
    )
    other.documents |= world.documents
    with pytest.raises(VerificationError, match="is not a policy of a known form"):
        verify_pack(other.pack())


def replayed(world, envelope):
    """The record says that a replayed decision counts."""
    genuine = record_decision(world.decision("bob"), world.expectation(), now=world.now)
    return genuine.model_copy(
        update={"envelope": envelope.decode(), "envelope_digest": digest(envelope)}
    )


def test_a_decision_replayed_on_another_step(world):
    world.run()
    world.decide("alice")
    old = world.decision("bob")
    world.receive(old)
    world.run()
    assert record_decision(old, world.expectation(), now=world.now).fault == "wrong_step"
    assert "checking it again finds: wrong_step" in sabotage(world, replayed(world, old))


def test_a_decision_replayed_on_another_change_or_line(world, new_world):
    for other, fault in (
        (new_world(line="letters"), "wrong_line"),
        (new_world(), "wrong_change"),
    ):
        other.open()
        if other.line == "reviews":
            other.append(law.ChangeClosed(outcome="aborted", reason="by hand"))
            other.open()
        other.run()
        mine = new_world()
        mine.open()
        mine.run()
        stolen = other.decision("bob", time=mine.now)
        assert record_decision(stolen, mine.expectation(), now=mine.now).fault == fault
        assert f"again finds: {fault}" in sabotage(mine, replayed(mine, stolen))


@pytest.mark.parametrize(
    ("who", "changes", "fault"),
    [
        ("dave", {}, "wrong_role"),
        ("bob", {"key": "mallory"}, "unknown_key"),
        ("bob", {"evidence": digest(b"other")}, "wrong_evidence"),
        ("bob", {"candidate": digest(b"other")}, "wrong_candidate"),
        ("bob", {"policy": digest(b"other")}, "wrong_policy"),
    ],
)
def test_a_decision_that_does_not_count_recorded_as_if_it_did(world, who, changes, fault):
    world.run()
    lie = replayed(world, world.decision(who, **changes))
    assert f"recorded as valid, but checking it again finds: {fault}" in sabotage(world, lie)


def test_self_approval_recorded_as_if_it_counted(new_world):
    world = new_world()
    world.open(requester="Bob")
    world.run()
    assert world.decide("bob").fault == "self_approval"
    genuine = record_decision(world.decision("carol"), world.expectation(), now=world.now)
    envelope = world.decision("bob")
    lie = genuine.model_copy(
        update={"envelope": envelope.decode(), "envelope_digest": digest(envelope)}
    )
    assert "self_approval" in sabotage(world, lie)


def test_a_good_rejection_recorded_as_if_it_did_not_count(world):
    world.run()
    honest = record_decision(world.decision("bob", "reject"), world.expectation(), now=world.now)
    lie = law.DecisionRecorded(
        step=1,
        envelope_digest=honest.envelope_digest,
        envelope=honest.envelope,
        valid=False,
        fault="wrong_role",
    )
    assert "recorded as wrong_role, but checking it again finds: valid" in sabotage(world, lie)


def test_an_answer_to_what_nobody_asked(world):
    with pytest.raises(VerificationError, match="nobody was asked about this"):
        world.append(
            law.DecisionRecorded(
                step=1, envelope_digest=digest(b"x"), envelope=None, valid=False, fault="unreadable"
            )
        )


def test_a_late_decision_recorded_as_if_in_time(world):
    world.run()
    early = replayed(world, world.decision("bob"))
    world.now += timedelta(hours=48)
    assert "checking it again finds: " in sabotage(world, early)


def test_a_revoked_key_counts_before_and_not_after(world, make_roster):
    """The roster is replaced between two steps; the earlier decision still stands."""
    world.run()
    world.decide("alice")
    world.decide("bob")
    world.run()
    content = world.roster.model_dump(mode="json")
    for person in content["people"]:
        if person["name"] == "bob":
            person["keys"][0]["revoked"] = world.now.isoformat()
    world.roster = type(world.roster).model_validate(content)
    world.append(
        law.RosterChanged(roster=world.put(world.roster.document()), previous=world.change.roster)
    )
    assert world.decide("bob").fault == "revoked_key"
    report = verify_pack(world.pack())
    assert any("roster of approvers was replaced" in sentence for sentence in report.notices)
    assert any("did not count (revoked_key)" in sentence for sentence in report.notices)


def test_an_override_is_loud(new_world):
    text = (
        "name: lenient\ndata: {min_records: 10}\nlimits: {max_layers_removed: 1}\n"
        "approvals: {override: {roles: [risk], rules: [kpi_retention]}}\n"
    )
    world = new_world(
        policy=parse_policy(text), layers=8, good=lambda step, attempt: False, holdout_good=False
    )
    world.open()
    world.run()
    world.decide("bob", reason="the loss is on text that we no longer serve")
    report = verify_pack(world.pack())
    (told,) = [sentence for sentence in report.notices if sentence.startswith("OVERRIDE")]
    assert "step 1" in told
    assert "bob: the loss is on text that we no longer serve" in told
    assert world.change.steps[0].request.settled.overrides
    assert "approved all the same" in told
