"""Whole changes on real servers with a tiny random model, through the command line alone."""

import base64
import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from model_signing import verifying
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey, FlowRunFilter
from prefect.settings import PREFECT_API_URL, temporary_settings

from tasks.errors import MissingError
from tasks.models.mlflow_client import new_client as mlflow_client
from tasks.models.registry import Registry
from tasks.models.shelf import ModelShelf
from tasks.record.duties import serves

pytestmark = pytest.mark.stack
ONCE = (
    "change.opened",
    "snapshot.pinned",
    "data.validated",
    "drift.checked",
    "base.measured",
    "layers.ranked",
    "shortlist.probed",
    "candidate.built",
    "candidate.measured",
    "candidate.judged",
    "decision.requested",
)


def recorded(world) -> list[str]:
    """The types of the line's entries so far; none before its first."""
    try:
        return [entry.type for entry in world.view.record.entries]
    except MissingError:
        return []


def test_a_change_is_approved_promoted_and_proven(world, at_terminal):
    asked = json.loads(world.avss("optimize", "--config", "run.yaml", "--format", "json", code=4))
    assert asked["waiting_for"] == "1"
    again = world.avss("optimize", "--config", "run.yaml", "--format", "json", code=4)
    assert json.loads(again) == asked
    world.avss("dossier", world.change, "--out", "page.html")
    page = (world.folder / "page.html").read_text()
    assert world.view.evidence_digest(world.view.change(world.change), 1) in page

    what_choosing_cost(world)
    what_prefect_shows(world)
    world.approve("Ann")
    world.avss("optimize", "--config", "run.yaml", code=4)
    standing = json.loads(world.avss("status", world.change, "--format", "json"))
    assert standing["approvals"] == ["Ann"]
    world.approve("Ben")
    promotion = json.loads(
        world.avss("optimize", "--config", "run.yaml", "--format", "json", code=4)
    )
    assert promotion["waiting_for"] == "promotion"
    world.approve("Ben")
    ended = json.loads(world.avss("optimize", "--config", "run.yaml", "--format", "json"))
    assert ended["outcome"] == "promoted"

    champion = Registry().current(world.line)
    change = world.view.change(world.change)
    assert champion.digest == change.model
    assert len(change.kept) == 5
    mlflow_leads_to_the_dossiers(world)
    index = world.page("index.html")
    assert f'<a href="{world.change}/promotion.html">' in index
    assert 'class="moment pass"' in index
    assert world.page(f"{world.change}/1.html") == page.replace("\r", "")
    exported = at_terminal(
        "export", world.change, "--out", "pack", piped=True, cwd=world.folder, home=world.home
    )
    assert exported.code == 0
    for words in ("Reading the record", "Collecting the evidence"):
        assert words in exported.screen
    assert "avss verify pack" in exported.stdout
    report = json.loads(world.avss("verify", "pack", "--format", "json"))
    assert (report["change"], report["outcome"]) == (world.change, "promoted")
    assert any("OpenSSF signature" in sentence for sentence in report["checked"])
    complete(world, change.model)
    tampered(world.folder / "pack")
    assert "altered" in world.avss("verify", "pack", code=5)
    leaks(world)


def what_prefect_shows(world) -> None:
    """An operator finds ranking, picture, KPIs, progress and the dossier's link by the change."""
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        found = {
            one.key.removeprefix(f"{world.change}-"): one
            for one in client.read_artifacts(
                artifact_filter=ArtifactFilter(key=ArtifactFilterKey(like_=f"{world.change}%"))
            )
        }
        runs = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(name={"any_": [f"optimize {world.line}"]})
        )
    kinds = {name: one.type for name, one in found.items()}
    assert kinds == {
        "step-1-ranking": "markdown",
        "step-1-picture": "image",
        "step-1-kpis": "table",
        "layers-removed": "progress",
        "dossier-1": "markdown",
    }
    assert found["step-1-picture"].data.startswith("data:image/svg+xml;base64,")
    assert f"{world.change}/1.html" in found["dossier-1"].data
    assert len(runs) == 2


def mlflow_leads_to_the_dossiers(world) -> None:
    tags = [run.data.tags for run in mlflow_client().search_runs([experiment_of(world)])]
    pages = {one["avss.dossier"].rpartition("/")[2] for one in tags if "avss.dossier" in one}
    assert pages == {"1.html", "promotion.html"}


def what_choosing_cost(world) -> None:
    """The scoring counts too; the ranking as published reads no more than the probe's tokens."""
    step = world.view.change(world.change).steps[0]
    scores = world.view.documents.get(step.ranked.scores)
    probe = world.view.documents.get(step.probed.probe)
    assert scores["published"]["tokens"] <= 400 < scores["tokens"] <= 1500
    scored = scores["tokens"] + scores["published"]["tokens"]
    assert probe["scoring_forward_equivalents"] * probe["tokens"] == pytest.approx(scored)


