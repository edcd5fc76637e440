"""Sizing on paper: the formulas count what a model that is run counts, and the docs print them."""

from pathlib import Path

import pytest

from benchmarks.sizing import check, options, report

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN, END = "<!-- sizing: begin -->\n", "<!-- sizing: end -->\n"


def test_the_formulas_count_what_a_model_counts() -> None:
    found = check()
    formula, saved = found.pop("bytes of weights")
    assert formula < saved < formula * 1.02  # safetensors has a header
    for name, (one, other) in found.items():
        assert one == pytest.approx(other), name


def test_the_tables_in_the_docs_are_those_of_the_command() -> None:
    text = PAGE.read_text(encoding="utf-8")
    written = text.partition(BEGIN)[2].partition(END)[0]
    assert written == report(options([])), "python benchmarks/sizing.py prints them anew"
