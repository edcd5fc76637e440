"""Decisions of people, checked at the moment when they are used.

Nothing that is merely typed counts: only a roster key speaks for a person, only within its time,
only on what was asked, and never for the one who asked.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from policies.entries import AliasAnswered, Answer, DecisionRecorded
from policies.errors import DecisionError
from policies.ledger import CLOCK_TOLERANCE
from policies.policy_sections import Gate
from policies.roster import Holder, Roster
from policies.statements import Decision, Subject, read_decision, sign_decision

__all__ = [
    "Decision",
    "Expectation",
    "Subject",
    "Tally",
    "VerifiedDecision",
    "read_decision",
    "record_answer",
    "record_decision",
    "sign_decision",
    "standing",
    "tally",
    "verify_decision",
    "withdrawals",
]


@dataclass(frozen=True)
class Expectation:
    """What a decision must fit to count, at the moment when it is used."""

    subject: Subject
    gate: Gate
    roster: Roster
    requester: str
    asked_at: datetime
    expires: datetime
    """When the request itself is over."""
    over: bool = False
    """Whether the request was settled already."""
    seen_nonces: Collection[str] = ()
    withdrawn: Mapping[str, datetime] = field(default_factory=dict)
    """When people said that their approval no longer holds, by the name that was recorded."""


@dataclass(frozen=True)
class VerifiedDecision:
    """A decision that counts, and whose it is."""

    decision: Decision
    approver: str
    roles: tuple[str, ...]


def verify_decision(envelope: bytes, expected: Expectation, *, now: datetime) -> VerifiedDecision:
    """Check one decision against everything that it must fit.

    Raises DecisionError; its `fault` is one of unreadable, unknown_key, bad_signature,
    wrong_approver, wrong_line, wrong_change, wrong_step, wrong_evidence, wrong_candidate,
    wrong_policy, wrong_override, revoked_key, expired_key, key_not_yet_valid, wrong_role,
    line_not_theirs, self_approval, not_fresh, expired, late, used_before, superseded.
    """
    decision, opened = read_decision(envelope)
    holder = expected.roster.holder(opened.keyid)
    if holder is None:
        raise DecisionError("The key that signed is not in the roster.", "unknown_key")
    if not opened.signed_by(holder.key.public):
        raise DecisionError("The signature does not fit the statement.", "bad_signature")
    _check_subject(decision.subject, expected.subject)
    _check_person(decision, holder, expected, now)
    _check_time(decision, expected, now)
    if decision.nonce in expected.seen_nonces:
        raise DecisionError("This decision was used before.", "used_before")
    _check_order(decision, holder, expected)
    return VerifiedDecision(decision, holder.person.name, holder.person.roles)


def _check_subject(given: Subject, expected: Subject) -> None:
    for name in Subject.model_fields:
        if getattr(given, name) != getattr(expected, name):
            raise DecisionError(
                f"The decision is about another {name} than the one that was asked about.",
                f"wrong_{name}",
            )


def _check_person(decision: Decision, holder: Holder, expected: Expectation, now: datetime) -> None:
    person = holder.person
    if not person.is_known_as(decision.approver):
        raise DecisionError("The key belongs to another than the named person.", "wrong_approver")
    if person.is_known_as(expected.requester):
        raise DecisionError("Nobody decides on what they asked for themselves.", "self_approval")
    for moment in (now, decision.time):
        if fault := holder.key.fault_at(moment):
            raise DecisionError("The key does not hold at this time.", fault)
    if not person.decides_on(expected.subject.line):
        raise DecisionError("This line is not theirs to decide on.", "line_not_theirs")
    if not set(person.roles) & set(expected.gate.roles):
        raise DecisionError("Their roles do not decide here.", "wrong_role")


def _check_time(decision: Decision, expected: Expectation, now: datetime) -> None:
    if expected.over or now >= expected.expires:
        raise DecisionError("The request was over when this came in.", "late")
    if now >= decision.expires:
        raise DecisionError("The decision had expired when it came in.", "expired")
    earliest, latest = expected.asked_at - CLOCK_TOLERANCE, now + CLOCK_TOLERANCE
    if not earliest <= decision.time <= latest:
        raise DecisionError("The decision's time is not between the request and now.", "not_fresh")


def _check_order(decision: Decision, holder: Holder, expected: Expectation) -> None:
    """An approval that was held back does not undo the same person's later withdrawal."""
    later = (time for name, time in expected.withdrawn.items() if holder.person.is_known_as(name))
    if decision.decision == "approve" and any(decision.time <= time for time in later):
        raise DecisionError("The person took this approval back after signing it.", "superseded")