def complete(world, model: str) -> None:
    """What strangers read in the pack: bill of materials, model signature, map of duties."""
    pack = world.folder / "pack"
    bom = (pack / "extra" / "ml-bom.cdx.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    made = json.loads(bom)["metadata"]["component"]
    assert {"name": "avss:model", "value": model} in made["properties"]
    assert "model.safetensors" in {part["name"] for part in made["components"]}
    kpis = {one["type"] for one in made["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]}
    assert {"mood.accuracy", "text.token_perplexity"} <= kpis

    signed = pack / "extra" / "model"
    verifier = verifying.Config().use_elliptic_key_verifier(public_key=signed / "model.pub")
    verifier.verify(ModelShelf(world.view.work).folder(model), signed / "model.sig")

    mapped = json.loads((pack / "extra" / "duties.json").read_text())
    files = [path.relative_to(pack).as_posix() for path in pack.rglob("*") if path.is_file()]
    for path in files:
        assert any(serves(one, path) for one in mapped["documents"]), path
    for one in mapped["documents"]:
        assert any(serves(one, path) for path in files), one["path"]
    page = (pack / "extra" / "duties.md").read_text()
    assert mapped["as_of"] in page
    assert "no legal advice" in page


def tampered(pack: Path) -> None:
    entry = sorted((pack / "ledger").iterdir())[3]
    entry.write_bytes(entry.read_bytes().replace(b"A", b"B", 1))


def leaks(world) -> None:
    """No review's text is in the record, its documents or pages."""
    for path in (world.folder / "pack").rglob("*"):
        assert path.is_dir() or world.sample.encode() not in path.read_bytes()


def test_kill_at_many_stages_loses_and_repeats_nothing(world):
    for stop_after in ("snapshot.pinned", "base.measured", "candidate.built"):
        process = world.start("optimize", "--config", "run.yaml")
        deadline = time.monotonic() + 200
        while stop_after not in recorded(world) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert stop_after in recorded(world)
    world.avss("optimize", "--config", "run.yaml", code=4)
    counted = Counter(recorded(world))
    assert [counted[kind] for kind in ONCE] == [1] * len(ONCE)
    assert counted["run.resumed"] == 3


SIGN = "Sign to approve this?"


def test_a_terminal_asks_before_it_signs_and_a_rejection_ends_the_change(world, encrypt):
    world.rewrite("policy.yaml", dossier={"examples": 4})
    world.avss("optimize", "--config", "run.yaml", code=4)
    text_is_shown_and_nowhere_else(world)
    shown = world.answer("Ben", (SIGN, "n"), code=1)
    assert "Aborted" in shown
    assert world.view.evidence_digest(world.view.change(world.change), 1) in shown
    assert answers(world) == 0

    encrypt(world.folder / "keys" / "Ann", "open it")
    assert "passphrase is wrong" in world.answer("Ann", ("Passphrase of", "open"), code=2)
    signed = world.answer("Ann", ("Passphrase of", "open it"), (SIGN, "y"))
    assert "signed and dropped" in signed
    assert "open it" not in signed
    assert answers(world) == 1

    def rejected_meanwhile() -> str:
        key = str(world.folder / "keys" / "Ben")
        world.avss("reject", world.change, "--key", key, "--reason", "not before the audit")
        ended = world.avss("optimize", "--config", "run.yaml", "--format", "json", code=3)
        assert json.loads(ended)["outcome"] == "rejected"
        return "y"

    assert "is over" in world.answer("Ben", (SIGN, rejected_meanwhile), code=2)
    assert answers(world) == 2
    assert Registry().current(world.line) is None


def text_is_shown_and_nowhere_else(world) -> None:
    """The policy allows it: texts are on the page and in one document, and in no entry or run."""
    evidence = world.view.documents.get(world.view.evidence_digest(change_of(world), 1))
    digest = evidence["documents"]["examples"]
    (kpi,) = world.view.documents.get(digest)["kpis"]
    texts = [one["asked"].removesuffix(" so") for one in kpi["examples"]]
    assert len(texts) == 4
    page = world.page(f"{world.change}/1.html")
    record = b"".join(world.view.store.read(world.line)).decode()
    payloads = [base64.b64decode(json.loads(one)["payload"]) for one in world.view.record.reread()]
    runs = mlflow_client().search_runs([experiment_of(world)])
    elsewhere = record + b"".join(payloads).decode() + str([run.to_dictionary() for run in runs])
    others = world.view.documents.get
    named = {name: others(it) for name, it in evidence["documents"].items() if it != digest}
    assert digest in elsewhere
    for text in texts:
        assert text in page
        assert text not in elsewhere
        assert text not in json.dumps(named)


def change_of(world):
    return world.view.change(world.change)


def experiment_of(world) -> str:
    return mlflow_client().get_experiment_by_name(world.line).experiment_id


def answers(world) -> int:
    """How many signed answers lie where the job looks."""
    return len(list(world.view.approvals.answers(world.change, 1)))


def test_what_goes_wrong_is_recorded_and_the_next_run_works(world, stack):
    data = {"uri": f"{stack.data().uri()}/nothing-here", "fields": {"id": "n", "text": "said"}}
    good = yaml.safe_load((world.folder / "run.yaml").read_text())["data"]
    world.rewrite("run.yaml", data=data)
    assert "nothing-here" in world.avss("optimize", "--config", "run.yaml", code=2)
    assert recorded(world)[-1] == "fault.recorded"
    world.rewrite("run.yaml", data=good)
    world.avss("optimize", "--config", "run.yaml", code=4)


def test_a_policy_that_cannot_be_met_begins_nothing(world):
    world.rewrite("policy.yaml", limits={"max_layers_removed": 1, "protected_layers": [*range(6)]})
    assert "protected" in world.avss("optimize", "--config", "run.yaml", code=2)
    assert recorded(world) == []
