"""Verdicts of `evaluate`: pass, fail, and cannot tell, which does not pass."""

import json

import numpy as np
import pytest

from avss.comparing.comparison import Comparison
from avss.comparing.gate import judge_comparison
from avss.comparing.outcomes import KpiOutcomes, Outcomes, RareSet
from avss.comparing.retention import compare
from avss.errors import InputError


def outcomes(right: np.ndarray, **more: object) -> Outcomes:
    numbers = tuple(range(1, len(right) + 1))
    column = {"correct": right.astype(float)}
    kpi = KpiOutcomes("k", "classification", ("accuracy",), numbers, column, "same", **more)
    return Outcomes("suite", (kpi,))


def compared(right: np.ndarray, **more: object) -> Comparison:
    return compare(outcomes(right, **more), outcomes(np.ones(len(right)), **more))


def test_a_candidate_that_passes_on_average_fails_on_a_slice() -> None:
    """1000 examples, 2 % of the answers break, and all of them in one group of 100."""
    labels = tuple("region=islands" if at < 100 else "region=mainland" for at in range(1000))
    right = np.arange(1000) >= 20
    found = compared(right, slices=(labels,))
    average = judge_comparison(found, min_retention=0.95, min_slice_retention=None)
    assert average.passed
    gate = judge_comparison(found, min_retention=0.95, min_slice_retention=0.9)
    told = {one.slice: one for one in gate.verdicts}
    assert not gate.passed
    assert told[None].verdict == "pass"
    assert told["region=mainland"].verdict == "pass"
    assert told["region=islands"].verdict == "fail"
    alone = next(one for one in found.kpis[0].slices if one.slice == "region=islands")
    assert told["region=islands"].observed < alone.retention_low  # corrected for looking at both
    json.dumps(gate.to_json(), allow_nan=False)


def test_too_few_examples_cannot_tell_and_do_not_pass() -> None:
    gate = judge_comparison(compared(np.ones(10)), min_retention=0.95, min_slice_retention=None)
    (one,) = gate.verdicts
    assert (one.verdict, gate.passed) == ("cannot tell", False)
    assert one.needed_n > 10
    enough = compared(np.ones(100))
    assert judge_comparison(enough, min_retention=0.95, min_slice_retention=None).passed


def test_rare_cases_are_judged_too() -> None:
    right = np.arange(200) != 3
    strict = compared(right, rare=RareSet((4, 5), 0))
    gate = judge_comparison(strict, min_retention=0.9, min_slice_retention=None)
    assert [one.verdict for one in gate.verdicts] == ["pass", "fail"]
    lenient = compared(right, rare=RareSet((4, 5), 1))
    assert judge_comparison(lenient, min_retention=0.9, min_slice_retention=None).passed
    absent = compared(right, rare=RareSet((), 1))
    gate = judge_comparison(absent, min_retention=0.9, min_slice_retention=None)
    assert [one.verdict for one in gate.verdicts] == ["pass", "cannot tell"]


@pytest.mark.parametrize("limit", [0.0, 1.2, float("nan")])
def test_a_limit_that_nothing_can_be_held_against(limit: float) -> None:
    with pytest.raises(InputError, match="expected above 0"):
        judge_comparison(compared(np.ones(5)), min_retention=limit, min_slice_retention=None)
