"""What a policy says of choosing layers and of healing is what a change does, on real servers."""

import json

import pytest
import torch
from safetensors.torch import save_file

from avss.healing.own_text import own_text
from avss.loading import load_model, load_tokenizer
from tests.flows.parts import RECORDS, reviews

pytestmark = pytest.mark.stack


@pytest.fixture
def sure_world(world, stack):
    """A base that is sure of its guesses, and reviews that it wrote: so healing helps."""
    folder = world.folder / "model"
    model, tokenizer = load_model(folder), load_tokenizer(folder)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(30)
    model.save_pretrained(folder)
    parts = [json.loads(line) for line in reviews(range(RECORDS)).splitlines()]
    written = own_text(model, tokenizer, tokens=20 * RECORDS, length=20)
    for record, tokens in zip(parts, written, strict=True):
        record["said"] = tokenizer.decode(tokens)
    lines = [json.dumps(record) + "\n" for record in parts]
    half = RECORDS // 2
    for number, some in enumerate((lines[:half], lines[half:])):
        stack.data().put(f"2026/part-{number}.jsonl", "".join(some).encode())
    return world


def test_layers_are_scored_and_chosen_on_the_text_that_the_policy_gives(world):
    selection = {"score_tokens": 100, "probe_tokens": 400, "own_text_share": 0.5}
    world.rewrite("policy.yaml", selection=selection)
    world.here("optimize", "--config", "run.yaml", code=4)
    step = world.view.change(world.change).steps[0]
    assert world.view.documents.get(step.ranked.scores)["records"] == 10  # min_records
    probe = world.view.documents.get(step.probed.probe)
    (path,) = (world.home / "cache" / "healing").rglob("probe.json")
    kept = json.loads(path.read_text())
    assert probe["own_tokens"] == kept["tokens"] == 200
    own = sum(len(row) - 1 for row in kept["rows"])
    assert 190 < own < 210
    assert 150 < probe["tokens"] - own <= 200
    model, tokenizer = (load(world.folder / "model") for load in (load_model, load_tokenizer))
    assert kept["rows"] == own_text(model, tokenizer, tokens=200)
    told = world.here("policy", "explain", "policy.yaml")
    assert "scored on 100 tokens or 10 texts, whichever is more" in told
    assert "50% of them the base model's own text" in told


def test_what_the_rules_refuse_is_followed_by_the_way_before_it(sure_world):
    """No candidate keeps all of a KPI for certain, so both ways are tried.

    The training begins anew beside a checkpoint of another one, and leaves nothing.
    """
    world = sure_world
    world.rewrite(
        "policy.yaml",
        limits={"max_layers_removed": 1, "max_share_removed": None, "attempts_per_step": 1},
        healing={"gated": "each", "methods": ["none", "distilled"], "training_tokens": 20_000},
        kpis={"default": {"min_retention": 1.0, "worst_slice": None, "max_drop_per_step": None}},
    )
    kept = world.home / "cache" / "healing"
    foreign = kept / world.change / "1-1.safetensors"
    foreign.parent.mkdir(parents=True)
    save_file({"x": torch.zeros(1)}, foreign, metadata={"state": '{"fingerprint": "another"}'})
    told = world.here("optimize", "--config", "run.yaml", code=3)
    assert f"avss dossier {world.change}" in told
    assert list(kept.iterdir()) == []
    healed, cut = world.view.change(world.change).steps[0].attempts
    assert (healed.built.healing, cut.built.healing) == ("distilled", "none")
    assert healed.built.layer == cut.built.layer
    assert healed.built.model != cut.built.model
    evidence = world.view.documents.get(cut.judged.evidence)
    assert [one["healing"] for one in evidence["refused_before"]] == ["distilled"]
    page = world.page(f"{world.change}/1.html")
    rows = page.partition('id="tried"')[2].partition("</table>")[0]
    assert rows.index("Distillation") < rows.index("<td>None</td>")
    assert rows.count("badge fail") == 2
    assert f'href="{world.change}/1.html"' in world.page("index.html")
