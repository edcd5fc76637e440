"""What versions save, counted from the record: each while it was in use, against the original."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from policies.entries import (
    AliasKept,
    AliasMoved,
    AliasRequested,
    IncidentClosed,
    IncidentOpened,
    ModelPromoted,
    Move,
)
from tasks.record.index_page import index_facts

START = datetime(2026, 1, 1, tzinfo=UTC)
MONTH = timedelta(days=365.25 / 12)
ORIGINAL, FIRST, SECOND = ("a" * 64, "b" * 64, "c" * 64)


def change(number: int, base: str, model: str, saved: float | None):
    """A promoted change whose holdout evidence tells a saving."""
    return SimpleNamespace(
        id=f"shop-{number:04d}",
        opened=SimpleNamespace(base_model=base, requester="Mia", run="run"),
        opened_at=START,
        original_layers=10,
        kept=tuple(range(10 - number)),
        approved_steps=(),
        steps=(),
        holdout=SimpleNamespace(evidence=f"e{number}", measurements="m"),
        registered=SimpleNamespace(version=str(number)),
        promotion=object(),
        promoted=SimpleNamespace(model=model),
        valid_decisions=(SimpleNamespace(approver="Ann"),),
        money=saved,
    )


def view_of(changes, entries):
    documents = {"m": {"kpis": [{"name": "auc", "retention_low": 0.9}]}}
    for one in changes:
        cost = None
        if one.money is not None:
            cost = {"savings_per_month": one.money, "currency": "EUR"}
        documents |= {f"e{one.id[-1]}": {"documents": {"profile": one.id}}, one.id: {"cost": cost}}
    closed = [SimpleNamespace(change=it, outcome="promoted", closed_at=START) for it in changes]
    return SimpleNamespace(
        line="shop",
        state=SimpleNamespace(closed=closed, change=None),
        documents=SimpleNamespace(get_kept=documents.get),
        record=SimpleNamespace(entries=[SimpleNamespace(body=b, time=t) for b, t in entries]),
    )


def promoted(model: str, version: str) -> ModelPromoted:
    return ModelPromoted(
        model=model, version=version, alias="champion", previous_version=None, deciders=("Ann",)
    )


MOVED = AliasMoved(
    number=1,
    alias="champion",
    version="1",
    model=FIRST,
    previous_version=None,
    deciders=("Ann",),
    reason="worse",
)
ASKED = AliasRequested(
    number=1,
    move=Move(
        action="rollback",
        version="1",
        model=FIRST,
        from_version="2",
        from_model=SECOND,
        requester="Mia",
        reason="rude since Monday",
        policy="d" * 64,
        roster="e" * 64,
    ),
    evidence="f" * 64,
    expires=START + MONTH,
)
TWO = (change(1, ORIGINAL, FIRST, 100.0), change(2, FIRST, SECOND, 50.0))
ENTRIES = [
    (promoted(FIRST, "1"), START),
    (promoted(SECOND, "2"), START + 2 * MONTH),
    (MOVED, START + 3 * MONTH),
    (None, START + 5 * MONTH),
]


def test_savings_add_up_along_versions_and_stop_with_a_rollback():
    facts = index_facts(view_of(TWO, ENTRIES))
    assert facts.live_version == "1"
    assert facts.saved_month == 100.0
    assert facts.saved_so_far == pytest.approx(2 * 100 + 150 + 2 * 100)
    assert facts.currency == "EUR"
    assert [one.saved_month for one in facts.changes] == [100.0, 50.0]


def test_what_moved_by_hand_and_what_was_found_are_told():
    found = IncidentOpened(number=1, model=SECOND, version="2", reason="below its floor")
    over = IncidentClosed(number=1, how="replaced", reason="another version is in use")
    kept = AliasKept(number=2, outcome="rejected", deciders=("Ben",), reason="no")
    entries = [*ENTRIES[:2], (found, START), (ASKED, START), ENTRIES[2], (over, START)]
    facts = index_facts(view_of(TWO, [*entries, (kept, START), ENTRIES[3]]))
    told = [(one.kind, one.version, one.requester, one.reason) for one in facts.events]
    assert told == [
        ("incident", "2", "", "below its floor"),
        ("rollback", "1", "Mia", "rude since Monday"),
        ("replaced", "2", "", "another version is in use"),
        ("kept", "", "", "no"),
    ]
    assert facts.events[1].deciders == ("Ann",)


def test_without_prices_nothing_is_claimed():
    unpriced = (change(1, ORIGINAL, FIRST, None), change(2, FIRST, SECOND, 50.0))
    facts = index_facts(view_of(unpriced, ENTRIES[:2] + ENTRIES[3:]))
    assert facts.live_version == "2"
    assert facts.saved_month is None
    assert facts.saved_so_far is None
