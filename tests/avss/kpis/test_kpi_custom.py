"""KPIs that are functions of the user: what they give is checked, what they quote is not told."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from avss.comparing.outcomes import Outcomes
from avss.comparing.retention import compare
from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return [float(len(r['text'])) for r in records]", None),
        ("raise ValueError(records[0]['text'])", "it raised ValueError"),
        ("return [1.0]", "it gave 1 values for 6 records"),
        ("return [float('nan')] * len(records)", "record 1: expected a finite number"),
    ],
)
def test_a_function_of_the_user(
    tiny: Any,
    reviews: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    body: str,
    fault: str | None,
) -> None:
    (tmp_path / "own_kpi.py").write_text(f"def grade(model, tokenizer, records):\n    {body}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_kpi", raising=False)
    kpi = {"kind": "custom", "function": "own_kpi:grade", "higher_is_better": False}
    if fault is None:
        found = tiny.measure(kpi, reviews)
        assert found.columns["value"].tolist() == [len(one["text"]) for one in reviews]
        assert not found.metric("value").higher_is_better
        return
    with pytest.raises(InputError, match=fault) as caught:
        tiny.measure(kpi, reviews)
    assert "tablet" not in str(caught.value)
    assert caught.value.__cause__ is None


OWN_PAIR = """
import numpy as np


def next_words(model, tokenizer, records):
    ids = [tokenizer(r["text"], return_tensors="pt")["input_ids"] for r in records]
    return [model(one).logits[0, -1].softmax(0)[:8].detach().numpy() for one in ids]


def nearness(candidate, base):
    assert candidate.shape == base.shape == (6, 8)
    return 1 - np.abs(candidate - base).sum(axis=1)


def too_few(candidate, base):
    return [1.0]


def quotes(candidate, base):
    raise ValueError("tablet")
"""


def test_a_function_of_the_user_judges_the_pair(
    tiny: Any,
    other: Any,
    reviews: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "own_pair.py").write_text(OWN_PAIR)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_pair", raising=False)
    kpi = {"name": "k", "kind": "custom", "function": "own_pair:next_words", "metric": "nearness"}

    def pair(compare_by: str) -> Any:
        own = {**kpi, "compare": f"own_pair:{compare_by}", "higher_is_better": True}
        suite = load_kpis({"kpis": [own]})
        found = [measure(one.model, one.tokenizer, suite, reviews) for one in (tiny, other)]
        stored = Outcomes.from_json(json.loads(json.dumps(found[0].to_json())))
        return compare(found[1], stored), compare(stored, found[0]), compare(found[1], None)

    (apart, same, alone) = (one.kpis[0] for one in pair("nearness"))
    assert apart.name == "k.nearness"
    assert apart.base_value == same.value == 1.0
    assert apart.retention < 1 == same.retention
    assert (alone.value, alone.reason) == (None, "a comparison needs a base")
    with pytest.raises(InputError, match="KPI k, compare own_pair:too_few: it gave 1 values for 6"):
        pair("too_few")
    with pytest.raises(InputError, match="compare own_pair:quotes: it raised ValueError"):
        pair("quotes")
    with pytest.raises(InputError, match="compare own_pair:missing: it could not be imported"):
        pair("missing")
