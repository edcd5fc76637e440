"""Tasks of lm-evaluation-harness as KPIs: the real harness, on task files and data made here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from avss.comparing.retention import compare
from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure

DOCS = [
    {"text": f"it made me {word}", "label": at % 2, "part": "ab"[at // 6]}
    for at, word in enumerate(["dizzy", "sleep", "pain", "well", "good", "bad"] * 2)
]


@pytest.fixture
def own_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Writes a task file with its documents; gives the KPI that asks for it."""
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def write(name: str = "side_effects", **fields: Any) -> dict[str, Any]:
        data = tmp_path / f"{name}.jsonl"
        data.write_text("".join(f"{json.dumps(doc)}\n" for doc in DOCS))
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {"data_files": {"test": str(data)}},
            "test_split": "test",
            "output_type": "multiple_choice",
            "doc_to_text": "{{text}} The sentiment is",
            "doc_to_choice": ["bad", "very good"],
            "doc_to_target": "label",
            "metric_list": [{"metric": "acc", "higher_is_better": True}, {"metric": "acc_norm"}],
        }
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump({**task, **fields}))
        return {"kind": "lm_eval", "task": name, "include_path": str(tmp_path)}

    return write


def test_the_harness_and_our_own_kpi_agree(tiny: Any, own_task: Any, capfd: Any) -> None:
    found = tiny.measure({**own_task(), "slice_by": ["part"]}, [])
    assert capfd.readouterr() == ("", "")  # no bars, no log
    mine = tiny.measure(
        {
            "kind": "multiple_choice",
            "prompt": "{text} The sentiment is",
            "choices": [" bad", " very good"],
            "target": "label",
            "metrics": ["accuracy", "accuracy_normalized"],
        },
        DOCS,
    )
    assert found.records == tuple(range(1, 13))
    assert found.columns["acc"].tolist() == mine.columns["correct"].tolist()
    assert found.slices == (tuple(f"part={doc['part']}" for doc in DOCS),)
    assert found.higher_is_better


def test_a_task_is_compared_like_any_other_kpi(tiny: Any, other: Any, own_task: Any) -> None:
    suite = load_kpis({"kpis": [{"name": "side", "limit": 10, **own_task()}]})
    base, candidate = (measure(one.model, one.tokenizer, suite, []) for one in (tiny, other))
    found = compare(candidate, base).kpis[0]
    assert (found.name, found.n) == ("side.acc", 10)
    assert found.broken is not None
    assert found.mcnemar_p is not None


def test_a_group_is_sliced_by_its_tasks(tiny: Any, own_task: Any, tmp_path: Path) -> None:
    own_task("one"), own_task("two")
    group = {
        "group": "both",
        "task": ["one", "two"],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": True}],
    }
    (tmp_path / "both.yaml").write_text(yaml.safe_dump(group))
    found = tiny.measure({"kind": "lm_eval", "task": "both", "include_path": str(tmp_path)}, [])
    assert found.slices == (("task=one",) * 12 + ("task=two",) * 12,)


@pytest.mark.parametrize(
    ("kpi", "task", "fault"),
    [
        ({"task": "unknown"}, {}, "KPI k, task unknown: .* has no task or group of this name"),
        ({"metric": "f1"}, {}, "document 1: there is no metric 'f1'; the task has acc"),
        ({"filter": "strict"}, {}, "no document with the filter 'strict'"),
        ({}, {"doc_to_text": "{{text.nothing.at_all}}"}, "lm-eval raised UndefinedError"),
        ({}, {"dataset_kwargs": {"data_files": "/no/such.jsonl"}}, "Are its data there"),
        ({"metric": "acc_norm"}, {"metric_list": [{"metric": "acc_norm"}]}, None),
    ],
)
def test_what_a_task_cannot_do_names_its_place(
    tiny: Any, own_task: Any, kpi: dict[str, Any], task: dict[str, Any], fault: str | None
) -> None:
    asked = {**own_task(**task), **kpi}
    if fault is None:
        found = tiny.measure(asked, [])
        assert found.higher_is_better
        choices = {"choices": [" bad", " very good"], "metrics": ["accuracy_normalized"]}
        prompt = {"kind": "multiple_choice", "prompt": "{text} The sentiment is"}
        mine = tiny.measure({**prompt, **choices, "target": "label"}, DOCS)
        assert found.columns["acc_norm"].tolist() == mine.columns["correct_normalized"].tolist()
        return
    with pytest.raises(InputError, match=fault) as caught:
        tiny.measure(asked, [])
    assert "dizzy" not in str(caught.value)
