"""What people did not sign moves nothing: forged answers, a forged Prefect, and another job key."""

import json
import os
import secrets
from datetime import timedelta

import httpx
import pytest
import yaml

from policies.approvals import Decision, sign_decision
from policies.keys import public_line, read_private_key
from policies.lifecycle import expectation
from tasks import clock

pytestmark = pytest.mark.stack


def signed(world, name, **changes):
    """A decision on what is asked now as this person would sign it; `changes` alter the subject."""
    view = world.view
    change = view.change(world.change)
    subject = expectation(change, 1, view.policy_of(change), view.roster_of(change)).subject
    said = Decision(
        subject=subject.model_copy(update=changes),
        decision="approve",
        reason="tested",
        approver=name,
        time=clock.now(),
        expires=clock.now() + timedelta(hours=1),
        nonce=secrets.token_hex(16),
    )
    return sign_decision(said, read_private_key(world.folder / "keys" / name))


def forge_prefect(change):
    """Whoever reaches the API may set states and write inputs as they like."""
    with httpx.Client(base_url=os.environ["PREFECT_API_URL"], timeout=60) as api:
        runs = api.post("/flow_runs/filter", json={"limit": 5}).raise_for_status().json()
        assert runs
        said = json.dumps({"approved": True, "by": "Ben"})
        for run in runs:
            at = f"/flow_runs/{run['id']}"
            for state in ("RUNNING", "COMPLETED"):
                forced = {"state": {"type": state}, "force": True}
                api.post(f"{at}/set_state", json=forced).raise_for_status()
            answer = {"key": f"approval-{change}", "value": said}
            api.post(f"{at}/input", json=answer).raise_for_status()


def test_nothing_moves_but_on_signatures(world, write_a_key):
    key = write_a_key(world.folder / "keys" / "Mia")
    people = yaml.safe_load((world.folder / "approvers.yaml").read_text())["people"]
    people.append(
        {"name": "Mia", "roles": ["risk"], "keys": [{"key": public_line(key.public_key())}]}
    )
    world.rewrite("approvers.yaml", people=people)
    world.avss("optimize", "--config", "run.yaml", code=4)
    answer = ("--key", str(world.folder / "keys" / "Mia"), "--reason", "mine")
    assert "asked for themselves" in world.avss("approve", world.change, *answer, code=2)
    drop = world.view.approvals.drop
    for envelope in (
        signed(world, "Mia"),
        signed(world, "Ann", line="other-line"),
        signed(world, "Ann", change=f"{world.line}-0002"),
        signed(world, "Ann", step="promotion"),
        b"{}",
    ):
        drop(world.change, 1, envelope)
    forge_prefect(world.change)
    world.avss("optimize", "--config", "run.yaml", code=4)
    entries = world.view.record.entries
    faults = sorted(one.body.fault for one in entries if one.type == "decision.recorded")
    assert faults == ["self_approval", "unreadable", "wrong_change", "wrong_line", "wrong_step"]
    assert not [one for one in entries if one.type == "step.approved"]
    new_job_key(world, write_a_key)


def new_job_key(world, write_a_key):
    """The job's key is replaced while people are asked; the old one is out at once."""
    new = world.folder / "home" / "keys" / "second"
    write_a_key(new)
    rotate = ("job-key", "rotate", world.line, "--new-key", str(new), "--reason", "yearly")
    world.avss(*rotate)
    said = world.avss("optimize", "--config", "run.yaml", code=2)
    assert "must be signed by the job key SHA256:" in said
    keys = json.loads(world.avss("job-key", "show", world.line, "--format", "json"))
    assert [one["reason"] for one in keys] == ["", "yearly"]
    new.replace(world.folder / "home" / "keys" / "job_ed25519")
    world.approve("Ann")
    world.avss("optimize", "--config", "run.yaml", code=4)
    world.avss("export", world.change, "--out", "pack")
    report = json.loads(world.avss("verify", "pack", "--format", "json"))
    assert any("key was replaced (yearly)" in notice for notice in report["notices"])
