"""Data contracts as files: which expectations, how severe, and why."""

from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.errors import DataError

Severity = Literal["critical", "warning", "info"]


class ExpectationSpec(BaseModel):
    """One expectation of Great Expectations, by the name of its type."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    type: str = Field(pattern=r"^expect_[a-z_]+$", description="expect_column_values_to_... ")
    severity: Severity = Field(
        description="critical ends the change, warning is put before the approver, info is noted."
    )
    because: str = Field(min_length=1, description="Why the business wants it; shown on failure.")
    kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description='The type\'s own arguments; {"$PARAMETER": "min_records"}.',
    )


class ExpectationSuite(BaseModel):
    """A data contract.

    `records` are about the snapshot's records: the columns id, label, timestamp, segment, answer,
    the source's own, and for each text `text_characters`, `text_words`, `text_script`,
    `text_language` (ISO 639-1), `text_encoding_faults`, and `age_days` where a timestamp is mapped.
    `snapshot` are about the snapshot as a whole; the columns are the fields of
    `tasks.data.snapshot_facts.SnapshotFacts`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    description: str = ""
    records: tuple[ExpectationSpec, ...] = ()
    snapshot: tuple[ExpectationSpec, ...] = ()

    @classmethod
    def load(cls, name: str | Path) -> Self:
        """A suite that ships (`text`, `reviews`) or one from a YAML file.

        Raises:
            DataError: no such suite, or a field that is wrong; the message names it.
        """
        try:
            content = yaml.safe_load(_read(name))
            return cls.model_validate(content)
        except (yaml.YAMLError, UnicodeDecodeError):
            raise DataError(f"Expectation suite {name}: not a YAML file.") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise DataError(f"Expectation suite {name}, {place}: {first['msg']}.") from None


def shipped_suites() -> list[str]:
    """The names of the suites that ship."""
    folder = resources.files("policies") / "expectations"
    return sorted(it.name[:-5] for it in folder.iterdir() if it.name.endswith(".yaml"))


def _read(name: str | Path) -> str:
    if str(name) in shipped_suites():
        return (resources.files("policies") / "expectations" / f"{name}.yaml").read_text("utf-8")
    try:
        return Path(name).read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"Expectation suite {name}: {error.strerror}. Name a file or one of "
            f"{', '.join(shipped_suites())}."
        ) from None
