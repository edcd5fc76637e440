"""Move the alias of a line by hand: ask, take the answers, check the files, move, record.

Nothing here needs Prefect, the run file, or the files of the version that is left: a rollback is
what works when other things do not. Whatever dies on the way, the same call goes on from the
record.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from policies.approvals import record_answer
from policies.entries import AliasBody, AliasMoved, Entry
from policies.errors import PolicyError
from policies.lifecycle import (
    MoveState,
    State,
    Wish,
    advance,
    check_move,
    move_expectation,
    request_move,
    settle_move,
    target_of,
)
from tasks import clock
from tasks.errors import ConflictError, RegistryError
from tasks.models.aliases import expected_aliases
from tasks.models.audit import damaged_files
from tasks.models.registry import Registry
from tasks.record.keeper import Keeper
from tasks.record.site import publish_index

_TRIES = 5
Said = Callable[[datetime], AliasBody]


@dataclass(frozen=True)
class MoveEnding:
    """Where a move stands. `change` is what approvers name when they answer."""

    line: str
    change: str
    action: str
    version: str
    state: Literal["waiting", "moved", "rejected", "expired"]
    evidence: str
    until: str
    reason: str

    @property
    def exit_code(self) -> int:
        """0 moved, 3 people said no or nothing, 4 waiting."""
        return {"moved": 0, "waiting": 4}.get(self.state, 3)


def move_alias(
    keeper: Keeper, wish: Wish, tell: Callable[[Entry], object] = lambda _: None
) -> MoveEnding:
    """Ask for a move, or go on with the one that was asked for.

    Args:
        keeper: the line.
        wish: what is wanted, by whom, and why.
        tell: is given every entry that is recorded.

    Raises:
        PolicyError: there is no such version, or another move is being decided on.
        RegistryError: the version to go to was deleted from MLflow, its files are damaged, or
            MLflow fails.
        ConflictError: other processes keep appending to the record.
    """
    if keeper.state.open_move is None:
        target, change = target_of(keeper.state, wish)
        if target.registered:
            _check_version(keeper.line, target.registered.version)
        _check_files(keeper, target.model)
        roster = keeper.documents.put_bytes(keeper.roster.document())
        keeper.documents.put_bytes(keeper.policy.document())
        _record(keeper, change, lambda now: _request(keeper, wish, roster, now), tell)
    move, conflicts = _asked(keeper.state, wish), 0
    while said := _next(keeper, keeper.state):
        try:
            _record(keeper, move.change, said, tell)
        except ConflictError:
            conflicts += 1
            if conflicts == _TRIES:
                raise
            keeper.journal.refresh()
    if keeper.state.open_move is None:
        publish_index(keeper)
    return _ending(keeper, keeper.state)


def _request(keeper: Keeper, wish: Wish, roster: str, now: datetime) -> AliasBody:
    return request_move(keeper.state, wish, keeper.policy, roster, now)


def _asked(state: State, wish: Wish) -> MoveState:
    """The open move, which must be the one that is wished for."""
    move = state.open_move
    if move is None:
        raise RuntimeError("a move was asked for a moment ago")
    asked = move.asked.move
    if asked.action != wish.action or wish.version not in (None, asked.version):
        raise PolicyError(
            f"A decision on the {asked.action} to version {asked.version} is asked for already; "
            f"have it decided first: avss approve {move.change} --step alias ..."
        )
    return move


def _next(keeper: Keeper, state: State) -> Said | None:
    """The next answer that came in, or how the request ended; None where people are awaited."""
    move = state.open_move
    if move is None:
        return None
    policy = keeper.policy_at(move.asked.move.policy)
    if settled := settle_move(state, policy, clock.now()):
        if isinstance(settled, AliasMoved):
            _check_files(keeper, move.asked.move.model)
            _point(state, settled)
        elif settled.outcome == "overtaken":
            Registry().point(keeper.line, expected_aliases(state))
        return lambda now: settle_move(state, policy, now) or settled
    known = {one.envelope_digest for every in state.moves for one in every.decisions}
    for envelope in keeper.approvals.answers(move.change, "alias"):
        if hashlib.sha256(envelope).hexdigest() not in known:
            roster = keeper.roster_at(move.asked.move.roster)
            expected = move_expectation(state, move, policy, roster)
            number = move.asked.number
            return lambda now: record_answer(envelope, expected, number, now=now)
    return None


def _check_version(line: str, version: str) -> None:
    """Nobody shall sign what MLflow can no longer do."""
    if version not in {one.version for one in Registry().versions(line)}:
        raise RegistryError(
            f"Version {version} of {line} was deleted from MLflow, so no alias can lead to it. "
            "Restore MLflow from a back-up, or name another version: "
            "avss registry promote LINE VERSION."
        )


def _check_files(keeper: Keeper, digest: str) -> None:
    """The version to go to must be whole; the one to leave may be as broken as it likes."""
    known = (one.change for one in reversed(keeper.state.closed) if one.change.registered)
    target = next((one for one in known if one.model == digest), None)
    files = dict(target.registered.files) if target and target.registered else {}
    faults = [one for one in damaged_files(keeper.work, digest, files) if one]
    if faults:
        raise RegistryError(
            f"{faults[0].subject} {faults[0].message}: the version to go to is damaged "
            f"({len(faults)} files). Restore them from a back-up, or name another version: "
            "avss registry promote LINE VERSION."
        )


def _point(state: State, settled: AliasMoved) -> None:
    aliases = expected_aliases(state)
    del aliases["candidate"]
    aliases |= {settled.alias: settled.version, "previous": settled.previous_version}
    Registry().point(state.line or "", aliases)


def _record(keeper: Keeper, change: str, said: Said, tell: Callable[[Entry], object]) -> None:
    def lawful(entry: Entry) -> None:
        state = keeper.state
        if isinstance(entry.body, AliasBody):
            move = state.open_move
            policy = keeper.policy_at(move.asked.move.policy) if move else keeper.policy
            check_move(state, entry, entry.body, policy)
        advance(state, entry)

    tell(keeper.journal.append(said, change, lawful))


def _ending(keeper: Keeper, state: State) -> MoveEnding:
    move = state.moves[-1]
    asked, over = move.asked, move.over
    outcome = "waiting" if over is None else getattr(over, "outcome", "moved")
    return MoveEnding(
        line=keeper.line,
        change=move.change,
        action=asked.move.action,
        version=asked.move.version,
        state=outcome,
        evidence=asked.evidence,
        until=asked.expires.isoformat(),
        reason=over.reason if over else asked.move.reason,
    )
