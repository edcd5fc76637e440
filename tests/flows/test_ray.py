"""A real Ray cluster of this machine: the same record, whoever computes, and whoever dies."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from avss.digests import folder_digest
from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.loading import load_config, load_tokenizer
from deployments.buckets import BucketNames, ensure_buckets
from flows.optimize import MISSION
from flows.recording import append
from policies.lifecycle import CollectDecisions, OpenChange, advance, fold, next_action, open_action
from policies.measurements import Measured, Ratio, ResourceFacts
from tasks import clock
from tasks.compute import engines
from tasks.compute.cluster import connect
from tasks.compute.local import Local
from tasks.compute.operations import Compute
from tasks.errors import ComputeError, WorkerError
from tasks.job import Job
from tasks.measuring import candidate
from tasks.models.folders import publish_model
from tasks.models.shelf import LoadedModel
from tasks.run_file import Buckets, Resources, RunFile

ROOT = Path(__file__).parent.parent.parent
WANTED = Resources(workers=2)
_NEVER = 10**6


@pytest.fixture(scope="module")
def cluster(s3_only, tmp_path_factory) -> Iterator[int]:
    """Two workers' room, and the S3 server that they see; of what a node lacks, it is fetched."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_only.environment().items():
            patch.setenv(name, value)
        patch.setenv("AVSS_HOME", str(tmp_path_factory.mktemp("node")))
        yield connect(WANTED)
    ray.shutdown()


@pytest.fixture
def ready(s3, make_world, tmp_path, monkeypatch) -> SimpleNamespace:
    """A line's files, and jobs that run them, each with a ledger and a home of its own."""
    world = make_world(s3, tmp_path)
    monkeypatch.setenv("AVSS_JOB_KEY", str(tmp_path / "home" / "keys" / "job_ed25519"))

    def job(**changes: Any) -> Job:
        name = changes["execution"]
        names = BucketNames(s3.names.data, s3.names.work, f"ledger-{name}-{s3.unique}")
        ensure_buckets(names, s3.work().client)
        monkeypatch.setenv("AVSS_HOME", str(tmp_path / name))
        world.rewrite("run.yaml", buckets={"work": names.work, "ledger": names.ledger}, **changes)
        made = Job(RunFile.load(tmp_path / "run.yaml"))
        same = Buckets(work=names.work, ledger=s3.names.ledger)  # what the record says of them
        made.run = made.run.model_copy(update={"buckets": same})
        return made

    return SimpleNamespace(world=world, job=job)


def until_asked(job: Job) -> list[Any]:
    """The bodies that a change's entries have up to the first question to people."""
    state = fold(job.journal.entries)
    action = open_action(job.run.line, state)
    while action is not None and not isinstance(action, CollectDecisions):
        body = MISSION[type(action)][1](job, state, action)
        change = action.change if isinstance(action, OpenChange) else state.change.id
        state, _ = append(job, state, body, change, advance)
        action = next_action(state, job.policy)
    return [(entry.type, entry.body.model_dump(mode="json")) for entry in job.journal.entries]


def test_the_record_of_a_change_is_the_same_but_for_its_environment(engine, ready, monkeypatch):
    """The clock stands still and speed is made up: nothing else differs from run to run."""

    same, ratio = Measured(value=0.9), Ratio(value=0.9, high=1.0)
    facts = ResourceFacts(
        parameters=same,
        bytes_on_disk=same,
        kv_bytes_per_token=same,
        prefill_seconds=ratio,
        decode_seconds=ratio,
        money_per_month=same,
    )
    monkeypatch.setattr(candidate, "_resources", lambda *_: ({}, facts))
    noon = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=5)
    with clock.telling(lambda: noon):
        here = ready.job(execution="local")
        local = until_asked(here)
        there = ready.job(execution="ray", resources={"workers": 2})
        there.compute.engine, engine._models = engine, there.models  # workers that are there
        on_ray = until_asked(there)
    assert local[-1][0] == "decision.requested"
    environments = [entries[0][1].pop("environment") for entries in (local, on_ray)]
    assert on_ray == local
    one, other = (here.documents.get(digest) for digest in environments)
    assert one.pop("execution") == "local"
    assert other.pop("execution").startswith("ray ")
    assert one == other
    assert there.documents.get(on_ray[0][1]["run"])["line"] == ready.world.line


