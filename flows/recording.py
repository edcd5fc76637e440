"""Appending to a line's record while other runs may append too."""

from collections.abc import Callable
from functools import partial

from policies.entries import AliasBody, Body, Entry, WatchBody
from policies.errors import UnlawfulTransitionError
from policies.lifecycle import State, advance
from tasks.errors import ConflictError
from tasks.job import Job
from tasks.record.journal import Dated

ASIDE = (AliasBody, WatchBody)
"""What may come in between while a change is worked on: it says nothing of the change."""

Check = Callable[[State, Entry], object]


def append(
    job: Job, state: State, body: Body | Dated, change: str | None, check: Check
) -> tuple[State, Entry]:
    """Append one entry, where need be after what other runs said aside meanwhile.

    Args:
        job: the run; its journal has followed the record as far as `state` has.
        state: where the line stands for this run.
        body: what to say.
        change: the change that it belongs to.
        check: raises where the entry may not follow a state.

    Returns:
        The state after it, and the entry.

    Raises:
        ConflictError: another run said something about the same change.
    """
    while True:
        try:
            entry = job.journal.append(body, change, partial(check, state))
        except ConflictError as conflict:
            state = _caught_up(job, state, conflict)
            continue
        return advance(state, entry), entry


def _caught_up(job: Job, state: State, conflict: ConflictError) -> State:
    """The state after what came in meanwhile; the conflict, where that is not aside."""
    job.journal.refresh()
    for entry in job.journal.entries[state.length :]:
        if not isinstance(entry.body, ASIDE):
            raise conflict
        try:
            state = advance(state, entry)
        except UnlawfulTransitionError as error:
            raise conflict from error
    return state
