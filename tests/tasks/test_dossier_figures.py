"""Figures, pictures and foreign texts stand in a page whatever they are."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.dossier import DossierFacts, render
from tasks.dossier.facts.quality import (
    KpiFact,
    RetentionFact,
    TradeoffPoint,
)
from tasks.dossier.figures import Figures, visible

finite = st.floats(allow_nan=False, allow_infinity=False, min_value=-1e6, max_value=1e6)


maybe = st.none() | finite


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.integers(0, 300), maybe, maybe, maybe), max_size=6),
    st.lists(st.tuples(maybe, maybe, maybe), max_size=6),
)
def test_pictures_stand_any_finite_figures(
    points: list[tuple[int, float | None, float | None, float | None]],
    kpis: list[tuple[float | None, float | None, float | None]],
) -> None:
    facts = DossierFacts(
        line="x",
        tradeoff=tuple(
            TradeoffPoint(
                layers_removed=n,
                kpis=(RetentionFact(kpi="k", retention=a, retention_low=b),),
                cost=c,
            )
            for n, a, b, c in points
        ),
        kpis=tuple(
            KpiFact(name=f"k{i}", retention=a, retention_low=b, limit=c)
            for i, (a, b, c) in enumerate(kpis)
        ),
    )
    html = render(facts)
    numbers = re.findall(r'(?:cx|x1|x2|x|width)="(-?[\d.]+)%"', html)
    assert all(0 <= float(number) <= 100 for number in numbers)
    assert not re.search(r"\b(nan|inf)\b", html)


@given(st.text(max_size=400))
def test_nothing_hidden_is_left_in_a_text(text: str) -> None:
    shown = visible(text)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", shown)


@given(st.floats(0, 2), st.floats(0, 2))
def test_a_percentage_never_hides_which_side_of_the_limit_it_is_on(
    value: float, limit: float
) -> None:
    figures = Figures("en")
    if abs(value - limit) > 1e-5:
        assert figures.percent(value, limit) != figures.percent(limit, value)


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", ("24 November 2026, 16:30 UTC", "$1,240", "¥50,000", "134.5 million", "−13.0%")),
        ("ja", ("2026年11月25日 01:30（日本時間）", "1,240ドル", "50,000円", "1.345億", "−13.0%")),
    ],
)
def test_local_forms(language: str, expected: tuple[str, ...]) -> None:
    figures = Figures(language)
    moment = datetime(2026, 11, 24, 16, 30, tzinfo=UTC)
    assert expected == (
        figures.date(moment),
        figures.money(1240.4, "USD"),
        figures.money(50_000, "JPY"),
        figures.large(134_515_008),
        figures.change(0.87),
    )


@given(finite)
def test_numbers_are_shown_to_four_digits_or_better(value: float) -> None:
    text = Figures("en").number(value).replace(",", "").replace("−", "-")
    assert float(text) == pytest.approx(value, rel=1e-3, abs=1e-12)
