"""Answers side by side: which records are shown, and nothing where the policy allows no text."""

import json
from types import SimpleNamespace

import pytest

from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.loading import load_model, load_tokenizer
from policies.canonical import canonical_bytes
from policies.policy import parse_policy
from tasks.measuring.examples import examples_of

SUITE = load_kpis(
    {
        "kpis": [
            {
                "name": "mood",
                "kind": "classification",
                "prompt": "{said} so",
                "labels": {"good": " w1", "bad": " w2"},
                "target": "mood",
            },
            {"name": "text", "kind": "perplexity", "text": "{said}"},
        ]
    }
)


@pytest.fixture
def job(tmp_path, make_tiny_model, made_up_reviews):
    """As much of a job as is asked for: two models that answer differently, and records."""
    for name, seed in (("base", 0), ("candidate", 1)):
        make_tiny_model(tmp_path / name, seed=seed)

    def load(name: str):
        return SimpleNamespace(
            model=load_model(tmp_path / name), tokenizer=load_tokenizer(tmp_path / name)
        )

    records = [json.loads(line) for line in made_up_reviews(range(30)).splitlines()]
    return SimpleNamespace(
        suite=SUITE,
        records=lambda manifest, split: records,
        models=SimpleNamespace(load=load),
        policy=parse_policy("name: trial\ndossier: {examples: 6}\n"),
    )


def shown(job):
    measured = tuple(
        measure(it.model, it.tokenizer, SUITE, job.records("m", "validation"))
        for it in map(job.models.load, ("base", "candidate"))
    )
    return examples_of(job, ("base", "candidate"), "m", "validation", measured)


def test_half_of_what_is_shown_is_answered_otherwise(job):
    document = shown(job)
    (kpi,) = document["kpis"]
    assert kpi["kpi"] == "mood"
    assert [one["differs"] for one in kpi["examples"]] == [True] * 3 + [False] * 3
    for one in kpi["examples"]:
        record = job.records("m", "validation")[one["record"] - 1]
        assert one["asked"].startswith(record["said"][:20])
        assert (one["base"] != one["candidate"]) == one["differs"]
        assert {one["base"], one["candidate"]} <= {"good", "bad"}
    assert canonical_bytes(document)


def test_without_the_policys_word_there_is_no_text(job):
    job.policy = parse_policy("name: trial\n")
    assert job.policy.dossier.examples == 0
    assert shown(job) is None
