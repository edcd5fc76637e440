"""`avss init` on real S3: files that a first run accepts, and bad answers that are named."""

import json

import pytest
import yaml
from cryptography.hazmat.primitives import serialization
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


def test_a_terminal_asks_and_asks_again_where_an_answer_cannot_be_used(shop, at_terminal):
    s3, folder = shop
    (folder / "rsa.pub").write_text("ssh-rsa AAAA nobody")
    seen = at_terminal(
        *("init", "line", "--work", s3.names.work),
        cwd=folder,
        home=folder / "home",
        answers=[
            ("Name of the line [line]", "No Line!"),
            ("Name of the line [line]", s3.unique),
            ("Model (folder", "model"),
            ("Data (s3://", "s3://no-such-bucket-here/x"),
            ("Data (s3://", s3.data().uri()),
            ("Field for text (- for none) [said]", "-"),
            ("Field for text", "tekst"),
            ("Field for text", ""),
            ("Field for id (- for none) [n]", ""),
            ("Field for label (- for none) [mood]", ""),
            ("Field for timestamp (- for none) [-]", ""),
            ("Field for segment (- for none) [shop]", "-"),
            ("Field for answer (- for none) [-]", ""),
            ("Policy (standard", "lax"),
            ("Policy (standard", "exploratory"),
            ("Who asks", "Mia"),
            ("Ledger bucket [avss-ledger]", s3.names.ledger),
            ("Approver's name", "Ann"),
            ("Roles of Ann (the policy asks for approver)", "approver"),
            ("Public key file of Ann", "rsa.pub"),
            ("Roles of Ann", "approver"),
            ("Public key file of Ann", "ann.pub"),
            ("Approver's name", "-"),
        ],
    )
    assert seen.code == 0, seen.screen
    words = " ".join(seen.screen.split())
    for told in ("lower-case letters", "no bucket no-such-bucket-here", "Expected one of n, said"):
        assert told in words
    assert "Next: avss optimize --config line/run.yaml" in words
    run = RunFile.load(folder / "line" / "run.yaml")
    assert (run.line, run.model.source) == (s3.unique, str(folder / "model"))
    assert run.data.fields.mapped() == {"text": "said", "id": "n", "label": "mood"}
    kpis = yaml.safe_load((folder / "line" / "kpis.yaml").read_text())["kpis"]
    assert [(kpi["name"], "slice_by" in kpi) for kpi in kpis] == [("mood", False), ("text", False)]
    taken = at_terminal("init", "line", cwd=folder, home=folder / "home")
    assert (taken.code, "exists" in taken.screen) == (2, True)
    assert "Name of the line" not in taken.screen


@pytest.mark.stack
def test_a_first_run_takes_the_files_to_its_first_gate(world, stack, made_up_reviews):
    """Labels are words that the tiny model's tokenizer knows."""
    records = made_up_reviews(range(240)).replace(b'"good"', b'"w1"').replace(b'"bad"', b'"w2"')
    stack.data().put("labelled/part-0.jsonl", records)
    people = [
        f"--approver=Ann:approver:{key_file(world, 'Ann')}",
        f"--approver=Ben:approver:{key_file(world, 'Ben')}",
    ]
    data = stack.data().uri("labelled/")
    begun = ("--line", f"{world.line}-b", "--model", "model", "--data", data)
    world.avss(
        *("init", "begun", *begun, "--field", "segment=", "--requester", "Mia"),
        *("--policy", "exploratory", *people, "--yes"),
    )
    config = ("optimize", "--config", "begun/run.yaml", "--format", "json")
    asked = json.loads(world.avss(*config, code=4))
    assert (asked["change"], asked["waiting_for"]) == (f"{world.line}-b-0001", "1")


def key_file(world, name: str) -> str:
    """A person's public key as a file."""
    key = serialization.load_ssh_private_key((world.folder / "keys" / name).read_bytes(), None)
    path = world.folder / f"{name}.pub"
    path.write_text(public_line(key.public_key()))
    return str(path)
