"""The index of a line: every change, newest first, and what was saved."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from tasks.dossier import ChangeFact, EventFact, IndexFacts, render_index
from tasks.dossier.pictures.timeline import Moment, timeline
from tasks.dossier.texts import LANGUAGES

DAY = datetime(2026, 11, 24, tzinfo=UTC)
INDEX = IndexFacts(
    line="support",
    original_layers=30,
    live_version="3",
    currency="USD",
    made=DAY,
    saved_month=1500.0,
    saved_so_far=4200.0,
    changes=(
        ChangeFact(
            change="support-0001",
            ending="promoted",
            opened=DAY,
            layers_removed=4,
            saved_month=1000.0,
            worst_retention_low=0.931,
            worst_kpi="sentiment.auc",
            version="2",
            page="support-0001/dossier.html",
        ),
        ChangeFact(change="support-9999", ending="rejected", saved_month=700.0, opened=DAY),
        ChangeFact(change="support-10000", ending="promoted", layers_removed=7, saved_month=500.0),
    ),
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_newest_change_comes_first_and_links_to_its_dossier(language: str) -> None:
    html = render_index(INDEX, language)
    order = [html.index(f"support-{n}<") for n in ("10000", "9999", "0001")]
    assert order == sorted(order)
    assert '<a href="support-0001/dossier.html">' in html


@pytest.mark.parametrize(
    ("language", "month", "so_far"),
    [("en", "$1,500", "$4,200 so far"), ("ja", "1,500ドル", "累計 4,200ドル")],
)
def test_what_is_saved_now_and_so_far_stands_at_the_top(language, month, so_far) -> None:
    html = render_index(INDEX, language)
    assert f'<data value="1500.0">{month}</data>' in html
    assert so_far in html


def test_the_timeline_marks_every_change_with_a_date_by_its_outcome() -> None:
    html = render_index(INDEX)
    marks = re.findall(r'<circle class="moment (\w+)".*?<title>([^ ]+)', html)
    assert marks == [("pass", "support-0001"), ("fail", "support-9999")]


EVENTS = (
    EventFact(
        kind="incident", at=DAY + timedelta(days=2), version="3", reason="text.kept 0.7 of 0.9"
    ),
    EventFact(
        kind="rollback",
        at=DAY + timedelta(days=3),
        version="2",
        requester="Mia <b>",
        deciders=("Ben",),
        reason="answers are\u202e wrong",
    ),
    EventFact(kind="replaced", at=DAY + timedelta(days=3), version="3", reason="another is in use"),
    EventFact(kind="kept", at=DAY + timedelta(days=9), version="3", reason="rejected"),
)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "Led back to version 2 by hand"), ("ja", "バージョン2へ手動で切り戻し")],
)
def test_moves_by_hand_and_incidents_stand_beside_the_changes(language: str, words: str) -> None:
    html = render_index(INDEX.model_copy(update={"events": EVENTS}), language)
    assert html.count(f"<title>{words}</title>") == 1
    table = html.split("</figure>")[1]
    order = [table.index(one.at.isoformat()) for one in reversed(EVENTS)]
    assert order == sorted(order)
    assert "Mia &lt;b&gt;" in table
    assert "⟨U+202E⟩" in table
    assert html.count('<path class="moment moved"') == 1
    assert html.count('<line class="way"') == 2


def test_after_a_move_by_hand_the_line_shows_the_layers_of_that_version() -> None:
    marks = timeline(
        [
            Moment("a", 0.0, 4, "pass", "ending.promoted", in_use=True),
            Moment("b", 1.0, 7, "pass", "ending.promoted", in_use=True),
            Moment("1", 2.0, 4, "moved", "event.rollback", in_use=True),
            Moment("c", 3.0, 9, "fail", "ending.rejected", in_use=False),
        ]
    )
    assert marks is not None
    heights = [mark.y for mark in marks.marks]
    assert heights[0] == heights[2] == heights[3]
    assert heights[1] < heights[0]
    assert [(a.moment.name, b.moment.name) for a, b in marks.way] == [
        ("a", "b"),
        ("b", "1"),
        ("1", "c"),
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_line_without_changes_has_an_index(language: str) -> None:
    html = render_index(IndexFacts(line="<b>new"), language)
    assert "&lt;b&gt;new" in html
    assert "<table" not in html


@pytest.mark.parametrize("page", ["javascript:alert(1)", "//host/x", "../x", "/etc", "a/../b"])
def test_a_page_outside_the_index_folder_is_refused(page: str) -> None:
    with pytest.raises(ValidationError):
        ChangeFact(change="support-0001", page=page)


def test_after_a_rollback_the_layers_gone_are_those_of_the_version_in_use() -> None:
    changes = tuple(
        ChangeFact(
            change=f"s-000{n}", ending="promoted", opened=DAY, layers_removed=3 * n, version=str(n)
        )
        for n in (1, 2)
    )
    for version, gone in (("1", 3), ("2", 6)):
        html = render_index(IndexFacts(line="s", live_version=version, changes=changes))
        card = html.split("Layers gone")[1].split("</li>")[0]
        assert f'<data value="{gone}">{gone}</data>' in card
