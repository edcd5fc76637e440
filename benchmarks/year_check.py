"""What must hold at the end of a simulated year, and how long a change took as the record grew."""

import statistics
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from scipy.stats import theilslopes

from benchmarks.year_line import CANDIDATE_DAYS, Lived, Year, models_made
from policies.entries import AliasMoved
from policies.lifecycle import State
from policies.verification import verify_folder
from tasks import clock
from tasks.cleaning import plan_cleaning
from tasks.models.audit import audit_line
from tasks.record.export import export_pack

KINDS: dict[str, Callable[[Lived], bool]] = {
    "one step": lambda it: it.steps == 1,
    "no step": lambda it: it.steps == 0,
}


def check(year: Year, folder: Path) -> dict[str, Any]:
    """Verify packs, audit registry and files, hold storage against the policy.

    Raises:
        AssertionError: something is not as it must be.
        VerificationError: a pack does not hold.
    """
    view = year.life.view
    state, report = view.state, audit_line(view)
    assert report.clean, report.findings
    packs = {state.closed[0].change.id, state.closed[-1].change.id}
    packs |= {move.change for move in state.moves if isinstance(move.over, AliasMoved)}
    with year.time():
        for change in sorted(packs):
            export_pack(view, change, folder / change)
            verify_folder(folder / change)
        assert plan_cleaning(year.places).leftovers == ()
        now = clock.now()
    models, allowed = year.models_kept(), models_allowed(state, now, CANDIDATE_DAYS)
    assert models <= allowed, sorted(models - allowed)
    return {
        "entries": state.length,
        "packs_verified": sorted(packs),
        "audited": {"versions": report.versions, "files": report.files},
        "models_kept": len(models),
        "models_made": len(models_made(state)),
    }


def models_allowed(state: State, now: datetime, days: int) -> set[str]:
    """Models that may still be there: versions, their bases, the last base, what ended lately."""
    versions = [one.change for one in state.closed if one.change.registered]
    allowed = {one.registered.model for one in versions if one.registered}
    allowed |= {one.opened.base_model for one in versions}
    allowed.add(state.closed[-1].change.opened.base_model)
    for one in state.closed:
        if now - one.closed_at < timedelta(days=days):
            allowed |= {it.built.model for step in one.change.steps for it in step.attempts}
            allowed |= {one.change.opened.base_model, one.change.start_model}
    return allowed


def curve(lived: Sequence[Lived]) -> dict[str, Any]:
    """How seconds grow with the record: for changes of one step, of none, and for reading it."""
    found = {
        kind: trend([one.entries for one in lived if kept(one)], times)
        for kind, kept in KINDS.items()
        if (times := [one.seconds for one in lived if kept(one)])
    }
    entries, reading = [one.entries for one in lived], [one.reading for one in lived]
    return found | {"reading the record": trend(entries, reading)}


def trend(entries: Sequence[int], seconds: Sequence[float]) -> dict[str, Any]:
    """Theil-Sen slope in seconds a thousand entries, with its 95 % limits, and the medians."""
    half = len(seconds) // 2
    found: dict[str, Any] = {
        "changes": len(seconds),
        "median_first_half": statistics.median(seconds[:half]) if half else None,
        "median_second_half": statistics.median(seconds[half:]),
    }
    if len(set(entries)) > 2:
        slope, _, low, high = theilslopes(seconds, entries)
        found["seconds_a_thousand_entries"] = [round(it * 1000, 3) for it in (low, slope, high)]
    return found