@pytest.fixture(scope="module")
def engine(cluster) -> Iterator[Any]:
    """Workers that are kept from test to test, as in a run."""
    asked = SimpleNamespace(execution="ray", resources=WANTED)
    made = engines.engine(asked, Shelf(Path()))
    yield made
    made.close()


class Shelf:
    """The models of a test; Ray's workers find them in the same place or fetch them."""

    def __init__(self, folder: Path, uri: str = "s3://nowhere/models/x") -> None:
        self.place, self.address = folder, uri

    def folder(self, _: str) -> Path:
        return self.place

    def uri(self, _: str) -> str:
        return self.address

    def reader(self, _: str) -> tuple[Any, Any]:
        return load_config(self.place), load_tokenizer(self.place)

    def load(self, digest: str) -> LoadedModel:
        return LoadedModel.read(digest, self.place, "cpu")


@pytest.fixture(scope="module")
def model(make_tiny_model, tmp_path_factory) -> SimpleNamespace:
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model(folder)
    return SimpleNamespace(folder=folder, digest=folder_digest(folder).digest)


@pytest.fixture
def both(engine, model) -> tuple[Compute, Compute]:
    """The same work in this process and on the cluster."""
    shelf = Shelf(model.folder)
    engine._models = shelf
    return Compute(Local(shelf), shelf), Compute(engine, shelf)


def silent(*_: Any) -> None:
    pass


def texts(count: int) -> list[str]:
    draw = random.Random(5)
    return [
        " ".join(f"w{draw.randrange(60)}" for _ in range(draw.randint(4, 50))) for _ in range(count)
    ]


