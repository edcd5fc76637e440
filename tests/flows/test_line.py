"""A line over several changes on real servers: registered, promoted, audited, rolled back."""

import base64
import json
import os
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from avss.digests import folder_digest
from benchmarks.life import Life
from flows.waiting import GO_ON, start_run
from policies.lifecycle import Wish
from tasks.errors import RegistryError
from tasks.models import registering
from tasks.models.audit import audit_line
from tasks.models.mlflow_client import new_client
from tasks.models.moving import move_alias
from tasks.models.registering import version_files
from tasks.models.registry import Registry
from tasks.models.shelf import LoadedModel
from tasks.places import LOCAL
from tasks.record.keeper import Keeper
from tasks.record.ledger_store import LedgerStore
from tasks.s3.storage import ObjectStore
from tests.flows.workplace import deployed, serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]
PEOPLE = ("Ann", "Ben")


@pytest.fixture
def life(world, monkeypatch) -> Life:
    """The world's line, run in this process."""
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    return Life(world.folder, world.line)


ASKS = {"on_breach": "ask", "on_bad_data": "alarm", "min_of_promised": None, "min_retention": 0.1}


def test_a_line_is_registered_audited_and_rolled_back(world, life, stack, reviews_of_another_shop):
    first = life.agree(*PEOPLE)
    assert first.outcome == "promoted"
    registered_as_it_should_be(world, life)
    assert "no version before" in world.here("registry", "rollback", world.line, code=2)

    limits = {"max_layers_removed": 2, "max_share_removed": None}
    world.rewrite("policy.yaml", limits=limits, monitoring=ASKS)
    second = life.agree(*PEOPLE)
    change = life.view.change(second.change)
    failed = [one.failed_rules for step in change.steps for one in step.attempts]
    assert second.outcome == "promoted", failed
    assert change.opened.start_model == life.view.change(first.change).model
    assert (len(change.start_kept), len(change.kept)) == (5, 4)
    assert change.base.start is not None
    first_rankings_are_compared_across_changes(life, first.change, second.change)
    assert Registry().aliases(world.line) == {"champion": "2", "previous": "1"}
    assert json.loads(world.here("registry", "audit", world.line, "--format", "json"))["clean"]

    good = version_files(world.view.work, change.model)
    config = good.get("model/config.json")
    what_moves_behind_our_back_is_named(world, change)
    stack.data().put("2026/part-2.jsonl", reviews_of_another_shop())
    an_incident_asks_for_the_way_back(life)
    stack.data().delete("2026/part-2.jsonl")
    rolled_back_by_a_deployment_although_the_newer_files_are_damaged(world, life, second.change)
    good.put("model/config.json", config)
    good.delete("model/extra.py")
    two_promotions_at_once_are_one(world, life)
    good.put("model/config.json", config + b" ")
    rolled_back_by_hand_within_a_minute(world, life, second.change)
    world.here("registry", "export", world.line, "--out", "served")
    again = ("registry", "export", world.line, "--out", "served")
    assert "Name a new folder" in world.here(*again, code=2)
    served = folder_digest(world.folder / "served").digest
    assert served == life.view.change(world.change).model
    left = json.loads(world.here("gc", "--dry-run", "--format", "json"))
    assert not any(one["change"].startswith(world.line) for one in left["leftovers"])
    a_version_deleted_from_mlflow_is_named_and_not_gone_to(world)
    third = life.run()  # the limit lets one more layer go from version 1
    assert life.view.change(third.change).opened.start_model == change.opened.start_model
    new_client().delete_model_version(world.line, "1")  # which is in use
    audit = ("registry", "audit", world.line, "--restore", "--format", "json")
    found = json.loads(world.here(*audit, code=5))["findings"]
    assert {("version", f"{world.line} version 1"), ("alias", "champion")} <= {
        (one["kind"], one["subject"]) for one in found
    }


def registered_as_it_should_be(world, life):
    made = Registry().current(world.line)
    change = life.view.change(world.change)
    files, trial = change.registered.files, life.view.documents.get(change.registered.serving)
    assert {
        "MLmodel",
        "input_example.json",
        "model/config.json",
        "model/avss_manifest.json",
    } <= set(files)
    assert made.uri == change.registered.uri
    assert made.tags["avss.digest"] == change.model
    assert made.tags["avss.evidence"] == change.holdout.evidence
    assert made.tags["avss.layers"] == "5 of 6"
    assert 0 < float(made.tags["avss.parameters"]) < 1
    assert "avss.retention" in made.tags
    assert trial["transformers"]["answered"] == trial["mlflow"]["answered"]


