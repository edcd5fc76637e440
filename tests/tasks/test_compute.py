"""Where the heavy passes run: what is refused before any work, and what memory runs out of."""

import os
import socket
import sys
import time
from concurrent import futures
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from avss.digests import folder_digest
from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from avss.memory import within_memory
from avss.scoring.one_pass import observe
from tasks.compute.agreement import agreed
from tasks.compute.cluster import connect, needs, workers_for
from tasks.compute.local import Local
from tasks.compute.operations import Compute
from tasks.compute.pieces import ScorePiece
from tasks.compute.worker import Maker, ModelPlace, Refusal, Worker
from tasks.environment import measuring_code
from tasks.errors import ComputeError, StorageError
from tasks.models.shelf import LoadedModel
from tasks.run_file import Resources

PLAIN = {"CPU": 8.0, "memory": 16e9}
AUTO = {"address": "auto"}
GPU = {"CPU": 16.0, "GPU": 4.0, "memory": 64e9}


@pytest.mark.parametrize(
    ("nodes", "wanted", "count"),
    [
        ([PLAIN], {}, 8),
        ([PLAIN, GPU], {"cpus": 4}, 6),
        ([PLAIN, GPU], {"gpus": 1}, 4),
        ([GPU, GPU], {"gpus": 1, "memory_gb": 32}, 4),
        ([PLAIN], {"workers": 3}, 3),
        ([PLAIN], {"gpus": 1, "workers": 4, "wait_minutes": 10} | AUTO, 4),
        ([], {"wait_minutes": 10} | AUTO, 1),
    ],
)
def test_as_many_workers_as_fit_or_as_asked(nodes, wanted, count):
    assert workers_for(nodes, Resources(**wanted)) == count


@pytest.mark.parametrize(
    ("nodes", "wanted", "words"),
    [
        ([PLAIN], {"gpus": 1}, ["resources.gpus is 1", "has 0", "wait_minutes"]),
        ([PLAIN, GPU], {"cpus": 32}, ["resources.cpus is 32", "2 nodes has 16"]),
        ([PLAIN], {"memory_gb": 40}, ["resources.memory_gb is 40", "has 16"]),
        ([PLAIN, {"CPU": 1.0, "GPU": 1.0}], {"cpus": 2, "gpus": 1}, ["all that one worker needs"]),
        ([PLAIN], {"workers": 9}, ["resources.workers is 9", "room for 8"]),
        ([], {}, ["0 nodes"]),
    ],
)
def test_what_can_never_be_met_is_said_at_once(nodes, wanted, words):
    with pytest.raises(ComputeError) as caught:
        workers_for(nodes, Resources(**wanted))
    assert all(word in str(caught.value) for word in words), caught.value
    assert caught.value.exit_code == 2


def test_a_cluster_of_this_machine_brings_no_node_so_nothing_is_waited_for(caplog):
    with pytest.raises(ComputeError, match=r"resources\.gpus is 1"):
        workers_for([PLAIN], Resources(gpus=1, wait_minutes=10))
    assert not caplog.messages
    assert workers_for([PLAIN], Resources(address="auto", gpus=1, wait_minutes=10)) == 1
    assert "room for 0 of 1 workers now: waiting up to 10 minutes" in caplog.messages[0]


def test_a_worker_needs_what_is_asked_for_by_rays_names():
    wanted = Resources(cpus=2, gpus=1, memory_gb=1.5)
    assert needs(wanted) == {"CPU": 2, "GPU": 1, "memory": 1_500_000_000}
    assert needs(Resources()) == {"CPU": 1}


@pytest.mark.parametrize("address", ["ray://host", "http://host:1", "host:6379", "ray://h:1/x"])
def test_an_address_is_local_auto_or_rays(address):
    with pytest.raises(ValidationError, match="address"):
        Resources(address=address)


