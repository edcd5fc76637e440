"""`avss init` on real S3: files that a first run accepts, and bad answers that are named."""

import json

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from typer.testing import CliRunner

from flows.cli import app
from policies.keys import public_line
from tasks.run_file import RunFile


@pytest.fixture
def shop(s3, tmp_path, make_tiny_model, made_up_reviews):
    """A model, data in S3 and two people's public keys."""
    make_tiny_model(tmp_path / "model")
    s3.data().put("2026/part-0.jsonl", made_up_reviews(range(60)))
    for name in ("ann", "ben"):
        key = Ed25519PrivateKey.generate().public_key()
        (tmp_path / f"{name}.pub").write_text(public_line(key))
    return s3, tmp_path


def init(*arguments: str, answers: str | None = None, code: int = 0):
    result = CliRunner().invoke(app, ["init", *arguments], input=answers)
    assert result.exit_code == code, result.output
    return result


def arguments(s3, folder, **changes: str) -> list[str]:
    values = {
        "line": s3.unique,
        "requester": "Mia",
        "model": str(folder / "model"),
        "data": s3.data().uri(),
        "work": s3.names.work,
        "ledger": s3.names.ledger,
    } | changes
    named = [word for name, value in values.items() for word in (f"--{name}", value)]
    people = [f"Ann:product:{folder}/ann.pub", f"Ben:risk:{folder}/ben.pub"]
    return [str(folder), *named, *(word for one in people for word in ("--approver", one))]


def test_without_questions_everything_is_detected_written_and_tried(shop):
    s3, folder = shop
    found = json.loads(init(*arguments(s3, folder), "--format", "json").stdout)
    assert all(check["ok"] for check in found["checks"])
    assert found["fields"] == {"text": "said", "id": "n", "label": "mood", "segment": "shop"}
    run = RunFile.load(folder / "run.yaml")
    assert run.model.source == "model"
    kpis = yaml.safe_load((folder / "kpis.yaml").read_text())["kpis"]
    assert [kpi["name"] for kpi in kpis] == ["mood", "text"]
    assert "said" not in json.dumps([check["detail"] for check in found["checks"]])


def test_what_does_not_work_yet_is_told_and_exits_2(shop):
    s3, folder = shop
    said = init(*arguments(s3, folder, ledger=s3.names.data, requester="Ann"), code=2).stdout
    words = " ".join(said.split())
    assert words.count("✗") == 2
    assert s3.names.data in words
    assert "approvals.step" in words
    assert (folder / "run.yaml").exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "s3://no-such-bucket-here/x"}, "no-such-bucket-here"),
        ({"line": "No Line!"}, "line"),
        ({"policy": "lax"}, "standard, strict"),
        ({"field": "tekst=said"}, "PART=FIELD"),
    ],
)
def test_a_wrong_answer_is_named(shop, changes, words):
    s3, folder = shop
    result = init(*arguments(s3, folder, **changes), code=2)
    assert words in " ".join((result.output + result.stderr).split())
    assert "Traceback" not in result.output


def test_without_a_terminal_what_is_missing_is_named(tmp_path):
    assert "--model" in " ".join(init(str(tmp_path), code=2).stderr.split())
