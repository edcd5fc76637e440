"""Where a change stands, for stages that can only be asked for once it stands there."""

from policies.entries import SnapshotPinned
from policies.lifecycle import Attempt, ChangeState, State, StepState


def change_of(state: State) -> ChangeState:
    """The open change."""
    if state.change is None:
        raise ValueError("there is no open change")
    return state.change


def pinned(change: ChangeState) -> SnapshotPinned:
    """The change's snapshot."""
    if change.snapshot is None:
        raise ValueError("the change has no snapshot yet")
    return change.snapshot


def step_of(change: ChangeState, number: int) -> StepState:
    """A step that has begun."""
    step = change.step(number)
    if step is None:
        raise ValueError(f"step {number} has not begun")
    return step


def attempt_of(step: StepState, number: int) -> Attempt:
    """A candidate that was built."""
    return step.attempts[number - 1]


def last_manifest(state: State) -> str | None:
    """Digest of the snapshot behind the model in use; None where there is none yet."""
    promoted = state.promoted
    return pinned(promoted.change).manifest if promoted else None
