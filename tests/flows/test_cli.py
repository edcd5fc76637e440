"""The command line's contracts: JSON on stdout, exit codes, and messages that say what to do."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from flows.cli import app


@pytest.fixture(scope="module")
def model(tmp_path_factory, make_tiny_model) -> str:
    folder = tmp_path_factory.mktemp("cli") / "model"
    make_tiny_model(folder)
    return str(folder)


@pytest.fixture
def data(tmp_path, made_up_reviews) -> str:
    path = tmp_path / "reviews.jsonl"
    path.write_bytes(made_up_reviews(range(40)))
    return str(path)


@pytest.fixture(autouse=True)
def _alone(monkeypatch, tmp_path):
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))


def avss(*arguments: str, code: int = 0) -> str:
    """Run a command in this process; returns stdout, or stderr where it must fail."""
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == code, f"{result.exit_code}: {result.output}"
    return result.stdout if code == 0 else result.stderr


def test_score_keeps_its_contract(model, data):
    found = json.loads(
        avss("score", "--model", model, "--data", data, "--text-field", "said", "--format", "json")
    )
    assert {"model", "source", "epsilon", "records", "tokens", "layers", "ranking"} <= set(found)
    assert found["model"] == model
    assert [layer["index"] for layer in found["layers"]] == list(range(6))
    scores = {layer["index"]: layer["avss"] for layer in found["layers"]}
    ranked = [scores[place["index"]] for place in found["ranking"]]
    assert ranked == sorted(ranked)
    assert found["ranking"][-1]["cumulative_share"] == pytest.approx(1)


def test_score_ranks_by_what_is_asked_for_and_says_how_stable_that_is(model, data):
    common = ("score", "--model", model, "--data", data, "--text-field", "said")
    asked = ("--by", "block_influence", "--bootstrap", "50", "--dtype", "bfloat16")
    found = json.loads(avss(*common, *asked, "--device", "cpu", "--format", "json"))
    influence = {layer["index"]: layer["block_influence"] for layer in found["layers"]}
    ranked = [influence[place["index"]] for place in found["ranking"]]
    assert ranked == sorted(ranked)
    assert len(found["stability"]["rank_intervals"]) == 6
    assert "Kendall's tau" in avss(*common, "--bootstrap", "50")
    assert "tpu9" in avss(*common, "--device", "tpu9", code=2)
    assert "nonsense" in avss(*common, "--by", "nonsense", code=2)


def test_score_reads_layer_by_layer_where_asked(model, data):
    common = ("score", "--model", model, "--data", data, "--text-field", "said")
    whole = avss(*common, "--format", "json")
    assert avss(*common, "--layer-by-layer", "--format", "json") == whole
    assert "one device" in avss(*common, "--layer-by-layer", "--device", "auto", code=2)


def test_prune_evaluate_and_profile_keep_theirs(model, data, tmp_path):
    out = str(tmp_path / "cut")
    said = avss("prune", "--model", model, "--drop", "1,4", "--out", out)
    assert "Proven by reload" in " ".join(said.split())
    manifest = json.loads((tmp_path / "cut" / "avss_manifest.json").read_text())
    assert manifest["kept_original_indices"] == [0, 2, 3, 5]
    kpis = tmp_path / "kpis.yaml"
    kpi = {"name": "text", "kind": "perplexity", "text": "{said}", "slice_by": ["shop"]}
    kpis.write_text(yaml.safe_dump({"kpis": [kpi | {"min_support": 5}]}))
    common = ("--model", out, "--base", model, "--format", "json")
    found = json.loads(avss("evaluate", *common, "--kpis", str(kpis), "--data", data))["kpis"][0]
    assert found["name"] == "text.token_perplexity"
    assert found["retention"] == pytest.approx(found["base_value"] / found["value"])
    assert found["retention_low"] <= found["retention"]
    assert {part["slice"] for part in found["slices"]} == {"shop=north", "shop=south"}
    sizes = json.loads(avss("profile", *common))
    assert sizes["size"]["parameters"] < sizes["base_size"]["parameters"]


def test_evaluate_judges_and_keeps_what_it_measured(model, data, tmp_path):
    """Layer 1 is gone: the average would do at this limit, and a slice of it is not known."""
    avss("prune", "--model", model, "--drop", "1", "--out", str(tmp_path / "cut"))
    kpis = tmp_path / "kpis.yaml"
    kpi = {"name": "text", "kind": "perplexity", "text": "{said}", "slice_by": ["shop"]}
    kpis.write_text(yaml.safe_dump({"kpis": [kpi | {"min_support": 5}]}))
    common = ("--base", model, "--kpis", str(kpis), "--data", data)
    asked = ("evaluate", "--model", str(tmp_path / "cut"), *common, "--format", "json")
    found = json.loads(avss(*asked, "--min-retention", "0.01"))
    assert found["gate"]["passed"]
    assert found["reused"] == [[], []]
    again = json.loads(avss(*asked))
    assert again["reused"] == [["text"], ["text"]]
    assert again["kpis"] == found["kpis"]
    assert "gate" not in again
    result = CliRunner().invoke(app, [*asked, "--min-slice-retention", "1"])
    assert result.exit_code == 3
    gate = json.loads(result.stdout)["gate"]
    assert {one["slice"] for one in gate["verdicts"]} == {"shop=north", "shop=south"}
    table = CliRunner().invoke(app, [*asked[:-2], "--min-retention", "1"])
    assert table.exit_code == 3
    assert "✗" in table.stdout
    assert "compare with a --base" in avss(
        "evaluate", "--model", model, *common[2:], "--min-retention", "0.9", code=2
    )


def test_profile_turns_speed_into_money(model):
    asked = ("--prompt-tokens", "4", "--decode-tokens", "2", "--batch-size", "1", "--repeats", "1")
    price = ("--price-per-hour", "2", "--currency", "EUR", "--prompt-tokens-per-month", "1e9")
    found = json.loads(avss("profile", "--model", model, *asked, *price, "--format", "json"))
    cost = found["cost"]
    assert cost["cost_per_month"] == pytest.approx(2 * cost["hours_per_month"])
    assert any("2 EUR" in assumption for assumption in cost["assumptions"])
    assert "EUR" in avss("profile", "--model", model, *asked, *price)
    assert "tokens a month" in avss("profile", "--model", model, *asked, *price[:2], code=2)
    assert "Device tpu9" in avss("profile", "--model", model, "--device", "tpu9", code=2)


def test_heal_tries_what_is_asked_for_and_saves_a_model_that_loads(model, data, tmp_path):
    cut, healed = str(tmp_path / "cut"), str(tmp_path / "healed")
    avss("prune", "--model", model, "--drop", "2,3", "--out", cut)
    pair = ("--base", model, "--data", data, "--text-field", "said", "--format", "json")
    ways = ("--method", "closed_form", "--method", "distilled", "--training-tokens", "300")
    rate = ("--learning-rate", "2e-4")
    found = json.loads(avss("heal", "--model", cut, "--out", healed, *pair, *ways, *rate))
    assert found["learning_rate"] == 2e-4
    assert [way["method"] for way in found["tried"]] == ["none", "closed_form", "distilled"]
    best = min(found["tried"], key=lambda way: way["loss"])
    assert (found["method"], found["loss_after"]) == (best["method"], best["loss"])
    manifest = json.loads((tmp_path / "healed" / "avss_manifest.json").read_text())
    assert manifest["kept_original_indices"] == [0, 1, 4, 5]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    assert "already exists" in avss("heal", "--model", cut, "--out", healed, *pair, code=2)
    new, still = str(tmp_path / "new"), (*ways, "--learning-rate", "0")
    assert "learning_rate is 0" in avss("heal", "--model", cut, "--out", new, *pair, *still, code=2)
    whole = avss("heal", "--model", model, "--out", new, *pair, code=2)
    assert "no gap to heal" in " ".join(whole.split())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["score", "--model", "/no/model", "--data", "DATA"], ["/no/model"]),
        (
            ["score", "--model", "MODEL", "--data", "DATA", "--text-field", "txt"],
            ["txt", "record 1"],
        ),
        (["score", "--model", "MODEL", "--data", "/no/data.jsonl"], ["/no/data.jsonl"]),
        (["score", "--model", "MODEL", "--data", "DATA", "--epsilon", "0"], ["epsilon"]),
        (["prune", "--model", "MODEL", "--drop", "9", "--out", "OUT"], ["9"]),
        (["prune", "--model", "MODEL", "--drop", "one", "--out", "OUT"], ["one", "3,17"]),
        (["optimize", "--config", "/no/run.yaml"], ["/no/run.yaml"]),
        (["verify", "/no/pack"], ["/no/pack"]),
        (["status", "what?"], ["what?"]),
        (["score"], ["--model"]),
    ],
)
def test_bad_input_is_named_and_exits_2(model, data, tmp_path, arguments, words):
    places = {"MODEL": model, "DATA": data, "OUT": str(tmp_path / "out")}
    filled = [places.get(argument, argument) for argument in arguments]
    if arguments[0] == "score" and "--text-field" not in filled:
        filled += ["--text-field", "said"]
    said = " ".join(avss(*filled, code=2).split())
    assert all(word in said for word in words), said
    assert "Traceback" not in said


def test_a_fault_of_ours_exits_1_without_a_traceback(monkeypatch):
    def broken(**_: object) -> None:
        raise RuntimeError("a review said this")

    monkeypatch.setattr("tasks.doctor.diagnose", broken)
    said = avss("doctor", code=1)
    assert "RuntimeError" in said
    assert "review" not in said


def test_a_policy_is_explained_and_checked(tmp_path):
    told = json.loads(avss("policy", "explain", "strict", "--format", "json"))
    assert told["policy"] == "strict"
    assert any("3 different people" in sentence for sentence in told["requires"])
    assert "Nobody can override the rules." in avss("policy", "explain", "standard")
    found = json.loads(avss("policy", "check", "standard", "--layers", "30", "--format", "json"))
    assert (found["fits"], found["contradictions"], found["digest"]) == (
        True,
        [],
        json.loads(avss("policy", "explain", "standard", "--format", "json"))["digest"],
    )
    assert len(found["checked"]) + len(found["not_checked"]) == 4
    kpis = tmp_path / "kpis.yaml"
    kpis.write_text(yaml.safe_dump({"kpis": [{"name": "text", "kind": "perplexity"}]}))
    policy = tmp_path / "policy.yaml"
    policy.write_text("name: mine\nkpis: {text.token_perplexty: {min_retention: 0.9}}\n")
    check = ("policy", "check", str(policy), "--kpis", str(kpis))
    assert "did you mean text.token_perplexity" in avss(*check, code=2)
    policy.write_text("name: mine\nkpis: {default: {min_retention: 1.1}}\n")
    assert "kpis.default.min_retention" in avss(*check, code=2)
    assert "one of standard, strict" in avss("policy", "check", str(tmp_path / "no.yaml"), code=2)


def test_a_policy_that_its_run_files_roster_cannot_meet(tmp_path):
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3URoK"
    roster = {"people": [{"name": "Ann", "roles": ["risk"], "keys": [{"key": key}]}]}
    (tmp_path / "approvers.yaml").write_text(yaml.safe_dump(roster))
    run = {
        "line": "reviews",
        "requester": "Ann",
        "model": {"source": "model"},
        "data": {"uri": "s3://data/x", "format": "jsonl", "fields": {"id": "n", "text": "said"}},
        "kpis": {"kpis": [{"name": "text", "kind": "perplexity"}]},
        "buckets": {"work": "work", "ledger": "ledger"},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(run))
    check = ("policy", "check", "standard", "--config", str(tmp_path / "run.yaml"))
    found = " ".join(avss(*check, code=2).split())
    assert "approvals.step: 2 people must approve in the role product or risk" in found
    assert "the roster has 0 who may decide on line reviews now" in found
