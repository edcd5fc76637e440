"""What earlier changes of the line mean for the open one: nothing new, or refused by people before.

A refusal by people holds as long as what they looked at is what they would look at again: the same
model to start from, the same policy and KPIs, and data that has not drifted since.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from policies.entries import StepRejected
from policies.lifecycle.state import ChangeState, ClosedChange, State

COMPARED = 8
Likeness = TypeVar("Likeness")


def nothing_new(state: State, change: ChangeState) -> ClosedChange | None:
    """The earlier change that was refused on exactly this: start, rules and data."""
    if change.opened.start_model is None or change.snapshot is None:
        return None
    splits = change.snapshot.splits
    return next(
        (
            one
            for one in reversed(state.closed)
            if one.outcome in ("refused", "rejected")
            and _same_game(one.change, change)
            and one.change.snapshot is not None
            and one.change.snapshot.splits == splits
        ),
        None,
    )


def refusals(state: State, change: ChangeState) -> tuple[ChangeState, ...]:
    """Earlier changes from the same start under the same rules in which people said no."""
    if change.opened.start_model is None:
        return ()
    return tuple(
        one.change
        for one in state.closed
        if one.change.snapshot is not None
        and _same_game(one.change, change)
        and (_promotion_refused(one.change) or _refused_layers(one.change, change.start_model))
    )


def still_alike(
    refused: Sequence[ChangeState], compare: Callable[[ChangeState], Likeness | None]
) -> dict[str, Likeness]:
    """The refusals whose data is like today's, by change: as many as it takes, the newest first.

    One that says nothing beyond those found already is not compared, and no more than `COMPARED`
    are: a comparison is dear, and their number must not grow with a line's history.

    Args:
        refused: what `refusals` found.
        compare: how alike the data is; None where it is not.
    """
    alike: dict[str, Likeness] = {}
    said: frozenset[object] = frozenset()
    compared = 0
    for earlier in reversed(refused):
        if _said(earlier) <= said or compared == COMPARED:
            continue
        compared += 1
        found = compare(earlier)
        if found is not None:
            alike[earlier.id] = found
            said |= _said(earlier)
    return alike


def barred(state: State, change: ChangeState) -> frozenset[int]:
    """Layers that people refused to let go from the current model, where that still holds."""
    return frozenset(
        layer for one in _still_like(state, change) for layer in _refused_layers(one, change.model)
    )


def promotion_barred(state: State, change: ChangeState) -> ChangeState | None:
    """The earlier change whose promotion people refused, where that still holds."""
    return next((one for one in _still_like(state, change) if _promotion_refused(one)), None)


def _still_like(state: State, change: ChangeState) -> tuple[ChangeState, ...]:
    like = change.drift.unchanged_since if change.drift else {}
    return tuple(one for one in refusals(state, change) if one.id in like)


def _same_game(earlier: ChangeState, change: ChangeState) -> bool:
    then, now = earlier.opened, change.opened
    return (then.base_model, earlier.start_model, then.policy, then.kpis) == (
        now.base_model,
        change.start_model,
        now.policy,
        now.kpis,
    )


def _said(earlier: ChangeState) -> frozenset[object]:
    """What people refused: layers of a model, and the promotion of a start's outcome."""
    parents = {step.parent for step in earlier.steps}
    layers = {(parent, one) for parent in parents for one in _refused_layers(earlier, parent)}
    return frozenset(layers | ({"promotion"} if _promotion_refused(earlier) else set()))


def _refused_layers(earlier: ChangeState, parent: str) -> frozenset[int]:
    return frozenset(
        step.chosen.built.layer
        for step in earlier.steps
        if step.parent == parent
        and step.chosen is not None
        and step.request is not None
        and isinstance(step.request.settled, StepRejected)
    )


def _promotion_refused(earlier: ChangeState) -> bool:
    return earlier.promotion is not None and isinstance(earlier.promotion.settled, StepRejected)
