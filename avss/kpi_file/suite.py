"""The KPI file: what a business measures on a model, and how. YAML in, one frozen suite out."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from avss.comparing.metrics import METRICS
from avss.errors import InputError
from avss.kpi_file.kinds import (
    AgreementKpi,
    ClassificationKpi,
    CustomKpi,
    GenerationKpi,
    LmEvalKpi,
    MultipleChoiceKpi,
    PerplexityKpi,
)
from avss.kpi_file.values import PlainLoader

Kpi = Annotated[
    ClassificationKpi
    | PerplexityKpi
    | MultipleChoiceKpi
    | GenerationKpi
    | AgreementKpi
    | CustomKpi
    | LmEvalKpi,
    Field(discriminator="kind"),
]


class KpiSuite(BaseModel):
    """All KPIs of a change; results are named `<kpi>.<metric>`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kpis: tuple[Kpi, ...] = Field(
        min_length=1, description="The KPIs, each measured on the records."
    )

    @model_validator(mode="after")
    def _names_differ(self) -> "KpiSuite":
        names = [kpi.name for kpi in self.kpis]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"each KPI needs its own name, found twice: {', '.join(twice)}")
        return self

    @model_validator(mode="after")
    def _rare_cases_can_break(self) -> "KpiSuite":
        for kpi in self.kpis:
            judged = kpi.kind in ("classification", "multiple_choice")
            if kpi.kind not in ("custom", "lm_eval"):
                judged = judged or any(METRICS[name].right for name in kpi.metrics)
            if kpi.rare_cases is not None and not judged:
                raise ValueError(f"{kpi.name}.rare_cases needs a metric that is right or wrong")
        return self

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the suite with every default written out: the key of cached results."""
        whole = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(whole.encode()).hexdigest()


def load_kpis(source: str | Path | Mapping[str, Any]) -> KpiSuite:
    """Read and validate a KPI file, or the same content as a mapping.

    Raises InputError that names the file, the KPI and the field, never a value.
    """
    where, content = "kpis", source
    if isinstance(source, str | Path):
        where, content = str(source), _read(Path(source))
    try:
        return KpiSuite.model_validate(content)
    except ValidationError as error:
        raise InputError(f"{where}: {_faults(error)}") from None


def _read(path: Path) -> Any:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=PlainLoader)  # noqa: S506 - a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: the KPI file could not be read as UTF-8 text.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" at line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}: not valid YAML{place}.") from None


def _faults(error: ValidationError) -> str:
    faults = error.errors(include_url=False, include_input=False)
    told = []
    for fault in faults[:5]:
        place = ".".join(str(part) for part in fault["loc"]) or "the file"
        told.append(f"{place}: {fault['msg']}")
    more = f" ({len(faults) - 5} more)" if len(faults) > 5 else ""
    return "; ".join(told) + more
