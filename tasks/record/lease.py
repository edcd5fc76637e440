"""A lease: for a while, one process alone works on a line.

It lies at `leases/<name>/<number>.json` in the work bucket. Whoever writes the next number holds
it (`If-None-Match: *`, the one promise that the ledger needs too), until the time it names;
renewing is writing the next number again. A holder that ended without a word is taken over from
when its time is up, or at once where this machine can see that its process is gone. The lease
spares work; what keeps the record right in the end is the ledger's own conditional write.
"""

import contextlib
import hashlib
import platform
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from tasks.errors import LeaseError, TaskError
from tasks.s3.storage import ObjectStore

LASTS = timedelta(minutes=5)
_CLOCK_SLACK = 2.0
"""Seconds; a process' start time is told relative to a boot time that follows the clock."""


class Claim(BaseModel):
    """One lease as it is written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    holder: str
    """Who works, in words."""
    machine: str
    """Digest of what tells one machine (or container) from another."""
    pid: int
    started: float
    """When the process started, in seconds since 1970."""
    until: AwareDatetime | None
    """Null once the lease was given back."""

    def holds(self, now: datetime) -> bool:
        """Whether its holder may still be at work."""
        return self.until is not None and now < self.until and not self._gone()

    def _gone(self) -> bool:
        if self.machine != _machine():
            return False
        try:
            return abs(psutil.Process(self.pid).create_time() - self.started) > _CLOCK_SLACK
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class _Newest:
    number: int
    claim: Claim | None


class Lease:
    """Held between `with` and its end, renewed by a thread meanwhile.

    Raises:
        LeaseError: somebody else holds it.
        StorageError: S3 fails.
    """

    def __init__(
        self, work: ObjectStore, name: str, *, holder: str, lasts: timedelta = LASTS
    ) -> None:
        self.name = name
        self._store = work.below(f"leases/{name}")
        self._holder = holder
        self._lasts = lasts
        self._number = 0
        self._until = datetime.now(UTC)
        self._lost = ""
        self._ending = threading.Event()
        self._renewer = threading.Thread(target=self._renew, name=f"lease-{name}", daemon=True)

    def __enter__(self) -> Self:
        newest = _newest(self._store)
        if newest.claim is not None and newest.claim.holds(datetime.now(UTC)):
            raise self._held(newest.claim)
        self._write(newest.number + 1)
        self._renewer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ending.set()
        self._renewer.join()
        if not self._lost:
            with contextlib.suppress(TaskError):  # then it ends by itself when its time is up
                self._store.put_if_absent(_key(self._number + 1), self._claim(None))

    def check(self) -> None:
        """Raise LeaseError once another process has taken over."""
        if self._lost:
            raise LeaseError(self._lost)

    def _write(self, number: int) -> None:
        """Claim the next number, and see that nobody is ahead of it."""
        until = datetime.now(UTC) + self._lasts
        if not self._store.put_if_absent(_key(number), self._claim(until)):
            raise self._held(_newest(self._store).claim)
        newest = _newest(self._store)
        if newest.number != number:
            raise self._held(newest.claim)
        self._number, self._until = number, until
        for item in self._store.list():
            if item.key < _key(number):
                self._store.delete(item.key)

    def _renew(self) -> None:
        while not self._ending.wait(self._lasts.total_seconds() / 4):
            try:
                self._write(self._number + 1)
            except LeaseError as error:
                self._lost = str(error)
                return
            except TaskError as error:
                if datetime.now(UTC) >= self._until:
                    self._lost = f"The lease on {self.name} ran out: {error}"
                    return

    def _claim(self, until: datetime | None) -> bytes:
        process = psutil.Process()
        claim = Claim(
            holder=self._holder,
            machine=_machine(),
            pid=process.pid,
            started=process.create_time(),
            until=until,
        )
        return claim.model_dump_json().encode()

    def _held(self, claim: Claim | None) -> LeaseError:
        who = claim.holder if claim else "another run"
        until = f" until {claim.until:%Y-%m-%d %H:%M:%S UTC}" if claim and claim.until else ""
        return LeaseError(
            f"{who} works on {self.name}{until} (longer while it is alive). Wait for it to end; "
            "a run that died is taken over from then on."
        )


def held_by(work: ObjectStore, name: str) -> str | None:
    """Who holds a lease now; None where nobody does."""
    claim = _newest(work.below(f"leases/{name}")).claim
    return claim.holder if claim is not None and claim.holds(datetime.now(UTC)) else None


def _newest(store: ObjectStore) -> _Newest:
    """The claim of the highest number; one that cannot be read holds nobody up."""
    keys = [item.key for item in store.list()]
    if not keys:
        return _Newest(0, None)
    number = int(max(keys).removesuffix(".json"))
    try:
        return _Newest(number, Claim.model_validate_json(store.get(max(keys))))
    except ValidationError:
        return _Newest(number, None)


def _key(number: int) -> str:
    return f"{number:012d}.json"


def _machine() -> str:
    """Tells machines and containers apart: processes are only comparable within one."""
    parts = [platform.node()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        with contextlib.suppress(OSError):
            link = Path(path)
            parts.append(str(link.readlink()) if link.is_symlink() else link.read_text())
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
