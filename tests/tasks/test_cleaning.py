"""What goes and what stays of what lines leave behind."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli import app
from policies import entries as law
from policies.canonical import digest
from tasks import clock
from tasks.cleaning import CleaningPlan, clean
from tasks.home import home
from tasks.record.lease import Lease
from tests.policies.world import World
from tests.tasks.left_behind import (
    BASE,
    RETRAINED,
    Place,
    days,
    made,
    new_world,
    on_disk,
    promoted,
    rejected,
    snapshot_of,
)


@pytest.fixture
def place(s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("AVSS_HOME", str(tmp_path / "home"))
    return Place(s3.unique)


def test_what_goes_is_told_with_the_reason_and_only_then_deleted(place):
    world = new_world("shop")
    version = promoted(world)
    place.lay(world)
    on_disk("models", "0" * 64)  # no record names it
    place.work.put(f"models/{'0' * 64}/config.json", b"{}")
    before = {item.key for item in place.work.list()}
    assert place.plan(later=13).leftovers == ()
    plan = place.plan(later=14)
    going = made(world) - {version, BASE}
    assert {one.digest for one in plan.leftovers} == going
    assert {one.kind for one in plan.leftovers} == {"model", "cached model"}
    assert {one.why for one in plan.leftovers} == {
        "no version, and its change ended more than 14 days ago"
    }
    assert {one.change for one in plan.leftovers} == {"shop-0001"}
    in_s3 = [one for one in plan.leftovers if one.kind == "model"]
    assert {(one.objects, one.bytes) for one in in_s3} == {(2, 9)}
    assert {item.key for item in place.work.list()} == before  # a plan deletes nothing
    clean(plan, place.work)
    after = {item.key for item in place.work.list()}
    assert {key.split("/")[1] for key in before - after} == going
    assert {path.name for path in (home() / "cache" / "models").iterdir()} == place.models
    assert place.models == {version, BASE, "0" * 64}


def test_cleaning_twice_or_after_a_death_on_the_way_does_no_harm(place):
    world = new_world("shop")
    promoted(world)
    place.lay(world)
    plan = place.plan(later=20)
    half = CleaningPlan(plan.lines, plan.models_kept, plan.leftovers[::2])
    clean(half, place.work)
    place.work.delete(f"models/{plan.leftovers[1].digest}/config.json")  # half of a model
    rest = place.plan(later=20).leftovers
    assert {one.address for one in rest} == {one.address for one in plan.leftovers[1::2]}
    clean(plan, place.work)
    clean(plan, place.work)
    assert place.plan(later=20).leftovers == ()
    assert place.models == made(world) - {one.digest for one in plan.leftovers}


def test_the_base_of_every_version_stays_after_the_base_of_the_line_changed(place):
    world = new_world("shop")
    first = promoted(world)
    world.now += days(90)
    second = promoted(world, RETRAINED)
    place.lay(world)
    place.clean(later=90)
    assert place.models == {first, BASE, second, RETRAINED}
    world.ask_move()
    world.decide_move("bob")
    assert world.state.live.opened.base_model == BASE  # which `monitor` measures again now
    place.lay(world)
    place.clean(later=90)
    assert {BASE, RETRAINED, first, second} <= place.models


def test_the_base_of_a_version_that_nobody_promoted_stays(place):
    world = new_world("shop")
    world.open()
    while world.run() and world.waiting_for != "promotion":
        world.decide("alice")
        world.decide("bob")
    world.decide("bob", "reject")
    world.run()
    version = world.state.closed[0].change.registered.model
    promoted(world, RETRAINED)
    place.lay(world)
    place.clean(later=90)
    assert {version, BASE} <= place.models


def test_the_base_of_an_old_change_without_a_version_goes(place):
    world = new_world("shop")
    rejected(world)
    version = promoted(world, RETRAINED)
    place.lay(world)
    place.clean(later=90)
    assert place.models == {version, RETRAINED}


def test_an_open_change_keeps_all_that_it_made_however_long_it_waits(place):
    world = new_world("shop")
    promoted(world)
    world.policy = world.policy.model_copy(update={"name": "again"})
    world.split = digest(b"this week")
    world.base = RETRAINED
    world.open()
    world.run()
    place.lay(world)
    snapshot = on_disk("snapshots", world.change.snapshot.manifest)
    place.clean(later=400)
    built = {one.built.model for step in world.change.steps for one in step.attempts}
    assert built
    assert built | {RETRAINED} <= place.models
    assert snapshot.is_dir()


def test_a_model_that_another_line_needs_stays(place):
    """The worlds of two lines make the very same models."""
    old, young = new_world("old"), new_world("young", candidate=60)
    candidate = rejected(old)
    young.now += days(30)
    assert rejected(young) == candidate
    for world in (old, young):
        place.lay(world)
    assert candidate not in {one.digest for one in place.plan(later=59).leftovers}
    place.clean(later=60)
    assert candidate not in place.models


def test_a_model_that_a_later_change_made_again_is_as_young_as_that(place):
    world = new_world("shop")
    candidate = rejected(world)
    world.now += days(30)
    world.split = digest(b"this week")
    assert rejected(world) == candidate
    place.lay(world)
    assert place.plan(later=13).leftovers == ()
    place.clean(later=14)
    assert candidate not in place.models


def test_evidence_answers_pages_and_versions_stay_for_ever(place):
    world = new_world("shop")
    promoted(world)
    place.lay(world)
    others = [f"{name}/x" for name in ("registered", "approvals", "dossiers", "reports", "mlflow")]
    for key in others:
        place.work.put(key, b"x")
    evidence = {item.key for item in place.work.below("evidence").list()}
    place.clean(later=4000)
    assert {item.key for item in place.work.below("evidence").list()} == evidence
    assert set(others) <= {item.key for item in place.work.list()}
    assert len(list(place.ledger.list())) == len(world.envelopes) + 1


def test_cached_records_expire_but_for_those_behind_the_version_in_use(place):
    world = new_world("shop")
    world.good = lambda step, attempt: False
    world.open()
    world.run()
    world.good = lambda step, attempt: True
    world.split = digest(b"this week")
    promoted(world)
    place.lay(world)
    refused = on_disk("snapshots", snapshot_of(world, 1))
    live = on_disk("snapshots", snapshot_of(world, 2))
    foreign = on_disk("snapshots", "0" * 64)
    assert "cached snapshot" not in {one.kind for one in place.plan(later=29).leftovers}
    place.clean(later=30)
    assert [one.is_dir() for one in (refused, live, foreign)] == [False, True, True]


def watch(world: World, manifest: str) -> None:
    """The record of one look of `monitor`, which pinned this snapshot."""
    live = world.state.live
    assert live is not None
    assert live.registered is not None
    body = law.MonitorChecked(
        model=live.model,
        version=live.registered.version,
        manifest=manifest,
        facts=world.put({"facts": len(world.envelopes)}),
        passed=True,
        verdicts=live.holdout.verdicts,
    )
    world.append(body, change=live.id)


def test_records_that_monitor_cached_expire_too(place):
    world = new_world("shop")
    promoted(world)
    first, same, last = (digest(name) for name in (b"first", b"same", b"last"))
    for manifest in (first, same, snapshot_of(world, 1)):
        watch(world, manifest)
    world.now += days(40)
    for manifest in (same, last):
        watch(world, manifest)
    place.lay(world)
    cached = {name: on_disk("snapshots", name) for name in (first, same, last)}
    live = on_disk("snapshots", snapshot_of(world, 1))
    going = [one for one in place.plan().leftovers if one.kind == "cached snapshot"]
    assert [one.digest for one in going] == [first]
    assert "30 days" in going[0].why
    assert going[0].change == "shop-0001"
    place.clean()
    assert [one.is_dir() for one in cached.values()] == [False, True, True]
    place.clean(later=30)
    assert not any(one.is_dir() for one in cached.values())
    assert live.is_dir()


def test_records_that_another_line_needs_stay(place):
    """Both lines read the same data."""
    old, young = new_world("old"), new_world("young", snapshot=60)
    rejected(old)
    young.now += days(40)
    rejected(young)
    assert snapshot_of(old, 1) == snapshot_of(young, 1)
    for world in (old, young):
        place.lay(world)
    folder = on_disk("snapshots", snapshot_of(old, 1))
    place.clean(later=59)
    assert folder.is_dir()
    place.clean(later=60)
    assert not folder.is_dir()


@pytest.mark.parametrize("lease", ["shop", "shop.monitor"])
def test_while_a_run_works_on_a_line_nothing_of_it_goes(place, lease):
    world, other = new_world("shop"), new_world("other", layers=5)
    other.base = RETRAINED
    for one in (world, other):
        rejected(one)
        place.lay(one)
    folder = on_disk("snapshots", snapshot_of(world, 1))
    with Lease(place.work, lease, holder="a run"):
        place.clean(later=90)
        assert made(world) <= place.models
        assert folder.is_dir()
        assert not (made(other) - {RETRAINED}) & place.models
    place.clean(later=90)
    assert place.models == {BASE, RETRAINED}


def gc(place, *arguments: str) -> Any:
    call = ["gc", "--work", place.places.work, "--ledger", place.places.ledger, *arguments]
    result = CliRunner().invoke(app, call)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_a_dry_run_of_the_command_deletes_nothing(place):
    world = new_world("shop")
    promoted(world)
    place.lay(world)
    kept = place.models
    now = place.now + days(15)
    with clock.telling(lambda: now):
        told = gc(place, "--dry-run", "--format", "json")
        assert (told["deleted"], place.models) == (False, kept)
        done = gc(place, "--format", "json")
        assert done == told | {"deleted": True}
        assert place.models == kept - {one["digest"] for one in told["leftovers"]}


def test_the_rules_for_the_bucket_follow_the_longest_of_the_lines_policies(place):
    for line, candidate in (("a", 14), ("b", 200), ("c", 40)):
        world = new_world(line, candidate)
        promoted(world)
        place.lay(world)
    (rule,) = (it for it in gc(place, "--lifecycle")["Rules"] if it["ID"] == "avss-deleted-models")
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 200}


def test_before_there_is_a_line_the_rules_are_the_default_policys(place):
    (rule,) = (it for it in gc(place, "--lifecycle")["Rules"] if it["ID"] == "avss-deleted-models")
    assert rule["NoncurrentVersionExpiration"] == {"NoncurrentDays": 30}
