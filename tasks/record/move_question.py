"""A move of the alias by hand, as a question to those who decide on it."""

from dataclasses import dataclass
from typing import Literal

from policies.approvals import Expectation, tally
from policies.entries import AliasRequested
from policies.errors import DecisionError
from policies.lifecycle import move_expectation
from policies.schema import plain, rfc3339
from tasks.record.line_view import LineView


@dataclass(frozen=True)
class MoveQuestion:
    """An open request to move the alias, and what an answer must fit."""

    change: str
    asked: AliasRequested
    expected: Expectation
    approvals: tuple[str, ...]
    """Who has approved so far."""
    step: Literal["alias"] = "alias"

    @property
    def asked_about(self) -> str:
        """Digest of the move."""
        return self.asked.evidence

    def summary(self) -> str:
        """The facts to decide on, in some lines."""
        move, gate = self.asked.move, self.expected.gate
        now = f"version {move.from_version}" if move.from_version else "no version"
        lines = [
            f"{self.expected.subject.line}: {move.action} from {now} to version {move.version}",
            f"asked for by {plain(move.requester)}: {plain(move.reason)}",
            f"needs {gate.quorum} of {' or '.join(gate.roles)}, until "
            f"{rfc3339(self.expected.expires)}; approved so far by "
            f"{', '.join(map(plain, self.approvals)) or 'nobody'}",
        ]
        if move.incident is not None:
            lines.append(f"because of the incident in entry {move.incident}")
        return "\n".join([*lines, f"evidence {self.asked.evidence}", f"model {move.model}"])


def is_about_alias(view: LineView, change: str, step: str | None) -> bool:
    """Whether an answer would be about a move of the alias that is recorded with this change."""
    if step is not None:
        return step == "alias"
    state = view.state
    own = state.change is not None and state.change.id == change
    return not own and state.open_move is not None and state.open_move.change == change


def open_move_question(view: LineView, change: str, evidence: str | None) -> MoveQuestion:
    """The open move that is recorded with this change.

    Raises:
        DecisionError: nothing is asked there, or `evidence` is that of another move.
    """
    move = view.state.open_move
    if move is None or move.change != change:
        raise DecisionError(f"Nobody asks to move the alias in change {change}.", "nothing_asked")
    if evidence is not None and evidence != move.asked.evidence:
        raise DecisionError(
            f"The evidence is now {move.asked.evidence}, not {evidence}. Look again.",
            "wrong_evidence",
        )
    told = move.asked.move
    policy, roster = view.policy_at(told.policy), view.roster_at(told.roster)
    expected = move_expectation(view.state, move, policy, roster)
    given = tally(move.decisions, expected.gate).deciders
    return MoveQuestion(change, move.asked, expected, given)
