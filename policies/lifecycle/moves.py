"""The version in use, moved by hand: what is asked, what answers must fit, and how it ends."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from policies.approvals import Expectation, Subject, read_decision, tally, withdrawals
from policies.entries import (
    AliasAnswered,
    AliasBody,
    AliasKept,
    AliasMoved,
    AliasRequested,
    Entry,
    Move,
    move_evidence,
)
from policies.errors import LawError, PolicyError, UnlawfulTransitionError
from policies.lifecycle.handling import need
from policies.lifecycle.state import ChangeState, MoveState, State
from policies.lifecycle.watch import consented
from policies.policy import Policy
from policies.roster import Roster
from policies.schema import MoveKind


@dataclass(frozen=True)
class Wish:
    """Who wants the alias moved, and why. `version` None: back to the version before."""

    requester: str
    reason: str
    version: str | None = None
    incident: int | None = None
    """Sequence of the monitor's entry that gave the reason."""

    @property
    def action(self) -> MoveKind:
        """What it is called."""
        return "rollback" if self.version is None else "promote"


def target_of(state: State, wish: Wish) -> tuple[ChangeState, str]:
    """The change whose version is to be in use, and the change that the move is recorded with.

    Raises PolicyError where there is no such version, or nothing to do.
    """
    if state.open_move is not None:
        raise PolicyError(f"Line {state.line} asks for a decision on its alias already.")
    live = state.live
    if wish.version is None:
        if live is None:
            raise PolicyError(f"Line {state.line} has no version in use that could be rolled back.")
        if state.previous is None:
            raise PolicyError(f"Line {state.line} has no version before the one in use.")
        return state.previous, live.id
    found = state.maker_of(wish.version)
    if found is None:
        raise PolicyError(f"Line {state.line} has no version {wish.version} in its record.")
    if live is not None and live.id == found.id:
        raise PolicyError(f"Version {wish.version} of line {state.line} is in use already.")
    if state.change is not None and state.change.id == found.id:
        raise PolicyError(f"Version {wish.version} is asked about in change {found.id} now.")
    return found, found.id


def request_move(
    state: State, wish: Wish, policy: Policy, roster: str, now: datetime
) -> AliasRequested:
    """The request for a decision on a move. Raises PolicyError as `target_of` does."""
    target, change = target_of(state, wish)
    live = state.live
    made, used = target.registered, live.registered if live else None
    if made is None:
        raise LawError(f"Change {target.id} has no version.")
    move = Move(
        action=wish.action,
        version=made.version,
        model=made.model,
        from_version=used.version if used else None,
        from_model=used.model if used else None,
        requester=wish.requester,
        reason=wish.reason,
        policy=policy.digest,
        roster=roster,
        incident=wish.incident,
    )
    number = len(state.moves) + 1
    return AliasRequested(
        number=number,
        move=move,
        evidence=move_evidence(target.line, change, number, move),
        expires=now + timedelta(hours=policy.move_gate(wish.action).expires_hours),
    )


def move_expectation(state: State, move: MoveState, policy: Policy, roster: Roster) -> Expectation:
    """What an answer to the request must fit."""
    asked = move.asked
    return Expectation(
        subject=Subject(
            line=state.line or "",
            change=move.change,
            step="alias",
            evidence=asked.evidence,
            candidate=asked.move.model,
            policy=asked.move.policy,
        ),
        gate=policy.move_gate(asked.move.action),
        roster=roster,
        requester=asked.move.requester,
        asked_at=move.asked_at,
        expires=asked.expires,
        over=move.over is not None,
        seen_nonces=frozenset(
            read_decision(one.envelope.encode("ascii"))[0].nonce
            for earlier in state.moves
            for one in earlier.decisions
            if one.valid and one.envelope
        ),
        withdrawn=withdrawals(move.decisions),
    )


def settle_move(state: State, policy: Policy, now: datetime) -> AliasMoved | AliasKept | None:
    """How the open request ends now; None where people are awaited.

    `AliasMoved` is to be recorded once the registry's alias was moved.
    """
    move = state.open_move
    if move is None:
        return None
    asked, counted = move.asked, tally(move.decisions, policy.move_gate(move.asked.move.action))
    names, number = ", ".join(counted.deciders), move.asked.number
    if _overtaken(state, move):
        reason = "another version came into use after it was asked for"
        return AliasKept(
            number=number, outcome="overtaken", deciders=counted.deciders, reason=reason
        )
    if counted.outcome == "rejected":
        return AliasKept(
            number=number,
            outcome="rejected",
            deciders=counted.deciders,
            reason=f"rejected by {names}",
        )
    consent = consented(state, asked.move, policy)
    if counted.outcome == "approved" or consent:
        return AliasMoved(
            number=number,
            alias=policy.promotion.alias,
            version=asked.move.version,
            model=asked.move.model,
            previous_version=_version_before(state, move),
            deciders=counted.deciders,
            reason=f"approved by {names}" if not consent else _CONSENT,
        )
    if now >= asked.expires:
        reason = f"{len(counted.deciders)} approvals came in time, which are too few"
        return AliasKept(number=number, outcome="expired", deciders=counted.deciders, reason=reason)
    return None


