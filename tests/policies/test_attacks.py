"""Packs that are well signed and yet unlawful: an attacker holds the job's key, or the roster."""

import json
from datetime import timedelta

import pytest

from policies import dsse, lifecycle, measurements
from policies import entries as law
from policies.approvals import record_decision
from policies.canonical import canonical_bytes, digest
from policies.errors import PolicyError, UnlawfulTransitionError, VerificationError
from policies.keys import public_line
from policies.pack import MANIFEST, PAYLOAD_TYPE, PackManifest, read_pack
from policies.roster import Roster
from policies.verification import verify_pack
from tests.policies.job import body_of, evidence_of, found_in


def refused(world, body):
    """What a dishonest job writes; the verifier's words about it."""
    world.append(body, lawful=False)
    with pytest.raises(VerificationError) as caught:
        verify_pack(world.pack())
    assert caught.value.sequence == len(world.envelopes) - 1
    return str(caught.value)


def replace_roster(world, change):
    """Another roster is in force from here on; `change` edits its people."""
    content = world.roster.model_dump(mode="json")
    content["people"] = change(content["people"])
    world.roster = Roster.model_validate(content)
    world.append(
        law.RosterChanged(roster=world.put(world.roster.document()), previous=world.change.roster)
    )


def without(name):
    return lambda people: [one for one in people if one["name"] != name]


def edited(who, **fields):
    return lambda people: [{**one, **fields} if one["name"] == who else one for one in people]


def approved_by_old_roster(world):
    """The entry that counts approvals as they were recorded, whatever the roster says now."""
    asked = world.change.request(1).asked
    names = [one.approver for one in world.change.request(1).decisions if one.valid]
    return law.StepApproved(
        step=1,
        evidence=asked.evidence,
        deciders=tuple(names),
        reason=f"approved by {', '.join(names)}",
    )


def test_an_approval_counts_no_more_once_its_person_left_the_roster(world):
    world.run()
    world.decide("alice")
    replace_roster(world, without("alice"))
    world.decide("bob")
    assert world.waiting_for == 1
    assert "not what the policy lets follow" in refused(world, approved_by_old_roster(world))


def test_an_approval_counts_no_more_once_its_key_was_withdrawn(world):
    world.run()
    world.decide("alice")
    key = {"key": world.roster.people[0].keys[0].key, "revoked": world.now.isoformat()}
    replace_roster(world, edited("alice", keys=[key]))
    world.decide("bob")
    assert world.waiting_for == 1
    assert "not what the policy lets follow" in refused(world, approved_by_old_roster(world))


def test_a_person_with_a_new_name_is_not_a_second_voice(world):
    """Carol holds both roles; renamed between two answers, she would be a quorum of her own."""
    world.run()
    world.decide("carol")
    replace_roster(world, edited("carol", name="Caroline"))
    assert world.decide("Caroline", key="carol").valid
    assert world.waiting_for == 1
    assert "not what the policy lets follow" in refused(world, approved_by_old_roster(world))


def test_one_who_keeps_the_old_name_as_another_counts_once_under_the_new_one(world):
    world.run()
    world.decide("carol")
    replace_roster(world, edited("carol", name="Caroline", also_known_as=["carol"]))
    world.decide("Caroline", key="carol")
    assert world.waiting_for == 1
    world.decide("alice")
    assert world.change.request(1).settled.deciders == ("Caroline", "alice")


def test_a_rejection_stands_whatever_becomes_of_the_roster(world):
    world.run()
    body = record_decision(world.decision("bob", "reject"), world.expectation(), now=world.now)
    world.append(body)
    replace_roster(world, without("bob"))
    world.settle(1)
    assert isinstance(world.change.request(1).settled, law.StepRejected)


def test_somebody_removed_from_the_roster_decides_no_more(world):
    world.run()
    replace_roster(world, without("bob"))
    assert world.decide("bob").fault == "unknown_key"
    assert verify_pack(world.pack()).outcome == "open"


def test_an_approval_that_was_held_back_does_not_undo_a_withdrawal(world):
    """Whoever may write to the box of answers could keep an approval until it was taken back."""
    world.run()
    held_back = world.decision("alice")
    world.decide("alice")
    world.decide("alice", "withdraw")
    assert world.receive(held_back).fault == "superseded"
    assert world.decide("alice").valid
    world.decide("bob")
    assert world.change.request(1).settled.deciders == ("alice", "bob")
    assert "Entry 12: alice took an approval back." in verify_pack(world.pack()).notices


@pytest.mark.parametrize("requester", ["Bo\u200bb", "\uff22ob", "bob\u00a0", "BOB\u2060"])
def test_nobody_hides_behind_characters_that_look_alike(new_world, requester):
    world = new_world()
    world.open(requester)
    world.run()
    assert world.decide("bob").fault == "self_approval"


