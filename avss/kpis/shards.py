"""KPIs measured by shards of the records, wherever each shard is measured.

The cut depends on the records alone, never on who measures how many shards at once, so the merged
outcomes are the same to the last bit on one machine and on many of the same kind.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

import numpy as np

from avss.comparing.outcomes import KpiOutcomes, Outcomes, RareSet
from avss.errors import NoRecordError
from avss.kpi_file.slices import empty_slices
from avss.kpi_file.suite import Kpi, KpiSuite
from avss.kpis import measure
from avss.kpis.likelihood import Progress
from avss.kpis.prompts import Record, digest_inputs

SHARD_RECORDS = 64

_WHOLE = ("custom", "lm_eval")
"""Kinds that see all records at once, or none."""


@dataclass(frozen=True)
class KpiShard:
    """One KPI on the records `first`, `first + 1` ... of the whole, counted from 1."""

    kpi: Kpi
    first: int
    records: tuple[Record, ...]

    def measured(
        self,
        model: Any,
        tokenizer: Any,
        *,
        progress: Progress | None = None,
    ) -> "KpiPart":
        """The outcomes of this shard. Raises what `measure` does, unless records lack."""
        suite = KpiSuite(kpis=(self.kpi,))
        try:
            found = measure(
                model, tokenizer, suite, self.records, first_record=self.first, progress=progress
            )
        except NoRecordError as nothing:
            return KpiPart(None, nothing.left_out)
        return KpiPart(found.kpis[0], found.kpis[0].left_out)


@dataclass(frozen=True)
class KpiPart:
    """Outcomes of one shard, None where it has no record that the KPI can use."""

    outcomes: KpiOutcomes | None
    left_out: Mapping[str, int]


def cut(suite: KpiSuite, records: Sequence[Record]) -> list[KpiShard]:
    """The shards of every KPI, KPI after KPI, in the records' order."""
    rows = tuple(records)
    return [
        KpiShard(kpi, start + 1, rows[start : start + size])
        for kpi in suite.kpis
        for size in [max(len(rows), 1) if kpi.kind in _WHOLE else SHARD_RECORDS]
        for start in range(0, max(len(rows), 1), size)
    ]


def merge(suite: KpiSuite, shards: Sequence[KpiShard], parts: Sequence[KpiPart]) -> Outcomes:
    """The suite's outcomes on all records; `parts` answer `cut`'s shards one by one.

    Raises NoRecordError where a KPI can use no record of any shard.
    """
    told = list(zip(shards, parts, strict=True))
    return Outcomes(
        suite.digest,
        tuple(
            _merged(kpi, [part for shard, part in told if shard.kpi.name == kpi.name])
            for kpi in suite.kpis
        ),
    )


def _merged(kpi: Kpi, parts: Sequence[KpiPart]) -> KpiOutcomes:
    left_out: dict[str, int] = {}
    for part in parts:
        for reason, count in part.left_out.items():
            left_out[reason] = left_out.get(reason, 0) + count
    found = [part.outcomes for part in parts if part.outcomes is not None]
    if not found:
        raise NoRecordError(kpi.name, left_out)
    first = found[0]
    slices = tuple(
        tuple(chain.from_iterable(groups))
        for groups in zip(*(one.slices for one in found), strict=True)
    )
    return replace(
        first,
        records=tuple(chain.from_iterable(one.records for one in found)),
        columns={
            name: np.concatenate([one.columns[name] for one in found]) for name in first.columns
        },
        inputs=first.inputs if len(found) == 1 else digest_inputs([one.inputs for one in found]),
        slices=slices,
        left_out=left_out,
        truncated=sum(one.truncated for one in found),
        notes=(*_common_notes(kpi, found), *empty_slices(kpi.slice_by, slices)),
        rare=_rare([one.rare for one in found if one.rare is not None]),
    )


def _common_notes(kpi: Kpi, found: Sequence[KpiOutcomes]) -> Iterator[str]:
    """What every shard notes, but for its slices: those are looked at as a whole."""
    own = [
        [note for note in one.notes if note not in empty_slices(kpi.slice_by, one.slices)]
        for one in found
    ]
    yield from (note for note in own[0] if all(note in notes for notes in own))


def _rare(sets: Sequence[RareSet]) -> RareSet | None:
    if not sets:
        return None
    return RareSet(tuple(chain.from_iterable(one.records for one in sets)), sets[0].budget)
