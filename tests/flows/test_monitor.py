"""The model in use, watched on fresh data on real servers: checks, an incident, the way back."""

import io
import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.life import Life
from flows.attend import attend
from flows.monitor import Watched, monitor
from flows.recording import append
from policies.entries import RunResumed
from policies.lifecycle import Wish, advance
from tasks.errors import ConflictError, DataError, LeaseError
from tasks.job import Job
from tasks.models.audit import audit_line
from tasks.models.mlflow_client import new_client
from tasks.models.moving import move_alias
from tasks.models.registry import Registry
from tasks.places import LOCAL
from tasks.record.keeper import Keeper
from tasks.record.lease import Lease
from tasks.run_file import RunFile

pytestmark = pytest.mark.stack
PEOPLE = ("Ann", "Ben")
ROLES = ("product", "risk")


@pytest.fixture
def life(world, webhook, monkeypatch) -> Life:
    """The world's line, run in this process, that tells a webhook."""
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    gates = {name: {"quorum": 2, "roles": list(ROLES)} for name in ("step", "promotion")}
    world.rewrite("run.yaml", notifications={"blocks": [webhook.slug]})
    lenient = {"min_retention": 0.1, "worst_slice": None, "max_drop_per_step": None}
    world.rewrite("policy.yaml", approvals=gates, kpis={"default": lenient})
    return Life(world.folder, world.line)


def look(life) -> tuple[Watched, str]:
    told = io.StringIO()
    return life.watch(told), told.getvalue()


def test_a_model_in_use_is_watched_on_fresh_data(
    world, life, stack, reviews_of_another_shop, webhook, monkeypatch
):
    found, _ = look(life)
    assert (found.version, found.exit_code) == (None, 0)  # nothing is in use yet
    two_looks_at_once_are_one(world, life, monkeypatch)
    watching = {"on_breach": "ask", "on_bad_data": "alarm", "min_retention": 0.1}
    world.rewrite("policy.yaml", monitoring=watching | {"min_of_promised": None})
    assert life.agree(*PEOPLE).outcome == "promoted"
    found, told = look(life)
    assert (found.version, found.passed, found.exit_code) == ("1", True, 0), told
    change = life.view.change(world.change)
    logged = new_client().search_runs(
        [new_client().get_experiment_by_name(world.line).experiment_id],
        f"tags.`avss.model` = '{change.model}' and tags.`avss.version` = '1'",
    )
    assert len(logged) == 1

    stack.data().put("2026/part-2.jsonl", reviews_of_another_shop())
    webhook.status, incident = 500, f"Incident 1 on line {world.line}"
    found, told = look(life)
    assert (found.passed, found.incident, found.exit_code) == (False, 1, 3)
    assert "no version before" in found.rollback
    assert "text_length" in told
    webhook.status = 200
    again, _ = look(life)
    assert again.incident == 1  # it is open, and no second one is
    assert titles(webhook).count(incident) == 1 + 1  # refused the first time, then carried
    look(life)
    assert titles(webhook).count(incident) == 1 + 1
    stack.data().delete("2026/part-2.jsonl")
    found, _ = look(life)
    assert (found.passed, found.incident, found.exit_code) == (True, None, 0)

    counted = Counter(entry.type for entry in life.view.record.entries)
    assert counted["monitor.checked"] == 5
    assert counted["incident.opened"] == counted["incident.closed"] == 1
    index = world.view.work.below("dossiers").get(f"{world.line}/index.html").decode()
    assert "Incident: version 1 is below its floor" in index
    assert "Incident over: version 1 is well again" in index
    rolled_back_by_standing_consent(world, life, stack.data(), reviews_of_another_shop())
    done = f"Line {world.line}: rollback to version 1: done"
    assert titles(webhook)[-2:] == [f"Incident 2 on line {world.line}", done]
    a_promotion_overtakes_a_move_by_hand(world, life)
    what_moved_behind_our_back_is_found(world)
    assert titles(webhook)[-1] == f"Line {world.line}: registry or files differ from the record"
    moves_by_hand_are_told(world, life, webhook)
    neither_fault_hides_the_other(world, life, monkeypatch)
    assert world.sample not in str(webhook.posts)
    world.here("export", world.change, "--out", "pack")
    report = json.loads(world.here("verify", "pack", "--format", "json"))
    assert any("incident 1" in one for one in report["notices"])
    assert "w7 w8 w7" not in str([path.read_bytes() for path in files(world.folder / "pack")])


