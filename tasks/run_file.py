"""The run file of `avss optimize --config`: which model, data, KPIs and policy."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from policies.schema import LineName, faults_of
from tasks.data.source import DataSource
from tasks.errors import RunFileError


class ModelSource(BaseModel):
    """Where the base model comes from."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source: str = Field(
        min_length=1, description="A local folder, a .gguf file, an s3:// prefix or a hub id."
    )
    revision: str | None = Field(
        None, description="The hub revision, pinned to a commit; only for a hub id."
    )


class Buckets(BaseModel):
    """The two buckets that the job writes; the business-data bucket is only read."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    work: str = Field(min_length=3, description="Bucket for manifests, models and evidence.")
    ledger: str = Field(
        min_length=3, description="Bucket for the record: versioned, Object Lock on."
    )


class Notifications(BaseModel):
    """Who is told, through Prefect's own blocks, what is asked, by when and how to answer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: tuple[Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")], ...] = Field(
        (), description="Notification blocks as type/name: slack-webhook/approvals, ..."
    )
    remind_hours: int = Field(
        24, ge=1, description="Hours before a request expires at which a reminder goes out."
    )


class MachineCost(BaseModel):
    """What a machine costs and how much it reads and writes: money a month follows from speed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    price_per_hour: float = Field(ge=0, description="Price of one machine an hour.")
    currency: str = Field("USD", pattern=r"^[A-Z]{3}$", description="ISO 4217 code.")
    prompt_tokens_per_month: float = Field(ge=0, description="Tokens read a month.")
    generated_tokens_per_month: float = Field(ge=0, description="Tokens written a month.")


class Resources(BaseModel):
    """The Ray cluster that shards are sent to, and what one of its workers needs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    address: str = Field(
        "local",
        pattern=r"^(local|auto|ray://[\w.\-\[\]:]+:\d+)$",
        description="local: a cluster of this machine alone, for this run; auto: the cluster that "
        "this machine is part of ($RAY_ADDRESS); ray://host:10001: another one.",
    )
    workers: int | None = Field(
        None, ge=1, description="Workers, one a model in memory; null: as many as there is room."
    )
    cpus: int = Field(1, ge=1, description="Processor cores, and threads, of one worker.")
    gpus: int = Field(0, ge=0, description="GPUs of one worker; over several the model is spread.")
    memory_gb: float = Field(0, ge=0, description="Memory (GB) of one worker; 0: not asked for.")
    wait_minutes: float = Field(
        0,
        ge=0,
        le=240,
        description="How long a cluster that scales up may take to bring the first worker; "
        "0: what is asked for must be there now.",
    )


class RunFile(BaseModel):
    """One line's run: model, data, KPIs and policy. Relative paths are relative to the run file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    line: LineName = Field(description="Name of the model line.")
    requester: str = Field(
        min_length=1, description="Who asks for the change, as named in the roster."
    )
    model: ModelSource
    data: DataSource
    kpis: str | dict[str, Any] = Field(description="A KPI file's path, or its content inline.")
    policy: str = Field("standard", description="A policy file's path, or a shipped policy's name.")
    buckets: Buckets
    cost: MachineCost | None = Field(
        None, description="Prices and volumes; with them the dossier tells money a month."
    )
    language: Literal["en", "ja"] = Field("en", description="Language of the dossier.")
    execution: Literal["local", "ray"] = Field("local", description="Where shards are computed.")
    device: str | None = Field(
        None,
        description="cpu, cuda, cuda:1 ...; auto spreads each model over all devices of the "
        "machine. Default: the accelerator, where there is one.",
    )
    resources: Resources = Field(
        default_factory=Resources, description="For execution: ray, the cluster and its workers."
    )
    approvers: str = Field(
        "approvers.yaml", description="Path of the roster: people, roles and public keys."
    )

    notifications: Notifications = Field(
        default_factory=Notifications, description="Who is told, and when again."
    )

    @model_validator(mode="after")
    def _resources_are_rays(self) -> Self:
        if self.execution == "local" and "resources" in self.model_fields_set:
            raise ValueError(
                "resources are asked for with execution: ray alone; add that, or leave them out"
            )
        return self

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read and check a run file.

        Raises:
            RunFileError: no such file, not YAML, or a field that is wrong; the message names it.
        """
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RunFileError(f"{path}: {error.strerror or error}. Name a run file.") from None
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RunFileError(f"{path} is not a YAML file: {_yaml_place(error)}.") from None
        if not isinstance(content, dict):
            raise RunFileError(f"{path}: expected a mapping of fields such as line, model, data.")
        try:
            run = cls.model_validate(content)
        except ValidationError as error:
            raise RunFileError(f"{path}: {' '.join(faults_of(error, cls))}") from None
        run._folder = path.resolve().parent
        return run

    def recorded(self) -> dict[str, Any]:
        """What the record says of the run: where it computes is the environment's to say."""
        return self.model_dump(mode="json", exclude={"execution", "resources"})

    def seen(self, value: str) -> str:
        """A path as the run file means it: beside itself, where there is such a file or folder.

        What is recorded of a run keeps its paths as written: they are nobody else's business.
        """
        beside = self._folder / value
        return str(beside) if "://" not in value and beside.exists() else value


def _yaml_place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}" if mark else type(error).__name__