_CONSENT = "the policy that the version was promoted under agrees to it beforehand"


def _overtaken(state: State, move: MoveState) -> bool:
    """Whether the version in use is another one than when the move was asked for."""
    live = state.live.registered if state.live else None
    return (live.version if live else None) != move.asked.move.from_version


def lived_after(state: State, move: MoveState) -> tuple[str, ...]:
    """The changes whose versions were in use, once the move is made."""
    if move.asked.move.action == "rollback":
        return state.lived[:-1]
    return (*state.lived, move.change)


def follow_move(state: State, entry: Entry, body: AliasBody) -> State:
    """Fold one entry about the alias. Raises UnlawfulTransitionError where it may not follow."""
    if isinstance(body, AliasRequested):
        return _requested(state, entry, body)
    move = state.open_move
    if move is None or body.number != move.asked.number:
        raise UnlawfulTransitionError("nobody was asked about this move.", entry.sequence)
    need(entry, entry.change == move.change, "the move is recorded with another change.")
    if isinstance(body, AliasAnswered):
        answered = replace(move, decisions=(*move.decisions, body))
        return replace(state, moves=(*state.moves[:-1], answered))
    over = replace(state, moves=(*state.moves[:-1], replace(move, over=body)))
    if isinstance(body, AliasKept):
        return over
    need(entry, (body.version, body.model) == _asked_for(move), "it moved to another version.")
    need(entry, not _overtaken(state, move), "another version came into use meanwhile.")
    agreed = {one.approver for one in move.decisions if one.valid and one.decision == "approve"}
    consent = body.reason == _CONSENT and asked_by_incident(state, move)
    decided = bool(body.deciders) or consent
    need(entry, decided and set(body.deciders) <= agreed, "nobody decided on it.")
    before = _version_before(state, move)
    need(entry, body.previous_version == before, "the version before is another one.")
    return replace(over, lived=lived_after(state, move))


def asked_by_incident(state: State, move: MoveState) -> bool:
    """Whether an open incident gave the reason for the move."""
    given = move.asked.move.incident
    return state.incident is not None and state.incident.sequence == given


def check_move(state: State, entry: Entry, body: AliasBody, policy: Policy) -> None:
    """Raise UnlawfulTransitionError unless the policy lets the entry follow.

    `state` is the one before the entry. Answers are checked one by one elsewhere.
    """
    if isinstance(body, AliasAnswered):
        return
    if isinstance(body, AliasRequested):
        hours = policy.move_gate(body.move.action).expires_hours
        lawful = body.expires == entry.time + timedelta(hours=hours)
    else:
        lawful = body == settle_move(state, policy, entry.time)
    need(entry, lawful, f"{entry.type} is not what the policy lets follow.")


def _requested(state: State, entry: Entry, body: AliasRequested) -> State:
    move = body.move
    version = None if move.action == "rollback" else move.version
    try:
        target, change = target_of(state, Wish(move.requester, move.reason, version))
    except LawError as error:
        raise UnlawfulTransitionError(str(error), entry.sequence) from None
    made, live = target.registered, state.live
    used = live.registered if live else None
    asked = (made.version, made.model) if made else None
    need(entry, asked == (move.version, move.model), "it asks for another version than there is.")
    left = (used.version, used.model) if used else (None, None)
    need(entry, left == (move.from_version, move.from_model), "another version is in use.")
    need(entry, entry.change == change, f"it should be recorded with change {change}.")
    need(entry, body.number == len(state.moves) + 1, "it has another number than the next.")
    evidence = move_evidence(entry.line, change, body.number, move)
    need(entry, body.evidence == evidence, "its evidence is not the digest of the move.")
    need(entry, body.expires > entry.time, "the request is over before it began.")
    return replace(state, moves=(*state.moves, MoveState(change, body, entry.time)))


def _asked_for(move: MoveState) -> tuple[str, str]:
    return move.asked.move.version, move.asked.move.model


def _version_before(state: State, move: MoveState) -> str | None:
    """The version that a rollback would lead to once the move is made."""
    after = lived_after(state, move)
    before = state.find(after[-2]) if len(after) > 1 else None
    return before.registered.version if before and before.registered else None
