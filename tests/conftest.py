"""Real servers for tests: `s3` needs a second to start, `stack` (with Prefect and MLflow) many."""

import json
import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from deployments.buckets import BucketNames
from deployments.services import ALL, SEAWEEDFS, Service
from deployments.stack import Stack
from flows.quiet import hush_libraries
from policies.dsse import Envelope
from tasks.compute.cluster import prepare
from tasks.record.documents import Documents
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore

PACK = Path(__file__).parent / "flows" / "golden" / "demo-pack"

hush_libraries()  # before torch is imported
prepare("local")  # before Ray is

import torch  # noqa: E402

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny models are slower on several threads; and Ray's workers, which have one, round alike."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def avss_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test leaves anything in the folder that it is started in."""
    monkeypatch.setenv("AVSS_HOME", str(tmp_path_factory.getbasetemp() / "home"))


class Interrupted(BaseException):
    """What a person or the platform does to a process."""


@dataclass(frozen=True)
class Interruption:
    """`now`, called on any thread, raises `error` on the main one."""

    now: Callable[[], None]
    error: type[BaseException] = Interrupted


@pytest.fixture
def interruption() -> Iterator[Interruption]:
    """By a signal that nothing else takes here."""

    def interrupted(_signal: int, _frame: object) -> None:
        raise Interrupted

    main = threading.main_thread().ident
    assert main is not None
    before = signal.signal(signal.SIGUSR1, interrupted)
    yield Interruption(lambda: signal.pthread_kill(main, signal.SIGUSR1))
    signal.signal(signal.SIGUSR1, before)


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


@dataclass(frozen=True)
class Recorded:
    """The demo's whole change, laid from its golden pack into buckets of its own."""

    work: str
    ledger: str
    line: str
    change: str

    @property
    def buckets(self) -> tuple[str, str, str, str]:
        """As options of a command."""
        return "--work", self.work, "--ledger", self.ledger

    def lay_entries(self, line: str, count: int | None = None) -> None:
        """The first entries once more, as those of a line of this name."""
        ledger = ObjectStore(self.ledger)
        for path in sorted((PACK / "ledger").iterdir())[:count]:
            ledger.put(f"ledger/{line}/{path.name}", path.read_bytes())

    def lay_key(self, line: str) -> None:
        """The job's public key, as that of a line of this name."""
        ObjectStore(self.ledger).put(f"keys/{line}.pub", (PACK / "keys" / "job.pub").read_bytes())


@pytest.fixture
def recorded(s3: Servers) -> Recorded:
    """A line whose one change was promoted."""
    change = json.loads(dsse_payload(PACK / "manifest.json"))["change"]
    made = Recorded(f"work-{s3.unique}", f"ledger-{s3.unique}", change[:-5], change)
    for bucket in (made.work, made.ledger):
        new_client().create_bucket(Bucket=bucket)
    made.lay_entries(made.line)
    made.lay_key(made.line)
    documents = Documents(ObjectStore(made.work))
    for path in (PACK / "evidence").iterdir():
        documents.put_bytes(path.read_bytes())
    return made


def dsse_payload(path: Path) -> bytes:
    """What a signed envelope holds."""
    return Envelope.parse(path.read_bytes()).payload


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    yield from running(tmp_path_factory.mktemp("stack"), ALL)


@pytest.fixture
def stack(whole_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Servers:
    """Real S3, Prefect and MLflow servers, with the process' variables set to them."""
    return serve(whole_stack, monkeypatch)
