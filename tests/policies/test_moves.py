"""The version in use moved by hand: only people move it, and the record proves that they did."""

from datetime import timedelta

import pytest

from policies import entries as law
from policies import lifecycle
from policies.approvals import record_answer
from policies.canonical import digest
from policies.errors import LawError, UnlawfulTransitionError, VerificationError
from policies.verification import verify_pack


@pytest.fixture(scope="module")
def two_versions(new_world):
    world = new_world()
    for _ in range(2):
        world.open()
        world.approve_all()
    assert world.state.live.id == "reviews-0002"
    return world


@pytest.fixture
def line(two_versions):
    """A line with two versions; the second is in use."""
    return two_versions.fork()


def versions(world):
    state = world.state
    return tuple(one and one.registered.version for one in (state.live, state.previous))


def test_a_rollback_needs_a_decision_and_leads_to_the_version_before(line):
    asked = line.ask_move()
    assert (asked.change, asked.body.move.version) == ("reviews-0002", "1")
    assert versions(line) == ("2", "1")
    assert line.decide_move("bob").valid
    assert versions(line) == ("1", None)
    assert line.state.promoted.change.id == "reviews-0001"
    report = verify_pack(line.pack("reviews-0002"))
    assert any("rollback to version 1 was asked for by erin" in one for one in report.notices)
    assert any("moved by hand to version 1, approved by bob" in one for one in report.notices)
    assert verify_pack(line.pack("reviews-0001"))


def test_a_change_may_go_on_meanwhile(line):
    line.open()
    line.run()
    line.ask_move()
    line.decide_move("bob")
    line.approve_all()
    assert versions(line) == ("3", "1")


def test_a_move_that_a_promotion_overtook_is_void(line):
    line.open()
    line.run()
    line.ask_move()
    line.approve_all()  # the change's own version comes into use first
    assert versions(line) == ("3", "2")
    answered(line, line.signed(line.move_expectation().subject, "bob", "approve"))
    with pytest.raises(UnlawfulTransitionError, match="another version came into use"):
        line.append(moved(line), lawful=False, change="reviews-0002")
    line.settle_move()
    assert line.state.moves[-1].over.outcome == "overtaken"
    assert versions(line) == ("3", "2")
    assert verify_pack(line.pack("reviews-0002"))


def test_any_version_can_be_put_in_use_again(line):
    line.ask_move()
    line.decide_move("bob")
    asked = line.ask_move("2")
    assert (asked.change, asked.body.move.from_version) == ("reviews-0002", "1")
    line.decide_move("bob")
    assert versions(line) == ("2", "1")
    assert verify_pack(line.pack("reviews-0002"))


def test_what_cannot_be_asked_for(line, new_world):
    with pytest.raises(LawError, match="in use already"):
        line.ask_move("2")
    with pytest.raises(LawError, match="no version 9"):
        line.ask_move("9")
    line.ask_move()
    with pytest.raises(LawError, match="asks for a decision on its alias already"):
        line.ask_move("1")
    line.decide_move("bob")
    with pytest.raises(LawError, match="no version before"):
        line.ask_move()
    with pytest.raises(LawError, match="no version in use"):
        new_world().ask_move()


@pytest.mark.parametrize(
    ("who", "changes", "fault"),
    [
        ("dave", {}, "wrong_role"),
        ("alice", {}, "wrong_role"),
        ("bob", {"key": "mallory"}, "unknown_key"),
        ("bob", {"step": "promotion"}, "wrong_step"),
        ("bob", {"evidence": digest(b"other")}, "wrong_evidence"),
        ("bob", {"candidate": digest(b"other")}, "wrong_candidate"),
        ("bob", {"change": "reviews-0001"}, "wrong_change"),
    ],
)
def test_an_answer_that_does_not_count_moves_nothing(line, who, changes, fault):
    line.ask_move()
    key = changes.pop("key", None)
    body = line.decide_move(who, **({"key": key} if key else {}), **changes)
    assert (body.valid, body.fault) == (False, fault)
    assert versions(line) == ("2", "1")
    assert verify_pack(line.pack("reviews-0002"))