def first_rankings_are_compared_across_changes(life, earlier, later):
    compared = [
        life.view.documents.get(
            life.view.change(one).steps[0].attempts[0].measured.reports["score_drift"]
        )
        for one in (earlier, later)
    ]
    assert [one["against"] for one in compared] == [None, f"{earlier}, step 1"]
    assert compared[0]["checks"] == []
    assert compared[1]["sizes"]["common"] == 5
    assert all(check["distance"] is not None for check in compared[1]["checks"])
    assert compared[1]["checks"]


def what_moves_behind_our_back_is_named(world, change):
    client, store = new_client(), version_files(world.view.work, change.model)
    good = store.get("model/config.json")
    store.put("model/config.json", good + b" ")
    store.put("model/extra.py", b"print()")
    client.set_registered_model_alias(world.line, "champion", "1")
    client.set_model_version_tag(world.line, "1", "avss.evidence", "0" * 64)
    client.create_model_version(world.line, "s3://elsewhere/model", await_creation_for=0)
    report = json.loads(world.here("registry", "audit", world.line, "--format", "json", code=5))
    found = {(one["kind"], one["subject"].rpartition("/")[2]) for one in report["findings"]}
    assert found == {
        ("file", "config.json"),
        ("file", "extra.py"),
        ("alias", "champion"),
        ("tag", f"{world.line} version 1"),
        ("version", f"{world.line} version 3"),
    }
    client.delete_model_version(world.line, "3")
    client.set_model_version_tag(world.line, "1", "avss.evidence", evidence_of_first(world))
    world.here("registry", "audit", world.line, "--restore", code=5)  # the files stay damaged
    assert Registry().aliases(world.line) == {"champion": "2", "previous": "1"}


def evidence_of_first(world) -> str:
    return world.view.change(world.change).holdout.evidence


def an_incident_asks_for_the_way_back(life):
    found = life.watch()
    assert (found.version, found.passed, found.incident) == ("2", False, 1)
    assert found.rollback == "waiting"
    assert any("config.json" in one for one in found.findings)


def rolled_back_by_a_deployment_although_the_newer_files_are_damaged(world, life, change):
    rollback = ("registry", "rollback", world.line, "--format", "json")
    asked = json.loads(world.here(*rollback, code=4))
    assert (asked["change"], asked["version"], asked["state"]) == (change, "1", "waiting")
    world.here("registry", "promote", world.line, "1", code=2)  # another move is asked for
    with deployed(world) as place, place.worker():
        key, evidence = str(world.folder / "keys" / "Ben"), asked["evidence"]
        answer = ("approve", change, "--step", "alias", "--evidence", evidence, "--key", key)
        world.here(*answer, "--reason", "so it is")  # which starts a run of the deployment
        place.until(lambda: [one.state.name for one in place.runs("rollback")] == ["Completed"])
        assert Registry().aliases(world.line) == {"champion": "1"}
        assert start_run(world.line, "rollback", GO_ON) == 1  # as another answer would
        place.until(lambda: place.state_of(place.runs("rollback")[-1]) == "NothingAsked")
    assert "no version before" in world.here("registry", "rollback", world.line, code=2)
    assert "damaged" in world.here("registry", "promote", world.line, "2", code=2)


def two_promotions_at_once_are_one(world, life):
    wish = Wish("Mia", "the fault was elsewhere", version="2")
    asked = move_alias(Keeper(world.line, LOCAL), wish)
    life.answer(asked.change, "Ben")
    both = [Keeper(world.line, LOCAL), Keeper(world.line, LOCAL)]
    with ThreadPoolExecutor(2) as pool:
        endings = list(pool.map(lambda keeper: move_alias(keeper, wish).state, both))
    assert endings == ["moved", "moved"]
    assert Registry().aliases(world.line) == {"champion": "2", "previous": "1"}


def rolled_back_by_hand_within_a_minute(world, life, change):
    rollback = ("registry", "rollback", world.line, "--reason", "it is rude", "--format", "json")
    world.here(*rollback, code=4)
    life.answer(change, "Ben")
    began = time.monotonic()
    assert json.loads(world.avss(*rollback))["state"] == "moved"
    assert time.monotonic() - began < 60
    assert Registry().aliases(world.line) == {"champion": "1"}
    index = world.view.work.below("dossiers").get(f"{world.line}/index.html").decode()
    assert "<title>Led back to version 1 by hand</title>" in index
    assert "it is rude" in index
    kinds = Counter(entry.type for entry in life.view.record.entries)
    assert (kinds["alias.requested"], kinds["alias.moved"]) == (3, 3)
    told = json.loads(world.here("export", change, "--out", "pack", "--format", "json"))
    assert told["files"] == sum(one.is_file() for one in (world.folder / "pack").rglob("*"))
    notices = json.loads(world.here("verify", "pack", "--format", "json"))["notices"]
    assert any("moved by hand to version 1, approved by Ben" in one for one in notices)


