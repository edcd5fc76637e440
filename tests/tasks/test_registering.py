"""A registered version on real servers: what it says of itself, and how MLflow loads it."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from avss.digests import digest_of_files, folder_digest
from avss.loading import load_model, load_tokenizer
from tasks.errors import MissingError, RegistryError
from tasks.models import registering, trial
from tasks.models.aliases import version_tags
from tasks.models.audit import damaged_files
from tasks.models.card import EXAMPLE, MODEL
from tasks.models.folders import FetchedModel, fetch_model, publish_model
from tasks.models.registering import register_model
from tasks.models.registry import Registry
from tasks.record.documents import Documents
from tasks.s3.storage import ObjectStore
from tests.flows.parts import tiny_model
from tests.policies.samples import facts, kpi, measured
from tests.policies.world import World

pytestmark = pytest.mark.stack

PYFUNC = """
import json, sys, mlflow
loaded = mlflow.pyfunc.load_model(sys.argv[1])
inputs = loaded.metadata.get_input_schema().to_dict()
print(json.dumps([inputs, loaded.predict([sys.argv[2]], params=None)]))
"""
TRANSFORMERS = """
import json, sys, mlflow
pipeline = mlflow.transformers.load_model(sys.argv[1])
said = pipeline(sys.argv[2], max_new_tokens=8, do_sample=False)
print(json.dumps([type(pipeline).__name__, said[0]["generated_text"]]))
"""


def in_a_fresh_process(code: str, uri: str) -> Any:
    """What a program prints that knows nothing of ours."""
    quiet = {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, uri, EXAMPLE],
        env=os.environ | quiet | {"PYTHONSAFEPATH": "1"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


def test_a_version_is_loaded_by_both_flavours_in_a_process_that_knows_nothing_of_ours(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))
    tiny_model(tmp_path / "model")
    work, registry = ObjectStore(stack.names.work), Registry()
    published = publish_model(tmp_path / "model", stack.names.work)
    tags = {"avss.change": "x-0001"}
    made = register_model(registry, work, stack.unique, fetch_model(published.uri), tags)
    registry.point(stack.unique, {"champion": made.version.version})
    kind, said = in_a_fresh_process(TRANSFORMERS, f"models:/{stack.unique}@champion")
    assert kind == "TextGenerationPipeline"
    assert said.startswith(EXAMPLE)
    assert len(said) > len(EXAMPLE)
    inputs, answers = in_a_fresh_process(PYFUNC, f"models:/{stack.unique}/1")
    assert [one["type"] for one in inputs] == ["string"]
    assert len(answers) == 1
    assert isinstance(answers[0], str)


@pytest.mark.parametrize("patience", [None, 0])
def test_a_registration_that_fails_leaves_no_process_and_no_folder(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patience: int | None
) -> None:
    """The model is not in S3; or its process takes longer than it may."""
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))
    begun, popen = [], subprocess.Popen
    tiny_model(tmp_path / "model", seed=7 if patience is None else 0)
    model = FetchedModel(tmp_path / "model", folder_digest(tmp_path / "model"))
    if patience is not None:
        monkeypatch.setattr(registering, "_PATIENCE", patience)
        publish_model(model.folder, stack.names.work)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def seen(*arguments: Any, **keywords: Any) -> Any:
        begun.append(popen(*arguments, **keywords))
        return begun[-1]

    class Scratch(tempfile.TemporaryDirectory):
        """Tells what became of the process by the time that the folder goes."""

        def cleanup(self) -> None:
            ended.append([one.returncode for one in begun])
            super().cleanup()

    ended: list[list[int | None]] = []
    monkeypatch.setattr(registering.tempfile, "TemporaryDirectory", Scratch)
    monkeypatch.setattr(registering.subprocess, "Popen", seen)
    with pytest.raises(MissingError if patience is None else RegistryError) as raised:
        register_model(Registry(), ObjectStore(stack.names.work), stack.unique, model, {})
    if patience is not None:
        assert "did not load and answer in a fresh process within 0 seconds" in str(raised.value)
    assert ended[-1] == [-signal.SIGKILL]
    assert [path for path in tmp_path.iterdir() if path.name.startswith("avss-")] == []


def test_a_version_that_answers_otherwise_through_mlflow_is_refused(
    stack: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_model(tmp_path / "model")
    published = publish_model(tmp_path / "model", stack.names.work)
    model = FetchedModel(tmp_path / "model", folder_digest(tmp_path / "model"))
    assert model.found.digest == published.digest
    ask = registering._ask

    def other(*arguments: Any) -> dict[str, Any]:
        said = ask(*arguments)
        assert said["mlflow"] == said["transformers"]
        return said | {"mlflow": said["mlflow"] | {"answered": [0]}}

    monkeypatch.setattr(registering, "_ask", other)
    with pytest.raises(RegistryError, match="answers otherwise through MLflow"):
        register_model(Registry(), ObjectStore(stack.names.work), stack.unique, model, {})


def test_a_trial_lets_each_way_of_loading_answer_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of two models that answer differently each answer stands under its own name."""
    tiny_model(tmp_path / "version" / MODEL)
    tiny_model(tmp_path / "other", seed=1)
    through_mlflow = {
        "model": load_model(tmp_path / "other"),
        "tokenizer": load_tokenizer(tmp_path / "other"),
    }
    monkeypatch.setattr(torch, "set_num_threads", lambda _count: None)
    monkeypatch.setattr("mlflow.artifacts.download_artifacts", lambda *_, **__: None)
    flavour = SimpleNamespace(load_model=lambda *_, **__: through_mlflow)
    monkeypatch.setattr(trial.mlflow, "transformers", flavour)
    trial.main("line", "1", str(tmp_path / "version"))
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    plain = load_model(tmp_path / "version" / MODEL), load_tokenizer(tmp_path / "version" / MODEL)
    assert said["transformers"] == trial._answer(*plain)
    assert said["mlflow"] == trial._answer(**through_mlflow)
    assert said["mlflow"]["answered"] != said["transformers"]["answered"]