def test_nobody_decides_on_what_they_asked_for(line):
    line.ask_move(requester="Bob")
    assert line.decide_move("bob").fault == "self_approval"
    assert line.decide_move("carol").valid
    assert versions(line) == ("1", None)


def test_an_answer_counts_once(line):
    line.ask_move()
    envelope = line.signed(line.move_expectation().subject, "bob", "approve")
    assert answered(line, envelope).valid
    assert answered(line, envelope).fault == "used_before"


def answered(line, envelope):
    """Record an answer and settle nothing."""
    body = record_answer(envelope, line.move_expectation(), 1, now=line.now)
    line.append(body, change=line.state.open_move.change)
    return body


def test_a_rejection_and_silence_leave_it_where_it_is(line):
    line.ask_move()
    line.decide_move("bob", "reject")
    assert line.state.moves[-1].over.outcome == "rejected"
    line.ask_move()
    line.now += timedelta(hours=48)
    line.settle_move()
    assert line.state.moves[-1].over.outcome == "expired"
    assert versions(line) == ("2", "1")
    assert verify_pack(line.pack("reviews-0002"))


def moved(line, **changes):
    asked = line.state.open_move.asked
    values = {
        "number": asked.number,
        "alias": "champion",
        "version": asked.move.version,
        "model": asked.move.model,
        "previous_version": None,
        "deciders": ("bob",),
        "reason": "approved by bob",
    }
    return law.AliasMoved(**(values | changes))


@pytest.mark.parametrize("deciders", [(), ("bob",)])
def test_a_job_that_moves_without_a_decision_is_found_out(line, deciders):
    line.ask_move()
    with pytest.raises(UnlawfulTransitionError, match="nobody decided"):
        line.append(moved(line, deciders=deciders), lawful=False, change="reviews-0002")


def test_a_decision_of_the_wrong_person_recorded_as_if_it_counted(line):
    line.ask_move()
    move, fits = line.state.open_move, line.move_expectation()
    envelope = line.signed(fits.subject, "dave", "approve")
    lie = law.AliasAnswered(
        number=1,
        envelope_digest=digest(envelope),
        envelope=envelope.decode(),
        valid=True,
        approver="dave",
        decision="approve",
        roles=("risk",),
    )
    line.append(lie, lawful=False, change=move.change)
    line.append(moved(line, deciders=("dave",)), lawful=False, change=move.change)
    with pytest.raises(VerificationError, match="checking it again finds: wrong_role"):
        verify_pack(line.pack("reviews-0002"))


def test_a_quorum_that_was_not_there_is_found_out(new_world):
    world = new_world()
    content = world.policy.model_dump(mode="json")
    content["approvals"]["rollback"] = {"quorum": 2, "roles": ["product", "risk"]}
    world.policy = type(world.policy).model_validate(content)
    for _ in range(2):
        world.open()
        world.approve_all()
    world.ask_move()
    world.decide_move("bob")
    assert world.state.open_move is not None
    world.append(moved(world), lawful=False, change="reviews-0002")
    with pytest.raises(VerificationError, match=r"alias\.moved is not what the policy lets"):
        verify_pack(world.pack("reviews-0002"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "another version"),
        ({"model": digest(b"other")}, "another version"),
        ({"previous_version": "2"}, "version before is another"),
        ({"number": 7}, "nobody was asked"),
    ],
)
def test_a_move_must_be_the_one_that_was_asked_for(line, changes, message):
    line.ask_move()
    answered(line, line.signed(line.move_expectation().subject, "bob", "approve"))
    with pytest.raises(UnlawfulTransitionError, match=message):
        line.append(moved(line, **changes), lawful=False, change="reviews-0002")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": "2"}, "another version than there is"),
        ({"from_version": "1"}, "another version is in use"),
        ({"reason": "x"}, "not the digest of the move"),
    ],
)
def test_a_request_must_tell_the_truth(line, changes, message):
    body = lifecycle.request_move(
        line.state,
        lifecycle.Wish("erin", "rude"),
        line.policy,
        line.put(line.roster.document()),
        line.now,
    )
    lie = body.model_copy(update={"move": body.move.model_copy(update=changes)})
    with pytest.raises(UnlawfulTransitionError, match=message):
        line.append(lie, lawful=False, change="reviews-0002")