def withdrawals(decisions: Sequence[Answer]) -> dict[str, datetime]:
    """When people took their approval of one request back, by the name that was recorded."""
    return {
        one.approver: read_decision(one.envelope.encode("ascii"))[0].time
        for one in decisions
        if one.valid and one.decision == "withdraw" and one.approver and one.envelope
    }


def standing(
    decisions: Sequence[DecisionRecorded], expected: Expectation, *, now: datetime
) -> tuple[DecisionRecorded, ...]:
    """The decisions that count under the roster in force now, by the names it has for people.

    An approval counts no more once its key was withdrawn or left the roster, or its holder may no
    longer decide. A rejection stands as it was recorded: nobody undoes it by changing the roster.
    """
    kept = []
    for one in decisions:
        holder = _still_holds(one, expected, now)
        if holder is not None:
            again = {"approver": holder.person.name, "roles": holder.person.roles}
            kept.append(one.model_copy(update=again))
        elif one.decision != "approve":
            kept.append(one)
    return tuple(kept)


def _still_holds(recorded: DecisionRecorded, expected: Expectation, now: datetime) -> Holder | None:
    if not recorded.valid or recorded.envelope is None:
        return None
    decision, opened = read_decision(recorded.envelope.encode("ascii"))
    holder = expected.roster.holder(opened.keyid)
    if holder is None or (holder.key.revoked is not None and now >= holder.key.revoked):
        return None
    try:
        _check_person(decision, holder, expected, decision.time)
    except DecisionError:
        return None
    return holder


def record_decision(envelope: bytes, expected: Expectation, *, now: datetime) -> DecisionRecorded:
    """The ledger's body for an answer about a step or the promotion, whether it counts or not."""
    step = expected.subject.step
    if step == "alias":
        raise ValueError("an answer about the alias is recorded by record_answer")
    return DecisionRecorded(step=step, **_answer(envelope, expected, now))


def record_answer(
    envelope: bytes, expected: Expectation, number: int, *, now: datetime
) -> AliasAnswered:
    """The ledger's body for an answer about a move of the alias, whether it counts or not."""
    return AliasAnswered(number=number, **_answer(envelope, expected, now))


def _answer(envelope: bytes, expected: Expectation, now: datetime) -> dict[str, Any]:
    """What is recorded of any answer."""
    found: dict[str, Any] = {"envelope_digest": hashlib.sha256(envelope).hexdigest()}
    try:
        read_decision(envelope)
        found["envelope"] = envelope.decode("ascii")
    except (DecisionError, UnicodeDecodeError):
        found["envelope"] = None
    try:
        verified = verify_decision(envelope, expected, now=now)
    except DecisionError as error:
        return found | {"valid": False, "fault": error.fault}
    said, who = verified.decision.decision, verified.approver
    return found | {"valid": True, "approver": who, "decision": said, "roles": verified.roles}


@dataclass(frozen=True)
class Tally:
    """Where a request stands, and by whom."""

    outcome: Literal["approved", "rejected", "open"]
    deciders: tuple[str, ...]


def tally(decisions: Sequence[Answer], gate: Gate) -> Tally:
    """Count the valid decisions on one request.

    One rejection ends it, whatever was said before and by whom. A person counts once, however
    often and with however many keys they approve; a withdrawal takes their approval back.
    """
    approvals: dict[str, tuple[str, ...]] = {}
    for one in decisions:
        if not one.valid or one.approver is None:
            continue
        if one.decision == "reject":
            return Tally("rejected", (one.approver,))
        if one.decision == "withdraw":
            approvals.pop(one.approver, None)
        else:
            approvals[one.approver] = one.roles
    enough = len(approvals) >= gate.quorum and all(
        sum(role in roles for roles in approvals.values()) >= count
        for role, count in gate.at_least.items()
    )
    return Tally("approved" if enough else "open", tuple(approvals))
