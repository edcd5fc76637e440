"""KPI outcomes kept on this machine by what they depend on, so that a base is measured once.

The key is a digest of the model's files, the records, the KPI, the device, and the code that
measures (this package's own source, torch's and transformers' versions). What is kept holds no
text: numbers, slice labels and record numbers. KPIs that run code or read data which no digest
covers (`custom`, `lm_eval`) are measured anew every time.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avss.comparing.outcomes import FORMAT, KpiOutcomes, Outcomes
from avss.errors import InputError
from avss.kpi_file.suite import KpiSuite
from avss.kpis import measure
from avss.kpis.likelihood import Progress
from tasks.environment import measuring_code

_UNKEPT = ("custom", "lm_eval")


@dataclass(frozen=True)
class Kept:
    """The outcomes of a suite, and the names of the KPIs whose numbers were kept from before."""

    outcomes: Outcomes
    reused: tuple[str, ...]


def measure_or_recall(
    load: Callable[[], tuple[Any, Any]],
    suite: KpiSuite,
    records: Sequence[Mapping[str, Any]],
    *,
    digest: str | None,
    device: str,
    folder: Callable[[], Path],
    reuse: bool = True,
    progress: Progress | None = None,
) -> Kept:
    """Measure what is not kept yet; the model is loaded only when something is to be measured.

    Args:
        load: gives the model and its tokenizer.
        suite: the KPIs.
        records: the data.
        digest: of the model's files; None where they are not known, and nothing is kept.
        device: where the model runs; its rounding is its own.
        folder: where outcomes are kept. Where it cannot be made or written, nothing is kept.
        reuse: False measures anew, and keeps that.
        progress: of the measuring, each KPI anew.

    Raises:
        InputError: as `avss.kpis.measure`.
    """
    places = _places(suite, records, digest, device, folder)
    found = {}
    if reuse:
        found = {name: kept for name, path in places.items() if (kept := _read(path, name))}
    reused = tuple(found)
    missing = [kpi for kpi in suite.kpis if kpi.name not in found]
    model, tokenizer = load() if missing else (None, None)
    for kpi in missing:  # each kept as soon as it is known: a run that is stopped loses only one
        alone = measure(model, tokenizer, KpiSuite(kpis=(kpi,)), records, progress=progress)
        found[kpi.name] = alone.kpis[0]
        if kpi.name in places:
            _write(places[kpi.name], alone.kpis[0])
    ordered = tuple(found[kpi.name] for kpi in suite.kpis)
    return Kept(Outcomes(suite.digest, ordered), reused)


def _places(
    suite: KpiSuite,
    records: Sequence[Mapping[str, Any]],
    digest: str | None,
    device: str,
    folder: Callable[[], Path],
) -> dict[str, Path]:
    """The file of each KPI that may be kept, by its name."""
    if digest is None:
        return {}
    try:
        where = folder()
    except OSError:
        return {}
    common = [FORMAT, digest, _records_digest(records), device, *measuring_code()]
    return {
        kpi.name: where / f"{_sha256([*common, kpi.model_dump(mode='json')])}.json"
        for kpi in suite.kpis
        if kpi.kind not in _UNKEPT
    }


def _read(path: Path, name: str) -> KpiOutcomes | None:
    """What is kept; a file that is missing or broken is measured again."""
    try:
        kept = Outcomes.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, InputError):
        return None
    return kept.kpis[0] if [kpi.name for kpi in kept.kpis] == [name] else None


def _write(path: Path, kpi: KpiOutcomes) -> None:
    draft = path.with_suffix(f".{os.getpid()}.part")
    with suppress(OSError):  # a cache that is full or read-only is no reason to fail
        draft.write_text(json.dumps(Outcomes("", (kpi,)).to_json()), encoding="utf-8")
        draft.replace(path)


def _records_digest(records: Sequence[Mapping[str, Any]]) -> str:
    whole = hashlib.sha256()
    for record in records:
        whole.update(json.dumps(record, sort_keys=True, default=str).encode())
    return whole.hexdigest()


def _sha256(parts: Sequence[Any]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
