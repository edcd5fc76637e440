"""The folder where a local stack keeps everything: data, logs, ports, credentials, records."""

import json
import os
import secrets
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tasks.errors import StackError

_Model = TypeVar("_Model", bound=BaseModel)


class Credentials(BaseModel):
    """The local S3 server's only user; made once, kept in a file that only its owner reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class ProcessRecord(BaseModel):
    """A service that `up` started; pid and creation time together name one process for good."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    pid: int
    created: float
    """Seconds since the epoch, as the operating system tells it."""
    ports: dict[str, int]
    """By purpose, such as `http` and `grpc`."""


class StackRecord(BaseModel):
    """What `up` started, by service; and the ports to take again next time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    services: dict[str, ProcessRecord] = {}
    ports: dict[str, dict[str, int]] = {}


@dataclass(frozen=True)
class Home:
    """The stack's folder."""

    path: Path

    @property
    def lock(self) -> Path:
        """Held while `up` or `down` works."""
        return self.path / "stack.lock"

    def folder(self, *names: str) -> Path:
        """A folder of the home, made when missing."""
        folder = self.path.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, service: str) -> Path:
        """A service's log file."""
        return self.folder("logs") / f"{service}.log"

    def credentials(self) -> Credentials:
        """The stored credentials, made at the first call."""
        path = self.path / "credentials.json"
        if not path.exists():
            made = Credentials(
                access_key=f"AVSS{secrets.token_hex(8).upper()}",
                secret_key=secrets.token_urlsafe(30),
            )
            write_private(path, made.model_dump())
        return self._read(path, Credentials)

    def record(self) -> StackRecord:
        """What was started, as far as written down."""
        path = self.path / "stack.json"
        return self._read(path, StackRecord) if path.exists() else StackRecord()

    def write(self, record: StackRecord) -> None:
        """Write down what was started."""
        write_private(self.path / "stack.json", record.model_dump())

    def _read(self, path: Path, model: type[_Model]) -> _Model:
        try:
            return model.model_validate_json(path.read_bytes())
        except ValidationError:
            raise StackError(
                f"{path} is damaged. Stop the services it names by hand, then move it away."
            ) from None


def write_private(path: Path, content: dict[str, Any]) -> None:
    """Write JSON that only its owner reads, all or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 from birth
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
    Path(name).replace(path)
