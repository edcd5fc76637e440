"""The one command of the benchmarks names files that are there and options that they take."""

import importlib
import json
import os
import random
import subprocess
import sys
import threading
import time
import zipfile
from pathlib import Path

import pytest
import torch

from avss.loading import load_tokenizer
from benchmarks import year_report
from benchmarks.__main__ import COMMANDS
from benchmarks.operators import products, shares
from benchmarks.overhead import Clock, timing
from deployments.reviews import Review
from tests.flows.parts import WORDS, tiny_model

ROOT = Path(__file__).parent.parent
FILES = [words.split()[0] for words in COMMANDS.values() if not words.startswith("-m ")]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_takes_what_it_is_given(name):
    words = COMMANDS[name].split()
    if words[0] == "-m":
        words = [words[1].replace(".", "/") + ".py", *words[2:]]
    source = (ROOT / words[0]).read_text()
    for option in (word for word in words if word.startswith("--")):
        assert f'"{option}"' in source


@pytest.mark.parametrize("name", sorted({*FILES, "benchmarks/choosing.py"}))
def test_a_benchmark_that_is_a_file_runs_as_one(name, tmp_path):
    """From any folder, with nothing told of where the project lies."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / name), "--help"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def test_what_the_overhead_is_counted_beside_has_the_names_that_it_is_given():
    with timing() as clock:
        assert clock.calls == {}


def test_what_runs_beside_the_main_thread_is_no_wall_time_of_the_overhead():
    clock = Clock()
    work = clock.timed("push", time.sleep)
    beside = threading.Thread(target=work, args=(0.01,))
    beside.start()
    beside.join()
    assert clock.calls == clock.wall == {}
    work(0.01)
    assert clock.calls == {"push": 1}
    assert clock.wall["push"] >= 0.01


def test_the_operators_of_a_product_are_told_as_products():
    square = torch.randn(256, 256)
    found = shares(lambda: [(square @ square).relu() for _ in range(20)])
    assert sum(found.values()) == pytest.approx(1)
    assert 0 < products(found) < 1
    assert products({name: at for name, at in found.items() if name != "aten::mm"}) == 0


@pytest.fixture
def report(monkeypatch):
    """A part of the benchmark of choosing, which is run as a file and finds them beside it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("choosing_report")


def test_what_choosing_learns_from_is_not_what_it_is_measured_on(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    data_of, questions = importlib.import_module("choosing_data"), tmp_path / "q.whl"
    draw = random.Random(0)
    tiny_model(tmp_path / "model")
    words = load_tokenizer(tmp_path / "model")
    reviews = [
        Review(
            f"r{at}", " ".join(draw.choices(WORDS, k=30)), "positive", None, "x", "2020-01-01", 0
        )
        for at in range(600)
    ]
    monkeypatch.setattr(data_of, "read_reviews", lambda *_: reviews)
    rows = [{"q": f"what is {at}", "a": f"it is {at}"} for at in range(40)]
    with zipfile.ZipFile(questions, "w") as archive:
        lines = "\n".join(json.dumps(row) for row in rows)
        archive.writestr("zaragoza_construction_faq/data/faq-en.jsonl", lines)
    own = [[at % 60, 1, 2, at // 60] for at in range(300)]
    data = data_of.load_data(tmp_path, questions, words, own, tmp_path / "x", limit=None)
    parts = {
        name: {tuple(row) for row in getattr(data, name)}
        for name in ("fit", "held_out", "probe", "train")
    }
    assert parts["fit"] <= parts["train"]
    assert not parts["held_out"] & (parts["train"] | parts["probe"])
    assert not parts["probe"] & parts["train"]
    measured = {tuple(words(one["text"])["input_ids"]) for one in data.measured[0].records}
    assert len(measured) == 379
    assert not measured & set().union(*parts.values())
    for asked in data.measured[1].records:
        assert asked["choices"][asked["right"]] == f" {asked['answer']}"
        assert len(set(asked["choices"])) == 4


def test_a_line_of_choosing_shows_value_retention_and_limit(report):
    kpi = {"value": 12.5, "retention": 0.8, "retention_low": 0.75}
    lost = {"value": None, "retention": None, "retention_low": None}
    line = {"method": "SLEB", "removed": 3, "passes": 88.4, "seconds": 7.0}
    kpis = dict.fromkeys(report.METRICS, kpi) | {"sentiment.auc": lost}
    head, rule, row = report.table([line | {"kpis": kpis}], 30).splitlines()
    assert head.count("|") == rule.count("|") == row.count("|")
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["SLEB", "3 (10%)", "12.5: 0.800 [0.750]"]
    assert cells[3] == "not told"
    assert cells[-2:] == ["88", "7"]


def test_a_year_s_report_tells_also_what_could_not_be_compared():
    lived = {"entries": 21, "outcome": "refused", "attempts": 2, "seconds": 14.2}
    found = {
        "entries": 20,
        "outcomes": {"refused": 1},
        "packs_verified": ["year-0001"],
        "audited": {"versions": 0, "files": 0},
        "models_kept": 1,
        "models_made": 3,
        "curve": {
            "one step": {
                "changes": 1,
                "median_first_half": None,
                "median_second_half": 14.2,
            }
        },
        "beside_a_new_line": {
            "turns": [[lived, lived | {"attempts": 1}]],
            "old_over_new": None,
        },
    }
    told = year_report.report(found)
    assert "| one step | 1 |  | 14.20 |  |" in told
    assert "| 21, 2, refused, 14.2 | 21, 1, refused, 14.2 |" in told
    assert "| models kept of those made | 1 of 3 |" in told
    assert told.endswith("nothing to compare")
