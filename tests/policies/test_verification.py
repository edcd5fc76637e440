"""Verifying an evidence pack: what holds, and every attack on it that needs no store."""

from datetime import timedelta

import pytest

from policies import entries as law
from policies import lifecycle
from policies.approvals import record_decision
from policies.canonical import canonical_bytes, digest
from policies.checkpoints import Checkpoint
from policies.errors import PolicyError, VerificationError
from policies.keys import fingerprint, public_line
from policies.pack import CHECKPOINT, JOB_KEY, MANIFEST, evidence_path, ledger_path
from policies.policy import parse_policy
from policies.verification import verify_folder, verify_pack


@pytest.fixture(scope="module")
def pack(finished):
    return finished.pack(**{"dossier.html": b"<h1>Step 1</h1>"})


def checkpoint(world, size):
    digests = [sealed.digest for sealed in world.chain.sealed[:size]]
    return Checkpoint.over(world.line, digests).sign(world.signer)


def test_a_whole_change_verifies(finished, pack):
    seen = []
    report = verify_pack(pack, progress=lambda *of: seen.append(of))
    assert seen == [(at + 1, report.entries) for at in range(report.entries)]
    assert (report.line, report.change, report.outcome) == ("reviews", "reviews-0001", "promoted")
    assert report.entries == len(finished.envelopes)
    assert report.job_key == fingerprint(finished.signer.public_key())
    assert any("71 verdicts" in sentence for sentence in report.checked)
    assert any("7 recorded decisions" in sentence for sentence in report.checked)
    assert report.notices == ()
    assert canonical_bytes(report.to_json())


def test_it_says_what_was_not_established(finished, pack):
    bare = verify_pack(pack).not_established
    assert any(sentence.startswith("Whose key signed") for sentence in bare)
    assert any("cut off after the last entry" in sentence for sentence in bare)
    full = verify_pack(
        pack,
        job_key=fingerprint(finished.signer.public_key()),
        earlier=checkpoint(finished, 20),
    ).not_established
    assert set(full) < set(bare)
    assert len(full) == len(bare) - 2


def test_an_open_change_verifies_too(world):
    assert verify_pack(world.pack()).outcome == "open"
    world.run()
    world.decide("alice")
    assert verify_pack(world.pack()).outcome == "open"


def test_it_works_on_a_folder(pack, tmp_path):
    for path, content in pack.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert verify_folder(tmp_path).outcome == "promoted"
    (tmp_path / "link").symlink_to(tmp_path / "checkpoint")
    with pytest.raises(VerificationError, match="link is a link"):
        verify_folder(tmp_path)
    with pytest.raises(PolicyError, match="not a folder"):
        verify_folder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(VerificationError, match=r"no manifest\.json"):
        verify_folder(tmp_path / "empty")


def test_every_file_is_needed_and_none_may_be_added(pack):
    for path in pack:
        with pytest.raises(VerificationError, match=r"missing|no manifest"):
            verify_pack({name: content for name, content in pack.items() if name != path})
    with pytest.raises(VerificationError, match=r"evidence/new was added"):
        verify_pack({**pack, "evidence/new": b"x"})


def test_a_pinned_key_must_be_the_one_that_signed(finished, pack, make_key):
    key = finished.signer.public_key()
    assert verify_pack(pack, job_key=fingerprint(key))
    assert verify_pack(pack, job_key=f"{public_line(key)} job@host\n")
    with pytest.raises(VerificationError, match="not by the one you expect"):
        verify_pack(pack, job_key=fingerprint(make_key("other").public_key()))


def test_a_pack_made_by_somebody_else_needs_the_pinned_key_to_be_found(finished, new_world):
    forged = new_world(job="mallory")
    forged.open()
    forged.approve_all()
    assert verify_pack(forged.pack())
    with pytest.raises(VerificationError, match="not by the one you expect"):
        verify_pack(forged.pack(), job_key=fingerprint(finished.signer.public_key()))


def test_a_record_cut_short_with_the_right_key_does_not_fit_an_earlier_checkpoint(
    finished, new_world
):
    kept = checkpoint(finished, len(finished.envelopes))
    short = new_world(good=finished.good)
    short.open()
    short.run()
    assert short.envelopes == finished.envelopes[: len(short.envelopes)]
    assert verify_pack(short.pack())
    with pytest.raises(VerificationError, match="entries were cut off"):
        verify_pack(short.pack(), earlier=kept)


def test_a_record_rewritten_with_the_right_key_does_not_fit_an_earlier_checkpoint(
    finished, new_world
):
    """The job's own key signs another history; only what was kept elsewhere shows it."""
    rewritten = new_world()
    rewritten.open()
    rewritten.approve_all()
    rewritten.open()
    rewritten.approve_all()
    assert len(rewritten.envelopes) > len(finished.envelopes)
    assert verify_pack(rewritten.pack())
    with pytest.raises(VerificationError, match="rewritten, though its signatures hold"):
        verify_pack(rewritten.pack(), earlier=checkpoint(finished, 40))


def test_a_checkpoint_that_the_job_did_not_sign_says_nothing(finished, pack, make_key):
    digests = [sealed.digest for sealed in finished.chain.sealed]
    forged = Checkpoint.over("reviews", digests).sign(make_key("mallory"))
    with pytest.raises(VerificationError, match="no signature of the expected key"):
        verify_pack(pack, earlier=forged)


def test_a_replaced_job_key_is_followed_and_told(world, make_key):
    old = world.signer
    world.append(
        law.JobKeyChanged(public_key=public_line(make_key("second").public_key()), reason="yearly")
    )
    earlier = checkpoint(world, 2)
    world.signer = make_key("second")
    world.approve_all()
    report = verify_pack(world.pack(), job_key=fingerprint(old.public_key()), earlier=earlier)
    assert report.outcome == "promoted"
    assert "Entry 1: the job's key was replaced (yearly)." in report.notices


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
    honest = world.body_of(world.next())
    kindly = tuple(one.model_copy(update={"passed": True}) for one in honest.verdicts)
    lie = honest.model_copy(update={"passed": True, "verdicts": kindly})
    assert "verdicts are not what the policy says" in sabotage(world, lie)


def test_evidence_of_another_measurement(world):
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    honest = world.body_of(world.next())
    evidence = world.evidence(1, world.facts(1, 1))
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
    honest = world.body_of(world.next())
    evidence = world.evidence(1, world.facts(1, 1)).model_copy(update={field: value})
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


def test_the_parts_of_a_pack_are_where_they_should_be(finished, pack):
    assert pack[ledger_path(3)] == finished.envelopes[3]
    policy = finished.state.closed[0].change.opened.policy
    assert pack[evidence_path(policy)] == finished.policy.document()
    assert {MANIFEST, JOB_KEY, CHECKPOINT, "extra/dossier.html"} < set(pack)
