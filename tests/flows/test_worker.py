"""A line's deployments on a real Prefect server, with real workers that are killed on the way."""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Crashed, Running, Scheduled

from benchmarks.life import Life
from flows.deploying import Wanted, deploy
from flows.waking import try_to_wake
from tasks.errors import MissingError
from tasks.models.registry import Registry

pytestmark = pytest.mark.stack


@dataclass(frozen=True)
class Workplace:
    """One line's work pool and its runs, as Prefect has them."""

    world: Any
    client: SyncPrefectClient

    def runs(self) -> list[FlowRun]:
        tags = FlowRunFilterTags(all_=[f"line:{self.world.line}"])
        found = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))
        now = datetime.now(UTC)
        return [run for run in found if run.expected_start_time < now]

    def start_late_run(self) -> FlowRun:
        """A run as a schedule would have left it, a minute ago, with no worker to take it."""
        deployment = self.client.read_deployment_by_name(f"optimize/{self.world.line}")
        then = datetime.now(UTC) - timedelta(minutes=1)
        return self.client.create_flow_run_from_deployment(
            deployment.id, state=Scheduled(scheduled_time=then)
        )

    def state_of(self, run: FlowRun) -> str:
        return self.client.read_flow_run(run.id).state.name

    def times_suspended(self, run: FlowRun) -> int:
        states = self.client.read_flow_run_states(run.id)
        return sum(state.name == "Suspended" for state in states)

    def types(self) -> list[str]:
        try:
            return [entry.type for entry in self.world.view.record.entries]
        except MissingError:
            return []

    def until(self, holds: Callable[[], bool], seconds: float = 240) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline, [(r.name, r.state) for r in self.runs()]
            time.sleep(0.5)

    @contextmanager
    def worker(self) -> Iterator[Callable[[], None]]:
        """A worker, and the way to kill it with everything it started, with no time for a word."""
        pool = f"pool-{self.world.line}"
        log = (self.world.folder / "worker.log").open("ab")
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", pool],
            cwd=self.world.folder,
            env=os.environ
            | {
                "AVSS_HOME": str(self.world.folder / "home"),
                "OMP_NUM_THREADS": "1",
                "PREFECT_WORKER_QUERY_SECONDS": "1",
                "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "false",
            },
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

        def kill() -> None:
            subprocess.run(["pkill", "-KILL", "-s", str(process.pid)], check=False)
            process.wait()

        try:
            yield kill
        finally:
            kill()
            log.close()


@pytest.fixture
def workplace(world) -> Iterator[Workplace]:
    config = world.folder / "run.yaml"
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        deploy(Wanted(config, str(config), f"pool-{world.line}", "Etc/UTC", {}, {}))
        yield Workplace(world, client)


def test_a_deployed_change_outlives_its_workers_and_obeys_signatures_alone(workplace):
    world, client = workplace.world, workplace.client
    first = workplace.start_late_run()
    with workplace.worker() as kill:
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
        # Signed answers do; no run is suspended now, so another one is started.
        Life(world.folder, world.line).answer(world.change, "Ann", "Ben")
        assert "woken" in try_to_wake(world.change, 1)
        workplace.until(lambda: "step.approved" in workplace.types())
        kill()

    for run in workplace.runs():
        if run.state.is_running() or run.state.is_pending():
            client.set_flow_run_state(run.id, Crashed(), force=True)  # as its alarm would
    with workplace.worker():
        third = workplace.start_late_run()
        workplace.until(lambda: workplace.state_of(third) == "Suspended")
        world.approve("Ben")
        workplace.until(lambda: workplace.state_of(third) == "Completed")
    counted = Counter(workplace.types())
    repeated = {"decision.requested", "decision.recorded", "step.approved", "run.resumed"}
    assert {kind for kind, count in counted.items() if count > 1} <= repeated
    assert counted["step.approved"] == 2
    assert Registry().current(world.line).digest == world.view.change(world.change).model
    assert world.view.state.closed[-1].outcome == "promoted"
