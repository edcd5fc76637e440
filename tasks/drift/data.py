"""Whether a snapshot's data is other data than a reference's."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tasks.data.splits import normalized
from tasks.drift.chance import (
    jensenshannon_noise,
    largest_change,
    largest_change_noise,
    mean_shift,
    mean_shift_noise,
    wasserstein_noise,
)
from tasks.drift.domain_classifier import domain_check
from tasks.drift.frames import KINDS, MAPPED, NUMBERS, Columns, columns_of, frames_of
from tasks.drift.report import DriftCheck, DriftLimits, DriftReport
from tasks.quiet import quiet_imports

if TYPE_CHECKING:
    import pandas as pd
    from datasets import Dataset
    from numpy.typing import NDArray

_FEWEST = 20

States = Callable[[Sequence[str]], "NDArray[np.float64]"]
"""A row of numbers a text: what the model makes of it in its first layer."""


def data_drift(
    current: "Dataset",
    reference: "Dataset | None",
    *,
    against: str | None = None,
    limits: DriftLimits | None = None,
    states: States | None = None,
    html: Path | None = None,
    seed: int = 0,
) -> DriftReport:
    """Compare lengths, vocabulary, script, language, time, labels, segments and the texts whole.

    The distances are Evidently's, one named method a column, besides the shift of the model's own
    states and the domain classifier. An alarm needs a distance that reaches its threshold and that
    shuffling the two sets does not make (level shared among the checks, Bonferroni). Where chance
    alone passes the threshold, the answer is "cannot tell".

    Args:
        current: records with `text`, and `label`, `segment`, `timestamp` where they are mapped.
        reference: the same of the last approved snapshot; None for the first change.
        against: what the reference is, for the report: its snapshot's digest.
        limits: the policy's thresholds.
        states: gives the check `embedding`; without it, there is none.
        html: where to leave Evidently's own page (numbers and categories, no text).
        seed: of shuffling and of the classifier's folds.
    """
    limits = limits or DriftLimits()
    if reference is None:
        sizes = {"current": len(current), "reference": 0}
        note = "no reference: nothing approved to compare with"
        return DriftReport("data", None, sizes, (), note)
    now = columns_of(current, limits.most_records)
    then = columns_of(reference, limits.most_records)
    sizes = {"current": len(now["text"]), "reference": len(then["text"])}
    checks = (
        _few(limits)
        if min(sizes.values()) < _FEWEST
        else _checks(now, then, limits, states, html, seed)
    )
    relabelled = "label" in now and "relabelled" not in {check.name for check in checks}
    note = f"fewer than {_FEWEST} texts are in both sets: their labels were not compared"
    return DriftReport("data", against, sizes, tuple(checks), note if relabelled else "")


def _few(limits: DriftLimits) -> list[DriftCheck]:
    reason = f"fewer than {_FEWEST} records in one of the two sets"
    names = (*NUMBERS, "script", "language", "domain")
    return [DriftCheck.unsure(it, _method(it), getattr(limits, it), reason) for it in names]


def _checks(
    now: Columns,
    then: Columns,
    limits: DriftLimits,
    states: States | None,
    html: Path | None,
    seed: int,
) -> list[DriftCheck]:
    mapped = [name for name in MAPPED if _has(name, now, then)]
    timed = ["time"] if _has("timestamp", now, then) else []
    names = [*NUMBERS, "script", "language", *timed, *mapped]
    among = len(names) + len(mapped) + 1 + (states is not None)
    level = 1 - (1 - limits.confidence) / among
    frames = frames_of(now, then, names)
    distances = _evidently(*frames, names, limits, html)
    checks = []
    for name in names:
        limit, noise = getattr(limits, name), _noise(*frames, name, level, seed)
        checks.append(DriftCheck.judged(name, _method(name), limit, distances[name], noise))
    for name in mapped:
        counts = _counts(*frames, name)
        distance, noise = largest_change(*counts), largest_change_noise(*counts, level, seed)
        limit = limits.share_change
        checks.append(
            DriftCheck.judged(f"{name}_share", "largest share change", limit, distance, noise)
        )
    checks.append(domain_check(now["text"], then["text"], limits.domain, level, seed))
    if states is not None:
        pair = states(then["text"]), states(now["text"])
        distance, noise = mean_shift(*pair), mean_shift_noise(*pair, level, seed)
        checks.append(
            DriftCheck.judged("embedding", "mean shift", limits.embedding, distance, noise)
        )
    if "label" in mapped and (same := _same_texts(now, then, limits.relabelled)):
        checks.append(same)
    return checks


def _has(name: str, now: Columns, then: Columns) -> bool:
    return name in now and name in then


def _method(name: str) -> str:
    return (
        "wasserstein" if name in NUMBERS else "domain_auc" if name == "domain" else "jensenshannon"
    )


def _evidently(
    now: "pd.DataFrame",
    then: "pd.DataFrame",
    names: Sequence[str],
    limits: DriftLimits,
    html: Path | None,
) -> dict[str, float]:
    """The distances by column."""
    with quiet_imports():
        from evidently import DataDefinition, Dataset, Report
        from evidently.metrics import ValueDrift

    numbers = [name for name in names if name in NUMBERS]
    kinds = [name for name in names if name in KINDS]
    definition = DataDefinition(numerical_columns=numbers, categorical_columns=kinds)
    report = Report(
        [
            ValueDrift(column=name, method=_method(name), threshold=getattr(limits, name))
            for name in names
        ]
    )
    with np.errstate(invalid="ignore"):  # equal shares may round to the root of -1e-17
        result = report.run(
            Dataset.from_pandas(now, data_definition=definition),
            Dataset.from_pandas(then, data_definition=definition),
        )
    if html is not None:
        result.save_html(str(html))
    values = {it["config"]["column"]: float(it["value"]) for it in result.dict()["metrics"]}
    return {name: 0.0 if np.isnan(value) else value for name, value in values.items()}


def _noise(now: "pd.DataFrame", then: "pd.DataFrame", name: str, level: float, seed: int) -> float:
    if name in NUMBERS:
        return wasserstein_noise(then[name].to_numpy(), now[name].to_numpy(), level, seed)
    return jensenshannon_noise(*_counts(now, then, name), level, seed)


def _counts(
    now: "pd.DataFrame", then: "pd.DataFrame", name: str
) -> "tuple[NDArray[np.int64], NDArray[np.int64]]":
    """How often each category stands in the reference and in the current set."""
    kinds = sorted(set(then[name]) | set(now[name]))
    old, new = (
        np.asarray(frame[name].value_counts().reindex(kinds, fill_value=0), dtype=np.int64)
        for frame in (then, now)
    )
    return old, new


def _same_texts(now: Columns, then: Columns, threshold: float) -> DriftCheck | None:
    """Of the texts in both sets: how many have another label now? A count, so without chance.

    None where there are too few of them, as between months that share no record.
    """
    old = {normalized(text): label for text, label in zip(then["text"], then["label"], strict=True)}
    pairs = [
        (old[key], label)
        for text, label in zip(now["text"], now["label"], strict=True)
        if (key := normalized(text)) in old
    ]
    if len(pairs) < _FEWEST:
        return None
    changed = sum(before != after for before, after in pairs) / len(pairs)
    return DriftCheck.judged("relabelled", "share", threshold, changed, 0.0)
