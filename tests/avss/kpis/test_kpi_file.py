"""The KPI file: what is read, and what is refused with its place."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from avss.errors import InputError
from avss.kpi_file import kinds as kpi_kinds
from avss.kpi_file.suite import KpiSuite, load_kpis

WHOLE = """
kpis:
  - name: sentiment
    kind: classification
    prompt: "Review: {text}\\nThe sentiment of this review is"
    labels: {1: " positive", 0: " negative"}
    target: label
    metrics: [accuracy, auc]
    slice_by: [condition, {field: text, by: characters, edges: [100, 500]}]
    rare_cases: {field: id, values: [3, 17]}
  - name: text
    kind: perplexity
    text: "{text}"
    metrics: [token_perplexity]
"""


def test_a_file_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "kpis.yaml"
    path.write_text(WHOLE)
    suite = load_kpis(path)
    assert [kpi.name for kpi in suite.kpis] == ["sentiment", "text"]
    assert list(suite.kpis[0].labels) == ["1", "0"]


def test_the_example_has_one_of_each_kind() -> None:
    example = load_kpis(Path(__file__).parents[3] / "docs" / "example" / "kpis.yaml")
    kinds = [kpi.kind for kpi in example.kpis]
    assert sorted(kinds) == [
        "agreement",
        "classification",
        "custom",
        "generation",
        "multiple_choice",
        "perplexity",
    ]


def test_the_digest_is_of_the_meaning(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text(WHOLE)
    (tmp_path / "two.yaml").write_text("# a remark\n" + WHOLE.replace('    text: "{text}"\n', ""))
    one, two = load_kpis(tmp_path / "one.yaml"), load_kpis(tmp_path / "two.yaml")
    assert one.digest == two.digest
    other = load_kpis({"kpis": [{"name": "text", "kind": "perplexity"}]})
    assert other.digest != one.digest


CLASSIFICATION: dict[str, Any] = {
    "name": "k",
    "kind": "classification",
    "prompt": "{text}",
    "labels": {"a": " a", "b": " b"},
    "target": "label",
}


@pytest.mark.parametrize(
    ("kpi", "fault"),
    [
        ({**CLASSIFICATION, "labels": {"a": " a"}}, r"kpis.0.classification.labels"),
        ({**CLASSIFICATION, "prompt": "{text.__class__}"}, "plain {field} names"),
        ({**CLASSIFICATION, "prompt": "{text"}, "prompt"),
        ({**CLASSIFICATION, "metrics": ["f2"]}, "metrics"),
        ({**CLASSIFICATION, "prmpt": "x"}, "prmpt"),
        ({**CLASSIFICATION, "truncate_field": "other"}, "must be a field of the prompt"),
        ({**CLASSIFICATION, "slice_by": [{"field": "n", "by": "number"}]}, "edges are needed"),
        (
            {**CLASSIFICATION, "slice_by": [{"field": "n", "by": "number", "edges": [2, 1]}]},
            "edges must rise",
        ),
        ({"name": "k", "kind": "perplexity", "max_tokens": 4, "stride": 5}, "stride"),
        (
            {"name": "k", "kind": "perplexity", "rare_cases": {"field": "id", "values": [1]}},
            "k.rare_cases needs a metric that is right or wrong",
        ),
        ({"name": "k", "kind": "generation", "prompt": "x"}, "target is needed"),
        (
            {"name": "k", "kind": "generation", "prompt": "x", "metrics": ["regex"]},
            "pattern and the metric",
        ),
        (
            {
                "name": "k",
                "kind": "generation",
                "prompt": "x",
                "metrics": ["regex"],
                "pattern": "(",
            },
            "not a regular expression",
        ),
        ({"name": "k", "kind": "multiple_choice", "prompt": "x", "target": "t"}, "either choices"),
        (
            {"name": "k", "kind": "agreement", "prompt": "x", "metrics": ["label_agreement"]},
            "label_agreement needs two labels",
        ),
        ({"name": "k", "kind": "custom", "function": "f"}, "function"),
        ({"name": "k", "kind": "unknown"}, "kind"),
        ({"name": "K 1", "kind": "perplexity"}, "name"),
    ],
)
def test_a_fault_names_its_field(kpi: dict[str, Any], fault: str) -> None:
    with pytest.raises(InputError, match=fault):
        load_kpis({"kpis": [kpi]})


def test_a_broken_file_names_itself(tmp_path: Path) -> None:
    path = tmp_path / "kpis.yaml"
    path.write_text("kpis: [\n- {")
    with pytest.raises(InputError, match=r"kpis.yaml: not valid YAML at line 2"):
        load_kpis(path)
    with pytest.raises(InputError, match=r"none.yaml: the KPI file could not be read"):
        load_kpis(tmp_path / "none.yaml")
    path.write_text("- a list")
    with pytest.raises(InputError, match=r"kpis.yaml"):
        load_kpis(path)
    with pytest.raises(InputError, match="found twice: k"):
        load_kpis({"kpis": [CLASSIFICATION, CLASSIFICATION]})


def test_every_field_is_documented() -> None:
    kinds = [KpiSuite, *(one for one in vars(kpi_kinds).values() if isinstance(one, type))]
    undocumented = [
        f"{kind.__name__}.{name}"
        for kind in kinds
        if issubclass(kind, BaseModel)
        for name, field in kind.model_fields.items()
        if not field.description and name != "kind"
    ]
    assert not undocumented
