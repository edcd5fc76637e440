"""Where a change stands, in a few plain values for people and programs."""

from dataclasses import asdict, dataclass
from typing import Any

from policies.lifecycle import ChangeState, State
from policies.schema import rfc3339


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

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self) | {"kept_layers": list(self.kept_layers)}


def standing_of(change: ChangeState, state: State) -> Standing:
    """Where a change of the line `state` stands."""
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
    )
