"""Where a change stands, in a few plain values for people and programs."""

from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

from policies.entries import MonitorChecked
from policies.errors import LawError
from policies.lifecycle import ChangeState, Request, State
from policies.policy import Policy
from policies.schema import rfc3339
from tasks.errors import MissingError, TaskError
from tasks.record.line_view import LineView


@dataclass(frozen=True)
class Standing:
    """One change at a glance. `waiting_for` is a step's number or "promotion"."""

    line: str
    change: str
    outcome: str
    """How it ended, or `open`."""
    original_layers: int
    kept_layers: tuple[int, ...]
    approved_steps: int
    waiting_for: str | None
    waiting_until: str | None
    approvals: tuple[str, ...]
    """Who has approved what is waited for."""
    live_version: str | None
    """The line's version in use."""
    model: str
    approvals_missing: int | None = None
    """How many more people must approve what is waited for; None where nothing is."""
    roles_asked: tuple[str, ...] = ()
    """The roles that may still make up what is missing."""
    move_asked: str | None = None
    """A move of the version in use by hand that people are asked about."""
    move_until: str | None = None
    incident: int | None = None
    """Number of the open incident of the model in use."""
    last_check: bool | None = None
    """What the last check on fresh data said; None where there was none."""
    last_checked: str | None = None
    exit_code: ClassVar[int] = 0

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"kept_layers": list(self.kept_layers), "fault": None}


@dataclass(frozen=True)
class NoStanding:
    """A line of which nothing can be told: its record does not hold, or is not all there."""

    line: str
    fault: str
    exit_code: int

    def to_json(self) -> dict[str, Any]:
        """Plain data: a standing's fields, of which nothing is known."""
        unknown = dict.fromkeys(field.name for field in fields(Standing))
        return unknown | {"line": self.line, "fault": self.fault}


def standing_of_line(view: LineView) -> Standing | NoStanding:
    """Where a line's open or last change stands; what is wrong with one line hides no other."""
    try:
        state = view.state
        closed = [one.change for one in state.closed]
        if state.change is None and not closed:
            raise MissingError(f"Line {view.line} has no change yet.")
        return standing_of(view, state.change or closed[-1])
    except (LawError, TaskError) as error:
        if error.exit_code == 1:
            raise
        return NoStanding(view.line, str(error), error.exit_code)


def standing_of(view: LineView, change: ChangeState) -> Standing:
    """Where a change of a line stands, and the line with it."""
    state = view.state
    closed = next((one for one in state.closed if one.change.id == change.id), None)
    requests = [change.promotion, *(step.request for step in reversed(change.steps))]
    unsettled = (one for one in requests if one is not None and one.settled is None)
    waiting = None if closed else next(unsettled, None)
    live = state.live.registered if state.live else None
    return Standing(
        line=change.id.rpartition("-")[0],
        change=change.id,
        outcome=closed.outcome if closed else "open",
        original_layers=change.original_layers,
        kept_layers=change.kept,
        approved_steps=len(change.approved_steps),
        waiting_for=str(waiting.asked.step) if waiting else None,
        waiting_until=rfc3339(waiting.asked.expires) if waiting else None,
        approvals=tuple(
            one.approver or "" for one in (waiting.decisions if waiting else ()) if one.valid
        ),
        live_version=live.version if live else None,
        model=change.model,
        **_missing(view.policy_of(change), waiting),
        **_watched(view, state),
    )


def _missing(policy: Policy, waiting: Request | None) -> dict[str, Any]:
    """How many approvals are missing, and from whom."""
    if waiting is None:
        return {}
    gate = policy.approval_gate(waiting.asked.step, override=waiting.asked.override)
    given = [one for one in waiting.decisions if one.valid and one.decision == "approve"]
    lacking = tuple(
        role
        for role, count in gate.at_least.items()
        if sum(role in one.roles for one in given) < count
    )
    missing = max(gate.quorum - len({one.approver for one in given}), len(lacking))
    only_those = missing <= len(lacking)
    return {
        "approvals_missing": missing,
        "roles_asked": lacking if only_those else tuple(gate.roles),
    }


def _watched(view: LineView, state: State) -> dict[str, Any]:
    """What is known of the version in use beside the change."""
    move, check = state.open_move, state.last_check
    times = [one.time for one in view.record.entries if isinstance(one.body, MonitorChecked)]
    asked = move.asked if move else None
    return {
        "move_asked": f"{asked.move.action} to version {asked.move.version}" if asked else None,
        "move_until": rfc3339(asked.expires) if asked else None,
        "incident": state.incident.opened.number if state.incident else None,
        "last_check": check.passed if check else None,
        "last_checked": rfc3339(times[-1]) if times else None,
    }
