"""Whether a comparison keeps enough: pass, fail, or cannot tell, which does not pass either."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from avss.comparing.bootstrap import needed_examples
from avss.comparing.comparison import Comparison, MetricComparison, RareCases, SliceComparison
from avss.errors import InputError

Word = Literal["pass", "fail", "cannot tell"]


@dataclass(frozen=True)
class GateVerdict:
    """One figure against its limit.

    `kind` is what the limit is for; `slice` names the slice that was judged. `observed` is the
    lower confidence limit of the retention (of rare cases: how many broke, at most `limit`).
    cannot tell: the retention itself would do, or is unknown, and these examples are too few for
    its lower limit to show it; `needed_n` is how many might show it.
    """

    name: str
    kind: Literal["retention", "slice", "rare_cases"]
    slice: str | None
    observed: float | None
    limit: float
    verdict: Word
    needed_n: int | None
    reason: str | None


@dataclass(frozen=True)
class Gate:
    """The verdicts on one comparison, slices after their KPI."""

    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether every verdict is pass."""
        return all(one.verdict == "pass" for one in self.verdicts)

    def to_json(self) -> dict[str, Any]:
        """JSON values; never NaN."""
        return {"passed": self.passed, "verdicts": [asdict(one) for one in self.verdicts]}


def judge_comparison(
    comparison: Comparison, *, min_retention: float | None, min_slice_retention: float | None
) -> Gate:
    """Hold every KPI, every slice and every set of rare cases against its limit.

    Args:
        comparison: a candidate against its base.
        min_retention: the least lower limit of every metric's retention, above 0; None leaves
            the whole unjudged.
        min_slice_retention: the same on every slice.

    Raises:
        InputError: a limit that no retention can be measured by.
    """
    for limit in (min_retention, min_slice_retention):
        if limit is not None and not 0 < limit <= 1:
            raise InputError(
                f"A retention of {limit:g} was asked for: expected above 0, at most 1."
            )
    verdicts: list[GateVerdict] = []
    for kpi in comparison.kpis:
        if min_retention is not None:
            verdicts.append(_judged(kpi.name, kpi, min_retention, None))
        if min_slice_retention is not None:
            verdicts += _slices(kpi, min_slice_retention)
    verdicts += [_rare(rare) for rare in comparison.rare_cases]
    return Gate(tuple(verdicts))


def _slices(kpi: MetricComparison, limit: float) -> Iterator[GateVerdict]:
    """Every slice's own limit, and the worst one's with the correction for looking at many."""
    worst = kpi.worst_slice
    for part in kpi.slices:
        corrected = worst if worst is not None and worst.slice == part.slice else part
        yield _judged(kpi.name, corrected, limit, part.slice)


def _judged(
    name: str, told: MetricComparison | SliceComparison, limit: float, part: str | None
) -> GateVerdict:
    retention, low = told.retention, told.retention_low
    needed = None
    if low is not None and low >= limit:
        word: Word = "pass"
    elif retention is not None and retention < limit:
        word = "fail"
    else:
        word = "cannot tell"
        if retention is not None and low is not None:
            needed = needed_examples(told.n, retention, low, limit)
    kind: Literal["retention", "slice"] = "retention" if part is None else "slice"
    return GateVerdict(name, kind, part, low, limit, word, needed, told.reason)


def _rare(rare: RareCases) -> GateVerdict:
    broken = None if rare.passed is None else float(len(rare.broken))
    word: Word = "cannot tell" if rare.passed is None else "pass" if rare.passed else "fail"
    return GateVerdict(rare.kpi, "rare_cases", None, broken, rare.budget, word, None, rare.reason)
