"""What a model did on every example, as numbers: kept once, compared many times.

No record text is held: only record numbers, slice labels, and numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from avss.comparing.metrics import METRICS, Columns, Metric, own_metric
from avss.errors import InputError

FORMAT = "avss-outcomes/1"


@dataclass(frozen=True)
class RareSet:
    """Record numbers of examples that must not break, and how many may."""

    records: tuple[int, ...]
    budget: int


@dataclass(frozen=True)
class KpiOutcomes:
    """One KPI on one model: columns of n numbers, or n rows of k numbers, in the records' order.

    `records` are record numbers counted from 1. `slices` holds one grouping for each `slice_by`:
    a label an example, None where the record has none. `left_out` counts records by reason.
    `inputs` is a SHA-256 of everything that was asked, so that only like is compared with like.
    `pairing` names a user's function that judges the columns of candidate and base together.
    """

    name: str
    kind: str
    metrics: tuple[str, ...]
    records: tuple[int, ...]
    columns: Columns
    inputs: str
    slices: tuple[tuple[str | None, ...], ...] = ()
    min_support: int = 20
    left_out: Mapping[str, int] = field(default_factory=dict)
    truncated: int = 0
    notes: tuple[str, ...] = ()
    rare: RareSet | None = None
    higher_is_better: bool | None = None
    pairing: str | None = None

    def metric(self, name: str, columns: Columns | None = None) -> Metric:
        """The metric of this name; one that is not ours has its direction in the outcomes.

        `columns` are what it is read from, where that is a pair's columns.
        """
        if self.kind in ("custom", "lm_eval"):
            judged = bool(np.isin((columns or self.columns)[name], (0.0, 1.0)).all())
            return own_metric(name, higher_is_better=bool(self.higher_is_better), judged=judged)
        return METRICS[name]

    def to_json(self) -> dict[str, Any]:
        """JSON values; NaN (no value for this example) becomes null."""
        return {
            "name": self.name,
            "kind": self.kind,
            "metrics": list(self.metrics),
            "records": list(self.records),
            "columns": {name: _values(column) for name, column in self.columns.items()},
            "inputs": self.inputs,
            "slices": [list(labels) for labels in self.slices],
            "min_support": self.min_support,
            "left_out": dict(self.left_out),
            "truncated": self.truncated,
            "notes": list(self.notes),
            "rare": self.rare and {"records": list(self.rare.records), "budget": self.rare.budget},
            "higher_is_better": self.higher_is_better,
            **({"pairing": self.pairing} if self.pairing else {}),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """What `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        rare = data["rare"]
        return cls(
            name=data["name"],
            kind=data["kind"],
            metrics=tuple(data["metrics"]),
            records=tuple(data["records"]),
            columns={name: np.array(rows, np.float64) for name, rows in data["columns"].items()},
            inputs=data["inputs"],
            slices=tuple(tuple(labels) for labels in data["slices"]),
            min_support=data["min_support"],
            left_out=dict(data["left_out"]),
            truncated=data["truncated"],
            notes=tuple(data["notes"]),
            rare=rare and RareSet(tuple(rare["records"]), rare["budget"]),
            higher_is_better=data["higher_is_better"],
            pairing=data.get("pairing"),
        )


@dataclass(frozen=True)
class Outcomes:
    """Every KPI of a suite on one model. `suite` is the suite's digest."""

    suite: str
    kpis: tuple[KpiOutcomes, ...]

    def to_json(self) -> dict[str, Any]:
        """JSON values, to be stored as evidence and read again by `from_json`."""
        return {
            "format": FORMAT,
            "suite": self.suite,
            "kpis": [kpi.to_json() for kpi in self.kpis],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read stored outcomes. Raises InputError where they are of another format."""
        try:
            if data["format"] != FORMAT:
                raise ValueError
            return cls(data["suite"], tuple(KpiOutcomes.from_json(kpi) for kpi in data["kpis"]))
        except (KeyError, TypeError, ValueError):
            raise InputError(f"These are not KPI outcomes of the format {FORMAT}.") from None


def _values(column: Any) -> list[Any]:
    """Nested lists of floats, with None for NaN."""
    return [
        _values(value) if isinstance(value, np.ndarray) else _value(float(value))
        for value in column
    ]


def _value(value: float) -> float | None:
    return value if np.isfinite(value) else None
