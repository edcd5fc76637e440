"""Real servers for tests: `s3` needs a second to start, `stack` (with Prefect and MLflow) many."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deployments.buckets import BucketNames
from deployments.services import ALL, SEAWEEDFS, Service
from deployments.stack import Stack
from flows.quiet import hush_libraries
from tasks.s3.storage import ObjectStore

hush_libraries()  # before torch is imported by any test


@pytest.fixture(autouse=True)
def avss_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything in the folder that it is started in."""
    monkeypatch.setenv("AVSS_HOME", str(tmp_path_factory.getbasetemp() / "home"))


@dataclass(frozen=True)
class Servers:
    """A running stack, and names that no other test uses."""

    stack: Stack
    names: BucketNames
    unique: str
    """A line name, or a prefix."""

    def work(self) -> ObjectStore:
        """This test's own folder in the work bucket."""
        return ObjectStore(self.names.work, self.unique)

    def data(self) -> ObjectStore:
        """This test's own folder in the (versioned) data bucket."""
        return ObjectStore(self.names.data, self.unique)


def running(home: Path, services: tuple[Service, ...]) -> Iterator[Stack]:
    """A stack that is up while the generator waits, and surely down after."""
    stack = Stack(home, services)
    try:
        stack.up(deadline=300)
        yield stack
    finally:
        stack.down()


def serve(stack: Stack, patch: pytest.MonkeyPatch) -> Servers:
    """Lead this process' clients to the stack."""
    for name, value in stack.environment().items():
        patch.setenv(name, value)
    patch.delenv("AWS_PROFILE", raising=False)
    return Servers(stack, BucketNames(), f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture(scope="session")
def s3_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from running(tmp_path_factory.mktemp("s3"), (SEAWEEDFS,))


@pytest.fixture
def s3(s3_only: Stack, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """A real S3 server, with the process' AWS variables set to it."""
    return serve(s3_only, monkeypatch)


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from running(tmp_path_factory.mktemp("stack"), ALL)


@pytest.fixture
def stack(whole_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Real S3, Prefect and MLflow servers, with the process' variables set to them."""
    return serve(whole_stack, monkeypatch)
