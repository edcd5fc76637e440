"""A line over several changes on real servers: registered, promoted, audited, rolled back."""

import base64
import json
import time

import pytest

from avss.digests import folder_digest
from benchmarks.life import Life
from tasks.errors import RegistryError
from tasks.models import registering
from tasks.models.audit import audit_line
from tasks.models.mlflow_client import new_client
from tasks.models.registering import version_files
from tasks.models.registry import Registry
from tasks.record.ledger_store import LedgerStore
from tasks.s3.storage import ObjectStore

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]
PEOPLE = ("Ann", "Ben")


@pytest.fixture
def life(world, monkeypatch) -> Life:
    """The world's line, run in this process."""
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    return Life(world.folder, world.line)


def test_a_line_is_registered_audited_and_rolled_back(world, life):
    first = life.agree(*PEOPLE)
    assert first.outcome == "promoted"
    registered_as_it_should_be(world, life)
    assert "no version before" in world.avss("registry", "rollback", world.line, code=2)

    world.rewrite("policy.yaml", limits={"max_layers_removed": 2, "max_share_removed": None})
    second = life.agree(*PEOPLE)
    change = life.view.change(second.change)
    failed = [one.failed_rules for step in change.steps for one in step.attempts]
    assert second.outcome == "promoted", failed
    assert change.opened.start_model == life.view.change(first.change).model
    assert (len(change.start_kept), len(change.kept)) == (5, 4)
    assert change.base.start is not None
    first_rankings_are_compared_across_changes(life, first.change, second.change)
    assert Registry().aliases(world.line) == {"champion": "2", "previous": "1"}
    assert json.loads(world.avss("registry", "audit", world.line, "--format", "json"))["clean"]

    what_moves_behind_our_back_is_named(world, change)
    rolled_back_although_the_newer_files_are_damaged(world, life, second.change)
    world.avss("registry", "export", world.line, "--out", "served")
    again = ("registry", "export", world.line, "--out", "served")
    assert "Name a new folder" in world.avss(*again, code=2)
    served = folder_digest(world.folder / "served").digest
    assert served == life.view.change(world.change).model
    left = json.loads(world.avss("gc", "--dry-run", "--format", "json"))
    assert not any(one["change"].startswith(world.line) for one in left["leftovers"])
    third = life.run()  # the limit lets one more layer go from version 1
    assert life.view.change(third.change).opened.start_model == change.opened.start_model


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
    out = world.start("registry", "audit", world.line, "--format", "json")
    report, code = json.loads(out.communicate(timeout=300)[0]), out.returncode
    assert code == 5
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
    world.start("registry", "audit", world.line, "--restore").communicate(timeout=300)
    assert Registry().aliases(world.line) == {"champion": "2", "previous": "1"}


def evidence_of_first(world) -> str:
    return world.view.change(world.change).holdout.evidence


def rolled_back_although_the_newer_files_are_damaged(world, life, change):
    rollback = ("registry", "rollback", world.line, "--reason", "it is rude", "--format", "json")
    asked = json.loads(world.avss(*rollback, code=4))
    assert (asked["change"], asked["version"], asked["state"]) == (change, "1", "waiting")
    world.avss("registry", "promote", world.line, "1", code=2)  # another move is asked for
    key = str(world.folder / "keys" / "Ben")
    world.avss(
        *("approve", change, "--step", "alias", "--evidence", asked["evidence"]),
        *("--key", key, "--reason", "so it is"),
    )
    began = time.monotonic()
    assert json.loads(world.avss(*rollback))["state"] == "moved"
    assert time.monotonic() - began < 60
    assert Registry().aliases(world.line) == {"champion": "1"}
    index = world.view.work.below("dossiers").get(f"{world.line}/index.html").decode()
    assert "<title>Led back to version 1 by hand</title>" in index
    assert "it is rude" in index
    assert "no version before" in world.avss("registry", "rollback", world.line, code=2)
    assert "damaged" in world.avss("registry", "promote", world.line, "2", code=2)
    world.avss("export", change, "--out", "pack")
    notices = json.loads(world.avss("verify", "pack", "--format", "json"))["notices"]
    assert any("moved by hand to version 1, approved by Ben" in one for one in notices)


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


BORDERS = (
    (ObjectStore, "copy_file", after),
    (registering, "write_card", after),
    (Registry, "register", after),
    (registering, "_fresh_process", after),
    (Registry, "point", after),
    (LedgerStore, "append", before_the_entry),
)


def test_a_registration_that_dies_anywhere_is_finished_by_the_next_run(world, life, monkeypatch):
    life.answer(life.run().change, *PEOPLE)
    for owner, name, dying in BORDERS:
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, dying(getattr(owner, name)))
            with pytest.raises(Crash):
                life.run()
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        with pytest.raises(RegistryError, match="cannot be reached"):
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
    assert life.run().outcome == "nothing_to_do"  # the same model, rules and data