def test_ray_that_is_not_installed_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ComputeError, match=r"pip install 'avss\[ray\]'") as caught:
        connect(Resources())
    assert caught.value.exit_code == 2


@pytest.fixture
def closed_port():
    """A port of this machine on which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
def mute_port():
    """A port of this machine on which something listens that is no cluster."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize("port", ["closed_port", "mute_port"])
@pytest.mark.parametrize("address", ["ray://127.0.0.1:{}", "auto"])
def test_a_cluster_that_cannot_be_reached_is_said_in_seconds(monkeypatch, request, port, address):
    import ray

    number = request.getfixturevalue(port)
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{number}")
    start = time.monotonic()
    with pytest.raises(ComputeError, match=f"127.0.0.1:{number} cannot be reached") as caught:
        connect(Resources(address=address.format(number)))
    assert caught.value.exit_code == 2
    assert time.monotonic() - start < 30  # Ray itself would try for minutes


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_what_answers_is_joined_whatever_proxies_are_set(monkeypatch, host):
    import grpc
    import ray

    def joined(**_):
        raise RuntimeError("joined")

    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool)
        try:
            port = server.add_insecure_port(f"{host}:0")
        except RuntimeError:
            pytest.skip(f"this machine has no {host}")
        server.start()
        monkeypatch.setattr(ray, "is_initialized", lambda: False)
        monkeypatch.setattr(ray, "init", joined)
        monkeypatch.setenv("RAY_ADDRESS", f"{host}:{port}")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(ComputeError, match=r"auto cannot be used \(joined\)"):
            connect(Resources(address="auto"))
        server.stop(None).wait()


def test_a_cluster_that_wants_a_token_is_said(monkeypatch):
    import ray

    def refuse(**_):
        raise ray.exceptions.AuthenticationError("Token authentication is enabled")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)  # a cluster that wants one takes half a minute
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(ComputeError, match=r"auto cannot be used .*[Tt]oken") as caught:
        connect(Resources(address="auto"))
    assert caught.value.exit_code == 2


