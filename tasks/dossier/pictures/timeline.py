"""A line through time: changes and moves by hand, and how many layers are gone since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tasks.dossier.pictures.scales import Scale

TOP, BASE = 26.0, 150.0
LEFT, RIGHT = 6.0, 94.0


@dataclass(frozen=True)
class Moment:
    """A change or a move in time. `at` is in seconds since 1970; `outcome` says how to mark it.

    `ending` is the key of the text that tells it; `in_use`: whether its model was in use then.
    """

    name: str
    at: float
    removed: int | None
    outcome: str
    ending: str
    in_use: bool


@dataclass(frozen=True)
class Mark:
    """Where a change stands: across in percent, down in pixels."""

    moment: Moment
    x: float
    y: float


@dataclass(frozen=True)
class Timeline:
    """Marks in the order of time; the way joins those whose model was put in use,
    and goes on to the last mark."""

    marks: tuple[Mark, ...]
    way: tuple[tuple[Mark, Mark], ...]
    down: tuple[tuple[float, int], ...]


def timeline(moments: Sequence[Moment]) -> Timeline | None:
    """Marks of `moments` (the oldest first); None without any.

    What was not promoted stands at the level of the model that stayed in use.
    """
    if not moments:
        return None
    times = [one.at for one in moments]
    across = Scale(min(times), max(max(times), min(times) + 1), LEFT, RIGHT)
    most = max([one.removed or 0 for one in moments] + [1])
    down = Scale(0, most, BASE, TOP)
    marks, level = [], 0
    for one in moments:
        if one.in_use:
            level = one.removed or 0
        marks.append(Mark(one, across(one.at), down(level)))
    live = [mark for mark in marks if mark.moment.in_use]
    whole = sorted({round(tick) for tick in down.ticks(4)})
    if live and live[-1] is not marks[-1]:
        live.append(marks[-1])
    return Timeline(tuple(marks), tuple(pairwise(live)), tuple((down(t), t) for t in whole))