def rolled_back_by_standing_consent(world, life, data, other: bytes) -> None:
    """Nobody is asked: whoever approved the second promotion agreed to its policy."""
    limits = {"max_layers_removed": 2, "max_share_removed": None, "attempts_per_step": 2}
    consent = {"on_breach": "rollback", "on_bad_data": "alarm", "min_retention": 0.1}
    world.rewrite("policy.yaml", limits=limits, monitoring=consent | {"min_of_promised": None})
    ending = life.agree(*PEOPLE)
    assert (ending.outcome, Registry().aliases(world.line)["champion"]) == ("promoted", "2")
    data.put("2026/part-2.jsonl", other)
    found, _ = look(life)
    assert (found.version, found.passed, found.exit_code) == ("2", False, 3)
    assert (found.rollback, found.incident, found.findings) == ("moved", None, ())
    assert Registry().aliases(world.line) == {"champion": "1"}
    last = [entry.body for entry in life.view.record.entries[-5:]]
    assert [body.kind for body in last] == [
        *("monitor.checked", "incident.opened", "alias.requested", "alias.moved"),
        "incident.closed",
    ]
    assert (last[3].deciders, last[4].how) == ((), "replaced")
    data.delete("2026/part-2.jsonl")
    world.here("export", ending.change, "--out", "pack-2")
    notices = json.loads(world.here("verify", "pack-2", "--format", "json"))["notices"]
    assert any("agrees to it beforehand" in one for one in notices), notices


def two_looks_at_once_are_one(world, life, monkeypatch) -> None:
    """The second says so: a deployment's run is over by that, a person's command fails."""
    with Lease(world.view.work, f"{world.line}.monitor", holder="another look"):
        with pytest.raises(LeaseError, match="another look"):
            look(life)
        with monkeypatch.context() as patch:
            patch.setenv("PREFECT__RUNTIME__DEPLOYMENT__ID", "of this line")
            state = monitor(str(world.folder / "run.yaml"), return_state=True)
    assert (state.name, state.is_completed()) == ("LineBusy", True)
    assert "another look" in state.message


def titles(webhook) -> list[str]:
    return [one["title"] for one in webhook.posts]


def moves_by_hand_are_told(world, life, webhook) -> None:
    config, wish = str(world.folder / "run.yaml"), Wish("Mia", "it was the data", version="1")
    what = "version 1 in use"
    asked = move_alias(Keeper(world.line, LOCAL), wish)
    attend(config)
    attend(config)
    assert titles(webhook)[-1] == f"Decision wanted: {asked.change}, {what}"
    assert f"avss approve {asked.change} --step alias" in webhook.posts[-1]["text"]
    life.answer(asked.change, *PEOPLE, said="reject")
    assert move_alias(Keeper(world.line, LOCAL), wish).state == "rejected"
    attend(config)
    assert titles(webhook)[-1] == f"Line {world.line}: {what}: rejected"
    assert titles(webhook).count(f"Decision wanted: {asked.change}, {what}") == 1


def neither_fault_hides_the_other(world, life, monkeypatch) -> None:
    """A file of the model is altered, this machine has no copy, and there is no fresh data."""
    run = (world.folder / "run.yaml").read_text()
    store = world.view.work.below(f"models/{life.view.state.live.model}")
    good = store.get("config.json")
    store.put("config.json", good + b" ")
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "cold"))
    shutil.copytree(world.folder / "home" / "keys", world.folder / "cold" / "keys")
    found, _ = look(life)
    assert (found.passed, found.exit_code) == (None, 5)
    assert "digest" in found.fault
    nothing = {"uri": "s3://avss-data/nothing", "fields": {"text": "said"}}
    world.rewrite("run.yaml", data=nothing)
    found, _ = look(life)
    assert found.exit_code == 5
    assert "nothing" in found.fault
    assert any("config.json: was altered" in one for one in found.findings)
    store.put("config.json", good)
    with pytest.raises(DataError, match="nothing"):
        look(life)
    (world.folder / "run.yaml").write_text(run)


def a_promotion_overtakes_a_move_by_hand(world, life) -> None:
    """A change is promoted while people are still asked about a move."""
    wish = Wish("Mia", "the fault was elsewhere", version="2")
    assert move_alias(Keeper(world.line, LOCAL), wish).state == "waiting"
    assert life.agree(*PEOPLE).outcome == "promoted"
    now = Registry().aliases(world.line)
    assert move_alias(Keeper(world.line, LOCAL), wish).state == "overtaken"
    assert Registry().aliases(world.line) == now
    assert now["previous"] == "1"
    assert audit_line(life.view).clean


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def what_moved_behind_our_back_is_found(world) -> None:
    busy = Job(RunFile.load(world.folder / "run.yaml"))  # a run that read the record before
    before = busy.state
    client = new_client()
    good = client.get_model_version(world.line, "1").tags["avss.evidence"]
    client.set_model_version_tag(world.line, "1", "avss.evidence", "0" * 64)
    told = json.loads(world.here("monitor", "--config", "run.yaml", "--format", "json", code=5))
    assert any("avss.evidence" in one for one in told["findings"])
    client.set_model_version_tag(world.line, "1", "avss.evidence", good)
    goes_on_after_what_was_said_aside(world, busy, before)


def goes_on_after_what_was_said_aside(world, busy: Job, before) -> None:
    opened = before.closed[0].change.opened
    after, entry = append(busy, before, opened, f"{world.line}-0004", advance)
    assert entry.sequence == before.length + 1
    assert after.last_check is not None
    other = Job(RunFile.load(world.folder / "run.yaml"))
    append(other, after, resumed(opened), entry.change, advance)
    with pytest.raises(ConflictError):  # what was said meanwhile is about the same change
        append(busy, after, resumed(opened), entry.change, advance)


def resumed(opened) -> RunResumed:
    return RunResumed(at="pin the data", environment=opened.environment)
