"""A line's deployments on a real Prefect server, and real workers that can be killed."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterTags
from prefect.client.schemas.objects import FlowRun
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from flows.deploying import Wanted, deploy
from tasks.errors import MissingError


@dataclass(frozen=True)
class Workplace:
    """One line's work pool and its runs, as Prefect has them."""

    world: Any
    client: SyncPrefectClient

    def runs(self, flow: str = "optimize") -> list[FlowRun]:
        """Runs of one deployment of the line whose time has come, the oldest first."""
        deployment = self.client.read_deployment_by_name(f"{flow}/{self.world.line}")
        tags = FlowRunFilterTags(all_=[f"line:{self.world.line}"])
        found = self.client.read_flow_runs(flow_run_filter=FlowRunFilter(tags=tags))
        now = datetime.now(UTC)
        due = [it for it in found if it.expected_start_time < now]
        own = (it for it in due if it.deployment_id == deployment.id)
        return sorted(own, key=lambda it: it.expected_start_time)

    def start_late_run(self) -> FlowRun:
        """A run as a schedule would have left it, a minute ago, with no worker to take it."""
        deployment = self.client.read_deployment_by_name(f"optimize/{self.world.line}")
        then = datetime.now(UTC) - timedelta(minutes=1)
        return self.client.create_flow_run_from_deployment(
            deployment.id, state=Scheduled(scheduled_time=then)
        )

    def start_run(self, flow: str) -> FlowRun:
        """A run of one of the line's deployments, now, as from Prefect's pages."""
        deployment = self.client.read_deployment_by_name(f"{flow}/{self.world.line}")
        return self.client.create_flow_run_from_deployment(deployment.id)

    def state_of(self, run: FlowRun) -> str:
        """The name of a run's state now."""
        return self.client.read_flow_run(run.id).state.name

    def times_suspended(self, run: FlowRun) -> int:
        """How often a run suspended so far."""
        states = self.client.read_flow_run_states(run.id)
        return sum(state.name == "Suspended" for state in states)

    def types(self) -> list[str]:
        """The types of all entries of the line."""
        try:
            return [entry.type for entry in self.world.view.record.entries]
        except MissingError:
            return []

    def until(self, holds: Callable[[], bool], seconds: float = 600) -> None:
        """Wait for something that workers bring about."""
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
        )

        def kill() -> None:
            started = []
            with contextlib.suppress(psutil.NoSuchProcess):
                started = psutil.Process(process.pid).children(recursive=True)
            for one in (process, *started):  # a run's process has a session of its own
                with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                    one.kill()
            process.wait()

        try:
            yield kill
        finally:
            kill()
            log.close()


@contextmanager
def deployed(world: Any, **wanted: Any) -> Iterator[Workplace]:
    """The world's line, deployed with no schedules but those that are wanted."""
    config, none = world.folder / "run.yaml", {"optimize": "", "monitor": "", "attend": ""}
    given = {"timezone": "Etc/UTC", "crons": none, "job_variables": {}} | wanted
    with (
        temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}),
        get_client(sync_client=True) as client,
    ):
        deploy(Wanted(config, str(config), f"pool-{world.line}", **given))
        yield Workplace(world, client)


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """An HTTP server on this machine; its address."""
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