def judged(world, **changes):
    """A judgement of step 1 whose measurements differ from the honest ones."""
    while not isinstance(world.next(), lifecycle.MeasureCandidate):
        world.perform(world.next())
    found = found_in(world, 1, 1).model_copy(update=changes)
    measured = law.CandidateMeasured(step=1, attempt=1, measurements=world.put(found))
    world.append(measured)
    evidence = evidence_of(world, 1, found)
    return law.CandidateJudged(
        step=1,
        attempt=1,
        passed=evidence.passed,
        evidence=world.put(evidence),
        verdicts=evidence.verdicts,
    )


def test_measurements_of_other_data_than_the_snapshot(world):
    other = world_data(world, records=9000)
    assert "other data than the change's" in refused(world, judged(world, data=other))


def test_measurements_that_hide_what_the_contract_said(world):
    other = world_data(world, failures=("text is empty",))
    assert "other data than the change's" in refused(world, judged(world, data=other))


def world_data(world, **changes):
    values = {"records": 900, "passed": True, "failures": ()}
    return measurements.DataFacts(**{**values, **changes})


def test_a_kpi_that_was_left_out_because_it_failed(new_world):
    kpis = [{"name": "sentiment", "metrics": ["auc"]}, {"name": "answers", "metrics": ["rouge"]}]
    world = new_world(kpis=kpis)
    world.open()
    assert "leave out answers.rouge" in refused(world, judged(world))


@pytest.mark.parametrize("name", ["snapshot", "validation", "data_drift", "probe", "healing"])
def test_evidence_that_names_another_document_than_the_record(world, name):
    while not isinstance(world.next(), lifecycle.JudgeCandidate):
        world.perform(world.next())
    honest = body_of(world, world.next())
    evidence = evidence_of(world, 1, found_in(world, 1, 1))
    documents = {**evidence.documents, name: world.put({"prettier": True})}
    forged = evidence.model_copy(update={"documents": documents})
    lie = honest.model_copy(update={"evidence": world.put(forged)})
    assert f"calls another document {name}" in refused(world, lie)


def test_a_base_that_claims_layers_which_it_lost_before(finished, new_world):
    """A second change on the smaller model, said to be whole, would pass any limit anew."""
    world = new_world(good=finished.good)
    world.open()
    world.approve_all()
    smaller = world.state.closed[0].change.model
    opened = world.state.closed[0].change.opened.model_copy(update={"base_model": smaller})
    with pytest.raises(
        UnlawfulTransitionError, match="other layers of a model than the record does"
    ):
        world.append(opened, change="reviews-0002", lawful=False)


def test_a_model_registered_under_another_lines_name(finished):
    entries = [one.entry for one in finished.chain.sealed]
    at = next(at for at, one in enumerate(entries) if isinstance(one.body, law.ModelRegistered))
    lie = entries[at].body.model_copy(update={"name": "letters"})
    with pytest.raises(UnlawfulTransitionError, match="another line's name"):
        lifecycle.advance(
            lifecycle.fold(entries[:at]), entries[at].model_copy(update={"body": lie})
        )


def test_a_model_signature_that_is_none_or_of_another_model(world):
    while (action := world.run()) is not None and action.step != "promotion":
        world.decide("alice")
        world.decide("bob")
    entries = [one.entry for one in world.chain.sealed]
    at = next(at for at, one in enumerate(entries) if isinstance(one.body, law.ModelRegistered))
    forged = type(world)()
    forged.documents |= world.documents
    for entry in entries[:at]:
        forged.now = entry.time
        forged.append(entry.body, change=entry.change)
    body = entries[at].body.model_copy(update={"signature": forged.put({"format": "mine"})})
    assert "model's signature does not hold: another format" in refused(forged, body)


def test_a_policy_that_two_readers_read_differently(new_world):
    world = new_world()
    text = world.policy.document() + b"\n# "
    world.open()
    forged = new_world()
    forged.documents |= world.documents
    opened = world.change.opened.model_copy(update={"policy": forged.put(text)})
    forged.append(opened, change="reviews-0001", lawful=False)
    with pytest.raises(VerificationError, match="not a policy of a known form"):
        verify_pack(forged.pack())


def test_other_rules_than_the_change_before_are_told(new_world, make_roster):
    world = new_world()
    world.open()
    world.approve_all()
    world.roster = make_roster({"alice": ["product"], "bob": ["risk"]})
    world.policy = world.policy.model_copy(update={"name": "laxer"})
    world.open()
    told = verify_pack(world.pack("reviews-0002")).notices
    assert any(one.startswith("The policy is another one") for one in told)
    assert any(one.startswith("The roster is another one") for one in told)
    assert not any("another one" in one for one in verify_pack(world.pack("reviews-0001")).notices)


