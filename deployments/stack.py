"""The local stack: a real S3 server, a Prefect server and an MLflow server under one folder.

`up` starts what does not run yet, waits until each server is well and makes the buckets; `down`
ends only what `up` started. Ports are chosen free at the first start and kept; data survives.
For trying and testing: the servers listen on loopback, where every user of the machine reaches
them, and Prefect and MLflow ask nobody for a name.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from filelock import FileLock, Timeout

from deployments import processes
from deployments.buckets import BucketNames, ensure_buckets
from deployments.home import Home, StackRecord
from deployments.services import ALL, MLFLOW, PREFECT, SEAWEEDFS, TELEMETRY_OFF, Service
from tasks.errors import StackError
from tasks.s3.client import new_client

Report = Callable[[str], None]


class Health(StrEnum):
    """How a service is."""

    up = "up"
    unwell = "unwell"
    """It runs and does not answer."""
    down = "down"


@dataclass(frozen=True)
class ServiceStatus:
    """A service as it is now."""

    name: str
    health: Health
    url: str | None
    pid: int | None
    log: Path


def quiet(message: str) -> None:
    """Report nothing."""


class Stack:
    """The servers under one home folder."""

    def __init__(self, home: Path, services: tuple[Service, ...] = ALL) -> None:
        self.home = Home(home.resolve())
        self.services = services

    def up(self, *, deadline: float = 180.0, report: Report = quiet) -> tuple[ServiceStatus, ...]:
        """Start what does not run, wait until all are well, make the buckets; safe to repeat.

        Args:
            deadline: seconds that all the services together may take.
            report: told in words what happens.

        Raises:
            StackError: a service did not start; what this call started is ended again.
        """
        with self._locked():
            record = self.home.record()
            well = {service.name for service in self.services if self._is_well(service, record)}
            missing = [service for service in self.services if service.name not in well]
            try:
                for service in missing:
                    record = self._start(service, record, report)
                self._wait(missing, record, time.monotonic() + deadline, report)
                if SEAWEEDFS in self.services:
                    ensure_buckets(BucketNames(), new_client(self.environment()))
            except BaseException:
                self._stop(missing, report)
                raise
        return self.status()

    def down(self, *, report: Report = quiet) -> tuple[str, ...]:
        """End what `up` started and nothing else; returns the names of what ran."""
        with self._locked():
            return self._stop(list(reversed(self.services)), report)

    def status(self) -> tuple[ServiceStatus, ...]:
        """Every service as it is now."""
        record = self.home.record()
        return tuple(self._status(service, record) for service in self.services)

    def environment(self) -> dict[str, str]:
        """The variables that lead clients to this stack, to lay over their own environment.

        Raises:
            StackError: the stack was never started.
        """
        ports = self.home.record().ports
        if SEAWEEDFS.name not in ports:
            raise StackError(f"No stack was started under {self.home.path}. Run: avss stack up")
        user = self.home.credentials()
        proxied = os.environ.get("NO_PROXY", os.environ.get("no_proxy", ""))
        found = TELEMETRY_OFF | {
            "AWS_ENDPOINT_URL": SEAWEEDFS.url(ports[SEAWEEDFS.name]),
            "AWS_ACCESS_KEY_ID": user.access_key,
            "AWS_SECRET_ACCESS_KEY": user.secret_key,
            "AWS_SESSION_TOKEN": "",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": ",".join(dict.fromkeys(filter(None, [proxied, "127.0.0.1", "localhost"]))),
        }
        if PREFECT.name in ports:
            found["PREFECT_API_URL"] = f"{PREFECT.url(ports[PREFECT.name])}/api"
            found["PREFECT_HOME"] = str(self.home.folder("prefect"))
        if MLFLOW.name in ports:
            found["MLFLOW_TRACKING_URI"] = MLFLOW.url(ports["mlflow"])
        return found

    def _start(self, service: Service, record: StackRecord, report: Report) -> StackRecord:
        stale = record.services.get(service.name)
        if stale and processes.stop(stale, grace=service.grace):
            report(f"{service.name}: ended an instance that did not answer")
        ports = self._ports(service, record, report)
        report(f"{service.name}: starting at {service.url(ports)}")
        started = processes.start(
            service.command(self.home, ports),
            environment=service.environment(self.home, ports, self._servers_before(service)),
            folder=self.home.folder(service.name),
            log=self.home.log(service.name),
            ports=ports,
        )
        record = StackRecord(
            services=record.services | {service.name: started},
            ports=record.ports | {service.name: ports},
        )
        try:
            self.home.write(record)
        except BaseException:
            processes.stop(started, grace=service.grace)
            raise
        return record

    def _ports(self, service: Service, record: StackRecord, report: Report) -> dict[str, int]:
        kept = record.ports.get(service.name, {})
        taken = [port for port in service.listens_on(kept) if not processes.is_free(port)]
        if set(kept) == set(service.purposes) and not taken:
            return kept
        if taken:
            report(f"{service.name}: port {taken[0]} is taken by another program; choosing others")
        chosen = processes.free_ports(len(service.purposes), offset=service.offset)
        return dict(zip(service.purposes, chosen, strict=True))

    def _servers_before(self, service: Service) -> dict[str, str]:
        """MLflow keeps artifacts in S3, so it is told where that is; the others need nobody."""
        return Stack(self.home.path, (SEAWEEDFS,)).environment() if service is MLFLOW else {}

    def _wait(
        self, services: list[Service], record: StackRecord, until: float, report: Report
    ) -> None:
        for service in services:
            while not self._is_well(service, record):
                if not processes.is_running(record.services[service.name]):
                    raise self._failure(service, "ended while starting")
                if time.monotonic() > until:
                    raise self._failure(service, "did not answer in time")
                time.sleep(0.2)
            report(f"{service.name}: ready")

    def _failure(self, service: Service, what: str) -> StackError:
        log = self.home.log(service.name)
        user = self.home.credentials()
        words = processes.tail(log).replace(user.secret_key, "***").replace(user.access_key, "***")
        return StackError(f"{service.name} {what}. The end of {log}:\n{words}")

    def _stop(self, services: list[Service], report: Report) -> tuple[str, ...]:
        record = self.home.record()
        stopped = []
        for service in services:
            started = record.services.get(service.name)
            if started and processes.stop(started, grace=service.grace):
                report(f"{service.name}: stopped")
                stopped.append(service.name)
                service.sweep(started.ports)
            left = {name: it for name, it in record.services.items() if name != service.name}
            record = record.model_copy(update={"services": left})
            self.home.write(record)
        return tuple(stopped)

    def _status(self, service: Service, record: StackRecord) -> ServiceStatus:
        started = record.services.get(service.name)
        log = self.home.log(service.name)
        if started is None or not processes.is_running(started):
            return ServiceStatus(service.name, Health.down, None, None, log)
        health = Health.up if self._is_well(service, record) else Health.unwell
        return ServiceStatus(service.name, health, service.url(started.ports), started.pid, log)

    def _is_well(self, service: Service, record: StackRecord) -> bool:
        started = record.services.get(service.name)
        if started is None or not processes.is_running(started):
            return False
        return service.is_well(started.ports)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.home.folder()
        try:
            with FileLock(self.home.lock, timeout=0):
                yield
        except Timeout:
            raise StackError(
                f"Another `avss stack` command works on {self.home.path}; wait for it to end."
            ) from None
