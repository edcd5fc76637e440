"""KPIs measured on shards of the records: merged, they are what the whole gives."""

import json

import numpy as np
import pytest

from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure, shards
from tests.avss.kpis.one_of_each import ONE_OF_EACH


def whole_and_shards(tiny, content, records, monkeypatch):
    monkeypatch.setattr(shards, "SHARD_RECORDS", 4)
    suite = load_kpis(content)
    pieces = shards.cut(suite, records)
    parts = [piece.measured(tiny.model, tiny.tokenizer) for piece in pieces]
    found = shards.merge(suite, pieces, parts)
    return measure(tiny.model, tiny.tokenizer, suite, records), found


def test_shards_of_the_records_merge_to_the_whole(tiny, reviews, monkeypatch):
    records = [
        {**one, "id": at, "right": at % 2, "long": "x" * at, "part": ["p", None, "q"][at % 3]}
        for at, one in enumerate(reviews * 2)
    ]
    for one in records[4:8]:
        one["label"] = "mixed"  # a whole shard that the first KPI cannot use
    content = json.loads(json.dumps(ONE_OF_EACH))
    edges = [{"field": "long", "by": "characters", "edges": [3, 40]}, "part"]
    content["kpis"][0] |= {
        "slice_by": edges,
        "rare_cases": {"field": "label", "values": ["negative"], "budget": 1},
    }
    whole, merged = whole_and_shards(tiny, content, records, monkeypatch)
    for one, other in zip(whole.kpis, merged.kpis, strict=True):
        assert (one.records, one.slices, one.notes) == (other.records, other.slices, other.notes)
        assert (one.left_out, one.truncated, one.rare) == (
            other.left_out,
            other.truncated,
            other.rare,
        )
        for name, column in one.columns.items():
            np.testing.assert_allclose(other.columns[name], column, rtol=1e-4, atol=1e-6)


def test_a_shard_names_records_as_the_whole_does(tiny, reviews, monkeypatch):
    records = [dict(one) for one in reviews]
    del records[5]["text"]
    content = {"kpis": [ONE_OF_EACH["kpis"][0]]}
    with pytest.raises(InputError, match="record 6"):
        whole_and_shards(tiny, content, records, monkeypatch)
    unusable = [one | {"label": "mixed"} for one in reviews]
    with pytest.raises(InputError, match=r"no record can be used \(its label is not listed: 6\)"):
        whole_and_shards(tiny, content, unusable, monkeypatch)