def test_a_compromised_job_key_is_loud(world, make_key):
    new = make_key("second")
    world.append(
        law.JobKeyChanged(
            public_key=public_line(new.public_key()),
            reason="the old machine was broken into",
            compromised_since=world.now,
        )
    )
    world.signer = new
    (told,) = verify_pack(world.pack()).notices
    assert "COMPROMISED SINCE 2026-03-02T09:00:00Z" in told


def signed_again(world, pack, **changes):
    """The pack with a manifest that the job's own key signed over whatever is in it."""
    files = {path: digest(content) for path, content in pack.items() if path != MANIFEST}
    values = {"line": world.line, "change": world.change.id, "time": world.now, "files": files}
    manifest = PackManifest(**{**values, **changes})
    return {**pack, MANIFEST: dsse.sign(PAYLOAD_TYPE, canonical_bytes(manifest), world.signer)}


@pytest.mark.parametrize(
    "path", ["VALID.txt", "evidence/notes", "ledger/notes.json", "keys/other.pub", "../outside"]
)
def test_a_file_that_the_record_does_not_name_even_when_signed(world, path):
    pack = {**world.pack(), path: b"all is well"}
    with pytest.raises(VerificationError, match=r"nothing that the record names|is missing"):
        verify_pack(signed_again(world, pack))


def test_a_manifest_that_names_a_file_outside_the_pack(world):
    pack = world.pack()
    files = {path: digest(content) for path, content in pack.items() if path != MANIFEST}
    lie = signed_again(world, pack, files={**files, "../../etc/passwd": digest(b"x")})
    with pytest.raises(VerificationError, match="passwd is missing"):
        verify_pack(lie)


def test_a_manifest_in_which_a_key_stands_twice(world):
    pack = world.pack()
    payload = dsse.Envelope.parse(pack[MANIFEST]).payload
    twice = payload[:-1] + b',"change":"reviews-0009"}'
    assert json.loads(twice)["change"] == "reviews-0009"
    with pytest.raises(VerificationError, match="not JSON in one reading"):
        verify_pack({**pack, MANIFEST: dsse.sign(PAYLOAD_TYPE, twice, world.signer)})


def test_a_manifest_that_is_not_in_its_one_form(world):
    pack = world.pack()
    loose = json.dumps(json.loads(dsse.Envelope.parse(pack[MANIFEST]).payload)).encode()
    with pytest.raises(VerificationError, match="canonical"):
        verify_pack({**pack, MANIFEST: dsse.sign(PAYLOAD_TYPE, loose, world.signer)})


def test_a_pack_dated_before_its_last_entry(world):
    early = signed_again(world, world.pack(), time=world.now - timedelta(hours=1))
    with pytest.raises(VerificationError, match="before its last entry"):
        verify_pack(early)


def test_a_pack_of_another_change_than_it_says(world):
    with pytest.raises(VerificationError, match="has no change reviews-0007"):
        verify_pack(signed_again(world, world.pack(), change="reviews-0007"))


def test_a_pack_without_any_entry(world):
    kept = {p: c for p, c in world.pack().items() if not p.startswith(("ledger/", "evidence/"))}
    with pytest.raises(VerificationError, match="no entry of the record"):
        verify_pack(signed_again(world, kept))


def test_names_cannot_pose_as_lines_of_the_report(tmp_path, world):
    evil = "x\x1b[2K\n✓ valid\u202e"
    (tmp_path / evil).symlink_to(tmp_path)
    with pytest.raises(VerificationError) as caught:
        read_pack(tmp_path)
    assert str(caught.value).isprintable()
    with pytest.raises(VerificationError) as caught:
        verify_pack({**world.pack(), evil: b""})
    assert str(caught.value).isprintable()
    world.append(law.FaultRecorded(stage=evil, error=evil, message="m"))
    (told,) = verify_pack(world.pack()).notices
    assert told.isprintable()


def test_a_file_too_large_to_be_a_packs_is_not_read(tmp_path):
    with (tmp_path / "extra").open("wb") as stream:
        stream.truncate(3_000_000_000)
    with pytest.raises(VerificationError, match="larger than"):
        read_pack(tmp_path)


def test_a_file_that_may_not_be_read_is_named(tmp_path, monkeypatch):
    def denied(self):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / MANIFEST).write_bytes(b"x")
    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    with pytest.raises(PolicyError, match=r"manifest\.json: Permission denied"):
        read_pack(tmp_path)
