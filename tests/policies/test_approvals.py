"""Decisions: which count, and which do not."""

import json
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies import dsse
from policies.approvals import read_decision, record_decision, tally, verify_decision
from policies.canonical import canonical_bytes, digest
from policies.entries import DecisionRecorded
from policies.errors import DecisionError
from policies.keys import public_line
from policies.policy_sections import Gate
from policies.roster import Roster


@pytest.fixture
def asked(world):
    """A world that waits for a decision on step 1."""
    world.run()
    world.now += timedelta(minutes=10)
    return world


def fault_of(world, envelope, **changes):
    """Why a decision does not count, which its record says too; None where it does."""
    expected = replace(world.expectation(), **changes)
    recorded = record_decision(envelope, expected, now=world.now)
    if recorded.valid:
        verify_decision(envelope, expected, now=world.now)
    else:
        with pytest.raises(DecisionError) as caught:
            verify_decision(envelope, expected, now=world.now)
        assert caught.value.fault == recorded.fault
    return recorded.fault


def test_a_good_decision_counts(asked):
    found = verify_decision(asked.decision("bob"), asked.expectation(), now=asked.now)
    assert (found.approver, found.roles, found.decision.decision) == ("bob", ("risk",), "approve")
    assert fault_of(asked, asked.decision("bob")) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"line": "letters"}, "wrong_line"),
        ({"change": "reviews-0002"}, "wrong_change"),
        ({"step": 2}, "wrong_step"),
        ({"step": "promotion"}, "wrong_step"),
        ({"evidence": digest(b"other")}, "wrong_evidence"),
        ({"candidate": digest(b"other")}, "wrong_candidate"),
        ({"policy": digest(b"other")}, "wrong_policy"),
        ({"override": True}, "wrong_override"),
        ({"key": "mallory"}, "unknown_key"),
        ({"key": "alice"}, "wrong_approver"),
    ],
)
def test_a_decision_counts_only_for_what_was_asked(asked, changes, fault):
    assert fault_of(asked, asked.decision("bob", **changes)) == fault


def test_roles_that_do_not_decide_here(asked):
    assert fault_of(asked, asked.decision("dave")) == "wrong_role"


@pytest.mark.parametrize("requester", ["bob", "BOB ", "b.ob@example.org"])
def test_nobody_decides_on_their_own_request(asked, make_roster, requester):
    roster = make_roster({"bob": ["risk"]}, bob={"also_known_as": ["b.ob@example.org"]})
    envelope = asked.decision("bob")
    assert fault_of(asked, envelope, requester=requester, roster=roster) == "self_approval"


def test_not_through_a_second_key_either(asked, make_key, make_roster):
    second = public_line(make_key("bobs phone").public_key())
    content = make_roster({"bob": ["risk"]}).model_dump(mode="json")
    content["people"][0]["keys"].append({"key": second})
    envelope = asked.decision("bob", key="bobs phone")
    roster = Roster.model_validate(content)
    assert fault_of(asked, envelope, roster=roster) is None
    assert fault_of(asked, envelope, roster=roster, requester="bob") == "self_approval"


@pytest.mark.parametrize(
    ("field", "minutes", "fault"),
    [
        ("revoked", 0, "revoked_key"),
        ("revoked", 1, None),
        ("valid_until", 0, "expired_key"),
        ("valid_from", 1, "key_not_yet_valid"),
    ],
)
def test_the_key_must_hold_when_it_signs_and_when_it_is_used(
    asked, make_roster, field, minutes, fault
):
    content = make_roster({"bob": ["risk"]}).model_dump(mode="json")
    content["people"][0]["keys"][0][field] = asked.now + timedelta(minutes=minutes)
    envelope = asked.decision("bob")
    assert fault_of(asked, envelope, roster=Roster.model_validate(content)) == fault


def test_a_line_that_is_not_theirs(asked, make_roster):
    roster = make_roster({"bob": ["risk"]}, bob={"lines": ["letters"]})
    assert fault_of(asked, asked.decision("bob"), roster=roster) == "line_not_theirs"