def scored(compute: Compute, digest: str, progress: Any = silent, count: int = 700) -> str:
    """Digest of every score of some twenty pieces."""
    seen = compute.score(digest, texts(count), max_tokens=10**6, max_length=64, progress=progress)
    whole = json.dumps(seen.scores(bootstrap=20).to_json(), sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()


KPIS = {
    "kpis": [
        {"name": "text", "kind": "perplexity", "metrics": ["token_perplexity"]},
        {"name": "mood", "kind": "classification", "prompt": "{text} so", "target": "mood",
         "labels": {"good": " w1", "bad": " w2"}, "slice_by": ["mood"]},
    ]
}  # fmt: skip


def test_workers_of_other_code_are_refused_with_their_first_answer(both, model, monkeypatch):
    monkeypatch.setattr("tasks.compute.agreement.measuring_code", lambda: ("another", "version"))
    with pytest.raises(ComputeError, match=r"do not agree on their code.*another/version"):
        scored(both[1], model.digest, count=90)


def test_scores_probes_and_kpis_are_those_of_one_process_to_the_last_bit(both, model):
    local, on_ray = both
    assert scored(on_ray, model.digest) == scored(local, model.digest)
    sequences = [list(range(at % 7 + 3, at % 7 + 30)) for at in range(90)]
    one, other = (c.probe(model.digest, sequences, (1, 4), progress=silent) for c in both)
    assert one == other
    records = [
        {"text": text, "mood": ["good", "bad"][at % 2]} for at, text in enumerate(texts(200))
    ]
    one, other = (
        c.measure(model.digest, load_kpis(KPIS), records, progress=silent).to_json() for c in both
    )
    assert one == other
    assert one["kpis"][1]["records"] == list(range(1, 201))


def test_workers_that_are_killed_at_random_change_nothing(both, model, engine, capfd, caplog):
    local, on_ray = both
    expected = scored(local, model.digest)
    draw, killed = random.Random(0), 0
    for run in range(20):  # a worker takes its time to start, so every other run loses one
        fatal = draw.randrange(1, 10) if run % 2 else _NEVER  # of some ten answers

        def kill(*_: int) -> None:
            nonlocal fatal, killed
            fatal -= 1
            # of those that were killed in the run before, the engine may not know yet
            living = [one.pid for one in engine.workers if psutil.pid_exists(one.pid)]
            if fatal <= 0 and living:
                os.kill(draw.choice(living), signal.SIGKILL)
                killed, fatal = killed + 1, _NEVER

        assert scored(on_ray, model.digest, kill) == expected
    assert killed == 10
    said = [one for one in caplog.messages if "is lost" in one]
    assert len(said) >= 5, "of those killed, some had just answered"
    printed = capfd.readouterr()
    assert printed.out == "", "stdout is the command's own"


def test_workers_that_died_while_idle_are_no_fault_of_the_next_piece(
    both, model, engine, monkeypatch
):
    from tasks.compute import workers

    local, on_ray = both
    expected = scored(local, model.digest)
    assert scored(on_ray, model.digest) == expected
    monkeypatch.setattr(workers, "_LIVES", 1)
    idle = [psutil.Process(one.pid) for one in engine.workers]
    for process in idle:
        process.kill()
    psutil.wait_procs(idle, timeout=30)
    assert scored(on_ray, model.digest) == expected
    assert not {one.pid for one in engine.workers} & {process.pid for process in idle}


def test_a_node_that_dies_in_the_middle_changes_nothing_and_another_takes_its_place(model):
    command = [sys.executable, "-m", "tests.flows.dying_node", str(model.folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"equal": [True, True, True], "lost": 1, "joined": 1}


def test_what_a_piece_cannot_do_is_raised_as_in_one_process(both, model):
    for compute in both:
        with pytest.raises(InputError, match=r"Cannot probe \[77\]"):
            compute.probe(model.digest, [[1, 2, 3]] * 400, (77,), progress=silent)
        suite = load_kpis({"kpis": [{"name": "t", "kind": "perplexity", "text": "{words}"}]})
        with pytest.raises(InputError, match=r"KPI t, record \d+: there is no field 'words'"):
            compute.measure(model.digest, suite, [{"text": "w1"}] * 100, progress=silent)
    assert scored(both[1], model.digest) == scored(both[0], model.digest)


def test_a_node_without_the_model_fetches_it_and_verifies_it(s3, engine, make_tiny_model, tmp_path):
    make_tiny_model(tmp_path / "other", seed=1)
    published = publish_model(tmp_path / "other", s3.names.work, client=s3.work().client)
    shelf, uri = Shelf(tmp_path / "other"), published.uri
    nowhere = SimpleNamespace(
        folder=lambda _: tmp_path / "not-here", uri=lambda _: uri, reader=shelf.reader
    )
    expected = scored(Compute(Local(shelf), shelf), published.digest)
    engine._models = nowhere
    assert scored(Compute(engine, nowhere), published.digest) == expected


def test_the_cluster_of_a_run_listens_on_loopback_alone(cluster):
    mine = psutil.Process()
    addresses = {
        kept.laddr.ip
        for process in [mine, *mine.children(recursive=True)]
        if process == mine or "ray" in " ".join(process.cmdline())
        for kept in process.net_connections("inet")
        if kept.status == psutil.CONN_LISTEN
    }
    assert addresses
    assert addresses <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def test_what_a_run_file_asks_for_and_the_cluster_lacks_ends_the_run_at_once(cluster, ready):
    for resources, words in (
        ({"gpus": 1}, "resources.gpus is 1, and the largest of the cluster's 1 nodes has 0"),
        ({"cpus": 4096}, "resources.cpus is 4096"),
        ({"workers": 4096}, "resources.workers is 4096"),
        ({"memory_gb": 1e6}, "resources.memory_gb"),
    ):
        with pytest.raises(ComputeError, match=words) as caught:
            ready.job(execution="ray", resources=resources)
        assert caught.value.exit_code == 2


@dataclass(frozen=True)
class Deadly:
    """A piece that kills whoever works on it, as one does that no node has the memory for."""

    size: int = 1

    def answer(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_piece_that_kills_every_worker_is_given_up(both, model, engine, monkeypatch):
    from ray import cloudpickle

    from tasks.compute import workers

    monkeypatch.setattr(workers, "_LIVES", 2)
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    with pytest.raises(WorkerError, match="2 workers died on the same piece of work") as caught:
        engine.answers(model.digest, [Deadly()], silent)
    assert caught.value.exit_code == 1