def made(**changes: str) -> Maker:
    same = Maker("m" * 64, "t" * 64, "bfloat16", "/".join(measuring_code()))
    return replace(same, **changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tokenizer": "u" * 64}, "the tokenizer.*tttt.*uuuu"),
        ({"dtype": "float32"}, r"the dtype.*bfloat16, float32"),
        ({"model": "n" * 64}, "the same model"),
        ({"code": "older"}, "their code"),
    ],
)
def test_answers_that_were_made_otherwise_are_not_merged(changes, words):
    agreed("m" * 64, "t" * 64, [made(), made()])
    with pytest.raises(ComputeError, match=words) as caught:
        agreed("m" * 64, "t" * 64, [made(), made(**changes), made()])
    assert caught.value.exit_code == 2
    if set(changes) != {"dtype"}:  # known to this machine too
        with pytest.raises(ComputeError, match=words):
            agreed("m" * 64, "t" * 64, [made(**changes)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3,
        num_attention_heads=2, num_key_value_heads=1,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def made_tokenizer(folder) -> Any:
    """Beside the model, too."""
    words = {word: at for at, word in enumerate(["<unk>", *(f"w{at}" for at in range(30))])}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>")
    tokenizer.save_pretrained(folder)
    return tokenizer


@dataclass(frozen=True)
class Scarce(ScorePiece):
    """Scoring on a device that has room for few tokens: its lack of memory is simulated."""

    room: int = 512

    def answer(self, model: Any, tokenizer: Any, progress: Any) -> Any:
        def run(size: int) -> Any:
            if size > self.room:
                raise torch.OutOfMemoryError("CUDA out of memory (simulated)")
            return observe(model, self.sequences, source=self.source, batch_tokens=size)

        return within_memory(run, 2048, model)


SEQUENCES = tuple(tuple(range(1, 30)) for _ in range(40))


@pytest.fixture
def worker(monkeypatch) -> Worker:
    """In this process, whose threads stay what they are."""
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    return Worker(1, "cpu")


def test_a_worker_without_memory_gets_half_the_batch_and_its_answer_says_so(
    folder, worker, made_tokenizer
):
    digest = folder_digest(folder).digest
    place = ModelPlace(digest, str(folder), "s3://nowhere/models/x")
    plain, scarce = (
        worker.answer(place, piece(SEQUENCES, "contribution")) for piece in (ScorePiece, Scarce)
    )
    assert plain.warnings == ()
    assert [said.split(": ")[1] for said in scarce.warnings] == [
        "going on with 1024.",
        "going on with 512.",
    ]
    layers = zip(scarce.value.scores().layers, plain.value.scores().layers, strict=True)
    assert all(one.avss == pytest.approx(other.avss, rel=1e-6) for one, other in layers)
    assert (plain.maker.model, plain.maker.dtype) == (digest, "float32")
    assert worker.greet().pid == os.getpid()


def test_a_worker_refuses_in_our_own_words(folder, worker, made_tokenizer):
    place = ModelPlace(folder_digest(folder).digest, str(folder), "s3://nowhere/models/x")
    refused = worker.answer(place, Scarce(SEQUENCES, "contribution", room=0))
    assert isinstance(refused, Refusal)
    assert isinstance(refused.error, InputError)
    assert "one text at a time" in str(refused.error)
    foreign = worker.answer(place, ScorePiece((("secret words",),), "contribution"))
    assert isinstance(foreign, Refusal)
    assert "secret" not in str(foreign.error)


@pytest.mark.parametrize(("gpus", "device"), [(0, "cpu"), (1, None), (4, "auto")])
def test_a_model_lies_on_what_its_worker_has(gpus, device):
    from tasks.compute.workers import device_for

    assert device_for(gpus) == device


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator here")
@pytest.mark.parametrize("device", [None, "auto"])
def test_a_worker_with_gpus_that_torch_does_not_see_is_refused(folder, monkeypatch, device):
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    place = ModelPlace(folder_digest(folder).digest, str(folder), "s3://nowhere/models/x")
    refused = Worker(1, device).answer(place, ScorePiece(SEQUENCES, "contribution"))
    assert isinstance(refused, Refusal)
    assert isinstance(refused.error, ComputeError)
    assert "torch sees no GPU" in str(refused.error)


def test_a_worker_takes_no_folder_that_is_not_the_model(folder, worker, tmp_path, monkeypatch):
    """What lies there under the model's name is not it, and S3 cannot be asked."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text("{}")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    place = ModelPlace(folder_digest(folder).digest, str(other), "s3://bucket/models/x")
    refused = worker.answer(place, ScorePiece(SEQUENCES, "contribution"))
    assert isinstance(refused, Refusal)
    assert isinstance(refused.error, StorageError)


def test_kpis_of_many_records_are_measured_in_shards_and_reach_the_end(folder, made_tokenizer):
    model = LlamaForCausalLM.from_pretrained(folder).eval()
    loaded = LoadedModel("d", model, made_tokenizer)

    class Models:
        def load(self, _: str) -> LoadedModel:
            return loaded

    suite = load_kpis({"kpis": [{"name": "text", "kind": "perplexity"}]})
    records = [
        {"text": " ".join(f"w{(at + n) % 30}" for n in range(at % 9 + 2))} for at in range(150)
    ]
    seen: list[tuple[int, int]] = []
    compute = Compute(Local(Models()), Models())
    found = compute.measure("d", suite, records, progress=lambda *at: seen.append(at))
    assert found.kpis[0].records == tuple(range(1, 151))
    whole = measure(model, made_tokenizer, suite, records).kpis[0]
    assert found.kpis[0].columns["loss"] == pytest.approx(whole.columns["loss"], rel=1e-6)
    assert seen[-1] == (150, 150)
    assert seen == sorted(seen)