def a_version_deleted_from_mlflow_is_named_and_not_gone_to(world):
    new_client().delete_model_version(world.line, "2")
    report = json.loads(world.here("registry", "audit", world.line, "--format", "json", code=5))
    assert ("version", f"{world.line} version 2") in {
        (one["kind"], one["subject"]) for one in report["findings"]
    }
    asked = world.here("registry", "promote", world.line, "2", code=2)
    assert "deleted from MLflow" in asked
    assert world.view.state.open_move is None


def a_bad_copy_is_made_again(world, life):
    """Its bytes are not what its metadata says, so only reading it shows that."""
    store = version_files(world.view.work, life.view.change(world.change).model)
    where = {"Bucket": store.location.bucket, "Key": f"{store.location.prefix}/model/config.json"}
    said = store.client.head_object(**where)["Metadata"]
    good = store.get("model/config.json")
    store.client.put_object(**where, Body=good + b" ", Metadata=said)
    with pytest.raises(RegistryError, match=r"model/config\.json. They are removed"):
        life.run()
    assert not store.exists("model/config.json")


class Crash(BaseException):
    """What no handler of ours catches, as a killed process."""


def after(call):
    """The call, and then the end of the process."""

    def done(*arguments, **named):
        call(*arguments, **named)
        raise Crash

    return done


def before_the_entry(append):
    """The end of the process just before the ledger says that the model is registered."""

    def begun(store, line, sequence, envelope, until):
        if b"model.registered" in base64.b64decode(json.loads(envelope)["payload"]):
            raise Crash
        append(store, line, sequence, envelope, until)

    return begun


@contextmanager
def read_only(server: str) -> Iterator[str]:
    """A server before MLflow that lets nobody write, as a login with reading rights would."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with urllib.request.urlopen(f"{server}{self.path}") as answer:  # noqa: S310
                self.answer(200, answer.read())

        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            refusal = {"error_code": "PERMISSION_DENIED", "message": "you are read-only here"}
            self.answer(403, json.dumps(refusal).encode())

        def answer(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PATCH = do_DELETE = refuse  # noqa: N815 - as the base class names them

        def log_message(self, *_: object) -> None:
            pass

    with serving(Handler) as address:
        yield address


BORDERS = (
    (ObjectStore, "copy_file", after),
    (registering, "write_card", after),
    (Registry, "register", after),
    (registering, "_ask", after),
    (Registry, "point", after),
    (LedgerStore, "append", before_the_entry),
)


def test_a_registration_that_dies_anywhere_is_finished_by_the_next_run(world, life, monkeypatch):
    distils = {"methods": ["closed_form", "distilled"], "training_tokens": 400}
    world.rewrite("policy.yaml", healing=distils | {"learning_rate": 2e-4})
    begun = life.run().change
    built = life.view.change(begun).steps[0].attempts[-1].built
    healing = life.view.documents.get(built.build)
    tried = [one["method"] for one in healing["tried"]]
    assert tried == ["none", "closed_form", "distilled"]
    assert healing["prompts"] > 0
    assert healing["learning_rate"] == 2e-4
    life.answer(begun, *PEOPLE)
    for owner, name, dying in BORDERS:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, dying(getattr(owner, name)))
            with pytest.raises(Crash):
                life.run()
    a_bad_copy_is_made_again(world, life)
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(RegistryError, match="cannot be reached"):
            life.run()
    with monkeypatch.context() as patch, read_only(os.environ["MLFLOW_TRACKING_URI"]) as address:
        patch.setenv("MLFLOW_TRACKING_URI", address)
        with pytest.raises(RegistryError, match=r"PERMISSION_DENIED.*read-only"):
            life.run()
    ending = life.run()
    assert ending.waiting_for == "promotion"
    assert [one.version for one in Registry().versions(world.line)] == ["1"]
    assert Registry().aliases(world.line) == {"candidate": "1"}
    kinds = [entry.type for entry in life.view.record.entries]
    assert kinds.count("model.registered") == 1
    life.answer(ending.change, "Ben", said="reject")
    assert life.run().outcome == "rejected"
    assert Registry().aliases(world.line) == {}
    assert audit_line(life.view).clean
    with monkeypatch.context() as patch:
        patch.setattr(LoadedModel, "read", None)  # not even the base is loaded
        assert life.run().outcome == "nothing_to_do"  # the same model, rules and data
