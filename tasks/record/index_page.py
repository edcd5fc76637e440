"""The index of a line, made from its record: every change, what became of it, what it saves."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from policies.entries import AliasMoved, ModelPromoted
from policies.lifecycle import ChangeState, ClosedChange
from tasks.dossier import ChangeFact, IndexFacts, render_index
from tasks.record.deciding import asked_step, told_step
from tasks.record.events import events_of
from tasks.record.line_view import LineView

_SECONDS_A_MONTH = 365.25 / 12 * 86_400


@dataclass(frozen=True)
class _Money:
    """A saving a month, as a profile tells it."""

    saved: float
    currency: str


def index_of(view: LineView, language: str | None = None) -> str:
    """The index as one self-contained HTML page.

    Args:
        view: the line.
        language: "en" or "ja"; None takes the last change's.

    Raises:
        MissingError: the line has no record.
    """
    spoken = language or view.documents.get(_changes(view)[-1].opened.run)["language"]
    return render_index(index_facts(view), spoken)


def index_facts(view: LineView) -> IndexFacts:
    """All changes of a line with their outcomes, and what the version in use saves."""
    changes, now = _changes(view), view.record.entries[-1].time
    money = {change.id: _money(view, change) for change in changes}
    rates = _rates(changes, money)
    closed = {one.change.id: one for one in view.state.closed}
    lives = list(_lives(view, now))
    live = lives[-1][0] if lives else None
    saved = [rate * months for body, months in lives if (rate := rates.get(body.model)) is not None]
    return IndexFacts(
        line=view.line,
        made=now,
        original_layers=changes[-1].original_layers,
        live_version=live.version if live else "",
        currency=next((it.currency for it in money.values() if it), ""),
        saved_month=rates.get(live.model) if live else None,
        saved_so_far=sum(saved) if saved else None,
        changes=tuple(
            _fact(view, change, closed.get(change.id), money[change.id]) for change in changes
        ),
        events=tuple(events_of(view.record.entries)),
    )


def _changes(view: LineView) -> list[ChangeState]:
    state = view.state
    return [*(one.change for one in state.closed), *([state.change] if state.change else [])]


def _fact(
    view: LineView, change: ChangeState, closed: ClosedChange | None, money: _Money | None
) -> ChangeFact:
    worst = min(_measured(view, change), key=lambda kpi: kpi["retention_low"], default=None)
    refused = closed is not None and closed.outcome == "refused"
    told = told_step(change) if refused else asked_step(change)
    return ChangeFact(
        change=change.id,
        ending=closed.outcome if closed else "open",
        opened=change.opened_at,
        closed=closed.closed_at if closed else None,
        requester=change.opened.requester,
        deciders=tuple(dict.fromkeys(one.approver or "" for one in change.valid_decisions)),
        layers_removed=change.original_layers - len(change.kept),
        worst_kpi=worst["name"] if worst else "",
        worst_retention_low=worst["retention_low"] if worst else None,
        saved_month=money.saved if money else None,
        version=change.registered.version if change.registered else "",
        page=f"{change.id}/{told}.html" if told is not None else "",
    )


def _measured(view: LineView, change: ChangeState) -> list[dict[str, Any]]:
    """KPIs with a limit of the change's current model: on the holdout, else of its last step."""
    digest = change.holdout.measurements if change.holdout else None
    chosen = change.approved_steps[-1].chosen if change.approved_steps else None
    if digest is None and chosen is not None and chosen.measured is not None:
        digest = chosen.measured.measurements
    kpis = view.documents.get_kept(digest)["kpis"] if digest else []
    return [kpi for kpi in kpis if kpi["retention_low"] is not None]


def _money(view: LineView, change: ChangeState) -> _Money | None:
    """What the change's current model saves a month against its base; None without prices."""
    chosen = change.approved_steps[-1].chosen if change.approved_steps else None
    reports: Mapping[str, str] = {}
    if change.holdout is not None:
        reports = view.documents.get_kept(change.holdout.evidence)["documents"]
    elif chosen is not None and chosen.measured is not None:
        reports = chosen.measured.reports
    cost = view.documents.get_kept(reports["profile"])["cost"] if "profile" in reports else None
    if cost is None or cost["savings_per_month"] is None:
        return None
    return _Money(cost["savings_per_month"], cost["currency"])


def _rates(
    changes: list[ChangeState], money: Mapping[str, _Money | None]
) -> dict[str, float | None]:
    """Model -> money a month against the original: its own saving and that of its base."""
    rates: dict[str, float | None] = {}
    for change in changes:
        own, before = money[change.id], rates.get(change.opened.base_model, 0.0)
        if change.promoted is not None:
            known = None if own is None or before is None else before + own.saved
            rates[change.promoted.model] = known
    return rates


def _lives(view: LineView, now: datetime) -> Iterator[tuple[ModelPromoted | AliasMoved, float]]:
    """Each promotion and each move by hand with the months that its model was in use."""
    moved = [
        (entry.body, entry.time)
        for entry in view.record.entries
        if isinstance(entry.body, ModelPromoted | AliasMoved)
    ]
    for at, (body, since) in enumerate(moved):
        until = moved[at + 1][1] if at + 1 < len(moved) else now
        yield body, (until - since).total_seconds() / _SECONDS_A_MONTH
