"""Fold the record: one entry after the other, refusing what cannot follow.

Here only the order of a change's life is kept; `check_lawful` adds what its policy demands.
"""

from collections.abc import Iterable
from dataclasses import replace

from policies.entries import (
    AliasBody,
    Body,
    ChangeClosed,
    ChangeOpened,
    Entry,
    JobKeyChanged,
    ModelPromoted,
    WatchBody,
)
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.handlers import HANDLERS
from policies.lifecycle.handling import need
from policies.lifecycle.moves import follow_move
from policies.lifecycle.state import ChangeState, ClosedChange, State
from policies.lifecycle.watch import follow_watch


def fold(entries: Iterable[Entry]) -> State:
    """The state after these entries, from the line's first.

    Raises UnlawfulTransitionError naming the first entry that may not stand where it stands.
    """
    state = State()
    for entry in entries:
        state = advance(state, entry)
    return state


def advance(state: State, entry: Entry) -> State:
    """The state after one more entry. Raises UnlawfulTransitionError where it may not follow."""
    if entry.sequence != state.length:
        raise UnlawfulTransitionError(f"expected entry {state.length} here.", entry.sequence)
    need(entry, state.line in (None, entry.line), "it belongs to another line.")
    need(entry, state.time is None or entry.time >= state.time, "it is older than the one before.")
    after = replace(state, line=entry.line, length=state.length + 1, time=entry.time)
    body = entry.body
    if isinstance(body, ChangeOpened):
        return replace(after, change=_opened(state, entry, body))
    if isinstance(body, JobKeyChanged):
        need(entry, entry.change == (state.change.id if state.change else None), _OTHER_CHANGE)
        return after
    if isinstance(body, AliasBody):
        return follow_move(after, entry, body)
    if isinstance(body, WatchBody):
        return follow_watch(after, entry, body)
    change = _open_change(state, entry)
    if isinstance(body, ChangeClosed):
        _check_close(change, entry, body)
        over = ClosedChange(change, body.outcome, body.reason, entry.time)
        return replace(after, change=None, closed=(*state.closed, over))
    lived = (*state.lived, change.id) if isinstance(body, ModelPromoted) else state.lived
    return replace(after, change=_applied(change, entry, body), lived=lived)


_OTHER_CHANGE = "it belongs to a change that is not open."


def _opened(state: State, entry: Entry, body: ChangeOpened) -> ChangeState:
    need(entry, state.change is None, "a change is opened while another one is open.")
    expected = f"{entry.line}-{state.changes + 1:04d}"
    need(entry, entry.change == expected, f"the change should be called {expected}.")
    change = ChangeState(id=expected, opened=body, opened_at=entry.time, roster=body.roster)
    known = _known_models(state)
    for model, kept in (
        (body.base_model, body.kept_layers),
        (change.start_model, change.start_kept),
    ):
        own = (body.original_layers, kept)
        same = known.get(model, own) == own
        need(entry, same, "it says other layers of a model than the record does.")
    return change


def _known_models(state: State) -> dict[str, tuple[int, tuple[int, ...]]]:
    """Layers of the models that closed changes started from and came to, by digest."""
    return {
        model: (change.original_layers, kept)
        for change in (over.change for over in state.closed)
        for model, kept in (
            (change.opened.base_model, change.opened.kept_layers),
            (change.start_model, change.start_kept),
            (change.model, change.kept),
        )
    }


def _open_change(state: State, entry: Entry) -> ChangeState:
    change = state.change
    if change is None:
        raise UnlawfulTransitionError("no change is open.", entry.sequence)
    need(entry, entry.change == change.id, _OTHER_CHANGE)
    return change


def _check_close(change: ChangeState, entry: Entry, body: ChangeClosed) -> None:
    promoted = change.promoted is not None
    need(
        entry,
        (body.outcome == "promoted") == promoted,
        "the outcome is not what happened to the model.",
    )


def _applied(change: ChangeState, entry: Entry, body: Body) -> ChangeState:
    return HANDLERS[type(body)](change, entry, body)
