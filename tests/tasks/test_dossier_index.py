"""The index of a line: every change, newest first, and what was saved."""

import re
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from tasks.dossier import ChangeFact, IndexFacts, render_index
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


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_line_without_changes_has_an_index(language: str) -> None:
    html = render_index(IndexFacts(line="<b>new"), language)
    assert "&lt;b&gt;new" in html
    assert "<table" not in html


@pytest.mark.parametrize("page", ["javascript:alert(1)", "//host/x", "../x", "/etc", "a/../b"])
def test_a_page_outside_the_index_folder_is_refused(page: str) -> None:
    with pytest.raises(ValidationError):
        ChangeFact(change="support-0001", page=page)
