"""A change on the line that is a year old, beside the same change on one that has hardly begun.

The weeks of a year differ in their work, so their times alone do not tell what the length of the
record costs. Here both lines have the same base, data, policy and people; only the length differs.
"""

import statistics
from collections.abc import Callable
from typing import Any

from benchmarks.year_line import Lived, Year
from benchmarks.year_story import Week

TURNS = 6

NewLine = Callable[[int], Year]
"""A line without a record, whose next week is the one of this number."""


def beside(old: Year, new_line: NewLine, *, first_base: int, turns: int = TURNS) -> dict[str, Any]:
    """Seconds of a change on the old line over those on a new one, turn by turn.

    Every turn has a new line, which gets one change behind it before the clock counts, so that it
    has a model in use and a snapshot to compare with, as the old one has. Turns whose two changes
    did not try as many candidates are told and not counted.
    """
    turned = []
    for turn in range(turns):
        number = old.next_week
        young = new_line(number - 1)
        young.live([Week(base=first_base + turn)])
        for year in (old, young) if turn % 2 else (young, old):
            year.live([Week(base=first_base + turn + 1)])
        turned.append((old.lived[-1], young.lived[-1]))
    alike = [pair for pair in turned if pair[0].attempts == pair[1].attempts]
    return {
        "turns": [[_told(old), _told(young)] for old, young in turned],
        "old_over_new": _spread([old.seconds / young.seconds for old, young in alike]),
    }


def _told(lived: Lived) -> dict[str, Any]:
    return {
        "entries": lived.entries,
        "outcome": lived.outcome,
        "attempts": lived.attempts,
        "seconds": round(lived.seconds, 1),
    }


def _spread(ratios: list[float]) -> list[float] | None:
    """Least, median, most; None where there is nothing to compare."""
    if not ratios:
        return None
    return [round(one, 2) for one in (min(ratios), statistics.median(ratios), max(ratios))]