def test_what_a_version_says_of_itself_is_what_was_recorded(stack: Any) -> None:
    world = World()
    world.open()
    world.approve_all()
    change = world.state.live
    assert change is not None
    assert change.holdout is not None
    kpis = (kpi(name="good", retention=0.99), kpi(name="worst", retention=0.91234))
    unmeasured = kpi(name="unknown", retention=None, retention_low=None)
    sizes = facts().resources.model_copy(update={"money_per_month": measured(0.87654)})
    found = facts(step="promotion", split="holdout", kpis=(*kpis, unmeasured), resources=sizes)
    documents = Documents(stack.work())
    holdout = change.holdout.model_copy(update={"measurements": documents.put_model(found)})
    tags = version_tags(documents, replace(change, holdout=holdout))
    uri = f"s3://{stack.names.work}/registered/{change.model}"
    Registry().register(stack.unique, digest=change.model, uri=uri, tags=tags)
    (version,) = Registry().versions(stack.unique)
    assert version.tags == {
        "avss.digest": change.model,
        "avss.change": "reviews-0001",
        "avss.base": change.opened.base_model,
        "avss.evidence": change.holdout.evidence,
        "avss.kept_layers": ",".join(map(str, change.kept)),
        "avss.layers": "3 of 6",
        "avss.retention": "0.9123",
        "avss.retention_kpi": "worst",
        "avss.parameters": "0.9000",
        "avss.cost": "0.8765",
    }


def test_a_version_without_recorded_files_is_held_against_its_digest(s3: Any) -> None:
    content = {"config.json": b"{}", "model.safetensors": b"weights"}
    digest = digest_of_files({key: sha256(data).hexdigest() for key, data in content.items()})
    folder = s3.work().below(f"models/{digest}")
    for key, data in content.items():
        folder.put(key, data)
    assert list(damaged_files(s3.work(), digest, {})) == [None]
    folder.put("model.safetensors", b"others")
    (found,) = damaged_files(s3.work(), digest, {})
    assert found.message == "is not the registered model"
    for key in content:
        folder.delete(key)
    assert list(damaged_files(s3.work(), digest, {})) != [None]