def test_time(asked):
    hour = timedelta(hours=1)
    assert fault_of(asked, asked.decision("bob", expires=asked.now)) == "expired"
    assert fault_of(asked, asked.decision("bob", time=asked.now - hour)) == "not_fresh"
    assert fault_of(asked, asked.decision("bob", time=asked.now + hour)) == "not_fresh"
    assert fault_of(asked, asked.decision("bob", time=asked.now + timedelta(minutes=2))) is None
    assert fault_of(asked, asked.decision("bob"), expires=asked.now) == "late"
    assert fault_of(asked, asked.decision("bob"), over=True) == "late"


def test_a_decision_counts_once(asked):
    envelope = asked.decision("bob")
    assert asked.receive(envelope).valid
    assert asked.receive(envelope).fault == "used_before"


def test_a_signature_cannot_be_moved_to_another_statement(asked):
    mine, other = (
        dsse.Envelope.parse(asked.decision("bob", what)) for what in ("reject", "approve")
    )
    forged = dsse.sign(mine.payload_type, other.payload, asked.signer)
    content = forged.replace(dsse.Envelope.parse(forged).keyid.encode(), mine.keyid.encode())
    assert fault_of(asked, content) == "bad_signature"


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"\xff\xfe", b"[" * 70_000, b"{" * 1000, b'{"payload":1}', "é".encode(), b"null"],
)
def test_whatever_is_dropped_in_is_recorded_and_does_not_count(asked, content):
    body = asked.receive(content)
    assert (body.valid, body.fault, body.envelope) == (False, "unreadable", None)
    assert body.envelope_digest == sha256(content).hexdigest()


def test_a_statement_of_another_kind_is_unreadable(asked, make_key):
    for kind, payload in (("text/plain", b"{}"), ("application/vnd.in-toto+json", b'{"a":1}')):
        assert fault_of(asked, dsse.sign(kind, payload, make_key("bob"))) == "unreadable"


def test_subjects_in_another_order_are_unreadable(asked, make_key):
    opened = dsse.Envelope.parse(asked.decision("bob"))
    statement = json.loads(opened.payload)
    statement["subject"].reverse()
    forged = dsse.sign(opened.payload_type, canonical_bytes(statement), make_key("bob"))
    with pytest.raises(DecisionError, match="expected the subjects"):
        read_decision(forged)


def said(who, what, roles=("risk",), valid=True):
    known = {"approver": who, "decision": what, "roles": roles, "envelope": "{}"}
    return DecisionRecorded(
        step=1,
        envelope_digest=digest([who, what]),
        valid=valid,
        **(known if valid else {"fault": "late", "envelope": None}),
    )


TWO = Gate(quorum=2, roles=("risk", "product"), at_least={"risk": 1})


@pytest.mark.parametrize(
    ("decisions", "outcome"),
    [
        ([], "open"),
        ([said("a", "approve")], "open"),
        ([said("a", "approve"), said("a", "approve")], "open"),
        ([said("a", "approve"), said("b", "approve")], "approved"),
        ([said("a", "approve", ["product"]), said("b", "approve", ["product"])], "open"),
        ([said("a", "approve"), said("b", "approve", valid=False)], "open"),
        ([said("a", "approve"), said("b", "approve"), said("c", "reject")], "rejected"),
        ([said("a", "approve"), said("a", "reject")], "rejected"),
        ([said("a", "approve"), said("a", "withdraw"), said("b", "approve")], "open"),
        ([said("a", "withdraw"), said("a", "approve"), said("b", "approve")], "approved"),
    ],
)
def test_counting(decisions, outcome):
    assert tally(decisions, TWO).outcome == outcome


@given(
    st.lists(
        st.tuples(st.sampled_from("abcd"), st.sampled_from(["approve", "reject", "withdraw"])),
        max_size=12,
    ),
    st.integers(1, 4),
)
def test_approval_needs_as_many_standing_people_and_no_rejection(answers, quorum):
    found = tally([said(*answer) for answer in answers], Gate(quorum=quorum, roles=("risk",)))
    last = dict(answers)
    standing = {who for who, what in last.items() if what == "approve"}
    if any(what == "reject" for _, what in answers):
        assert found.outcome == "rejected"
    else:
        assert found.outcome == ("approved" if len(standing) >= quorum else "open")
        assert set(found.deciders) == standing
