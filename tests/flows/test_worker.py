"""A line's deployments on a real Prefect server, with real workers that are killed on the way."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from prefect.states import Crashed, Running

from benchmarks.life import Life
from flows import alarms
from flows.waking import try_to_wake
from tasks.models.registry import Registry
from tests.flows.workplace import Workplace, deployed

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1500)]
ABROAD = ZoneInfo("Asia/Kathmandu")


@pytest.fixture
def workplace(world, webhook, monkeypatch) -> Iterator[Workplace]:
    """Deployed as a user does, with a schedule that fires soon by the clocks of Kathmandu."""
    # Prefect holds back the events of a run that was scheduled less than 5 minutes ahead, so that
    # its alarm would not hear that it suspended.
    monkeypatch.setattr(alarms, "SILENCE", timedelta(hours=1))
    with deployed(world) as workplace:
        then = datetime.now(ABROAD) + timedelta(seconds=75)
        world.here(
            *("deploy", "--config", "run.yaml", "--pool", f"pool-{world.line}"),
            *("--timezone", str(ABROAD), "--cron", f"optimize={then.minute} {then.hour} * * *"),
            *("--cron", "monitor=", "--cron", "attend=", "--notify", webhook.slug),
        )
        yield workplace


def told(webhook) -> set[str]:
    """The states of runs that the line's alarm told somebody of."""
    return {one["text"].partition(" is ")[2].partition(".")[0] for one in webhook.posts}


def test_a_deployed_change_outlives_its_workers_and_obeys_signatures_alone(
    workplace, webhook, monkeypatch
):
    world, client = workplace.world, workplace.client
    with workplace.worker() as kill:
        workplace.until(lambda: len(workplace.runs()) == 1)  # the schedule fires
        first = workplace.runs()[0]
        assert first.auto_scheduled
        workplace.until(lambda: workplace.state_of(first) == "Suspended")
        kill()
    before = workplace.types()
    assert before[-1] == "decision.requested"

    with workplace.worker() as kill:
        # A forged answer wakes the run, which finds no signed one and suspends again.
        client.resume_flow_run(first.id, run_input={"approver": "Ann", "decision": "approve"})
        workplace.until(lambda: workplace.times_suspended(first) == 2)
        # A scheduled run that meets the open change says so and ends.
        second = workplace.start_late_run()
        workplace.until(lambda: workplace.state_of(second) == "AlreadyWaiting")
        assert "promotion" not in client.read_flow_run(second.id).state.message
        # Setting the run to Running decides nothing either.
        client.set_flow_run_state(first.id, Running(), force=True)
        assert workplace.types() == before
        monkeypatch.setattr(alarms, "SILENCE", timedelta(seconds=45))  # a heartbeat comes every 30
        alarms.register_alarms(client, world.line, [webhook.slug])
        # Signed answers do; no run is suspended now, so another one is started.
        Life(world.folder, world.line).answer(world.change, "Ann", "Ben")
        assert "woken" in try_to_wake(world.change, 1)
        workplace.until(lambda: "step.approved" in workplace.types())
        kill()

    (dead,) = (run for run in workplace.runs() if run.state.is_running() and run.id != first.id)
    client.set_flow_run_state(first.id, Crashed(), force=True)  # it has no process to fall silent
    third = workplace.start_late_run()  # no worker takes it
    workplace.until(lambda: workplace.state_of(dead) == "Crashed")
    assert "nothing was heard of it" in client.read_flow_run(dead.id).state.message
    workplace.until(lambda: told(webhook) >= {"Crashed", "Late"})
    with workplace.worker():
        workplace.until(lambda: workplace.state_of(third) == "Suspended")
        world.approve("Ben")
        workplace.until(lambda: workplace.state_of(third) == "Completed")
        back = workplace.start_run("rollback")
        workplace.until(lambda: workplace.state_of(back) == "Failed")
        assert "no version before" in client.read_flow_run(back.id).state.message
    counted = Counter(workplace.types())
    repeated = {"decision.requested", "decision.recorded", "step.approved", "run.resumed"}
    assert {kind for kind, count in counted.items() if count > 1} <= repeated
    assert counted["step.approved"] == 2
    assert Registry().current(world.line).digest == world.view.change(world.change).model
    assert world.view.state.closed[-1].outcome == "promoted"
