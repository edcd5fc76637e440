"""Retention and its limits: known cases, coverage, slices and rare cases."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from avss.comparing.bootstrap import needed_examples
from avss.comparing.outcomes import KpiOutcomes, Outcomes, RareSet
from avss.comparing.output_drift import compare_outputs
from avss.comparing.retention import compare
from avss.errors import InputError


def accuracy(right: Any, **more: Any) -> Outcomes:
    column = np.asarray(right, dtype=float)
    return outcomes({"correct": column, "predicted": column}, **{"metrics": ("accuracy",), **more})


def perplexity(losses: Any, tokens: int = 10) -> Outcomes:
    loss = np.asarray(losses, dtype=float)
    columns = {"loss": loss, "tokens": np.full(len(loss), float(tokens))}
    return outcomes(columns, metrics=("token_perplexity",), kind="perplexity")


def outcomes(columns: dict[str, Any], **more: Any) -> Outcomes:
    size = len(next(iter(columns.values())))
    fields = {
        "name": "k",
        "kind": "classification",
        "records": tuple(range(1, size + 1)),
        "columns": columns,
        "inputs": "same",
    }
    return Outcomes("suite", (KpiOutcomes(**{**fields, **more}),))


def draw(n: int, rate: float, flips: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Base and candidate, right at `rate`; the candidate breaks a share of what was right."""
    chance = np.random.default_rng(seed)
    base = chance.random(n) < rate
    return base.astype(float), (base & (chance.random(n) >= flips)).astype(float)


def test_higher_is_better_divides_candidate_by_base() -> None:
    found = compare(accuracy([1, 0, 0, 1]), accuracy([1, 1, 0, 1])).kpis[0]
    assert (found.value, found.base_value) == (0.5, 0.75)
    assert found.retention == pytest.approx(2 / 3)
    assert (found.broken, found.mended) == (1, 0)
    assert found.mcnemar_p == 1.0


def test_lower_is_better_divides_base_by_candidate() -> None:
    found = compare(perplexity([30, 20]), perplexity([20, 10])).kpis[0]
    assert not found.higher_is_better
    assert found.retention == pytest.approx(np.exp(1.5) / np.exp(2.5))


def test_exact_mcnemar() -> None:
    base, candidate = [1] * 8 + [0] * 2 + [1] * 10, [0] * 8 + [1] * 2 + [1] * 10
    found = compare(accuracy(candidate), accuracy(base)).kpis[0]
    assert (found.broken, found.mended) == (8, 2)
    assert found.mcnemar_p == pytest.approx(2 * (1 + 10 + 45) / 1024)


def test_the_lower_limit_covers_as_it_says() -> None:
    """The true retention is 0.9: in 95 of 100 samples the limit lies below it."""
    covered = 0
    for seed in range(200):
        base, candidate = draw(150, 0.8, 0.1, seed)
        found = compare(accuracy(candidate), accuracy(base), resamples=500).kpis[0]
        covered += found.retention_low <= 0.9
    assert 0.90 <= covered / 200 <= 0.99


@settings(max_examples=25)
@given(n=st.integers(2, 60), rate=st.floats(0.2, 1), flips=st.floats(0, 0.6))
def test_the_limit_is_below_and_more_confidence_lowers_it(
    n: int, rate: float, flips: float
) -> None:
    base, candidate = draw(n, rate, flips, seed=n)
    sure, surer = (
        compare(accuracy(candidate), accuracy(base), confidence=level, resamples=200).kpis[0]
        for level in (0.9, 0.99)
    )
    if sure.retention_low is None or surer.retention_low is None:
        assert sure.reason or surer.reason
        return
    assert surer.retention_low <= sure.retention_low <= sure.retention


def test_the_same_seed_gives_the_same_limit() -> None:
    base, candidate = draw(80, 0.8, 0.1)
    one, two = (compare(accuracy(candidate), accuracy(base), seed=3) for _ in range(2))
    assert one == two


def test_pairing_tightens_the_limit() -> None:
    base, candidate = draw(200, 0.6, 0.05)
    unpaired = np.random.default_rng(1).permutation(candidate)
    paired = compare(accuracy(candidate), accuracy(base)).kpis[0]
    mixed = compare(accuracy(unpaired), accuracy(base)).kpis[0]
    assert paired.retention == mixed.retention
    assert paired.retention_low > mixed.retention_low


@pytest.mark.parametrize("n", [10, 100, 1000])
def test_equal_answers_on_few_examples_prove_little(n: int) -> None:
    found = compare(accuracy([1] * n), accuracy([1] * n), min_retention=0.95).kpis[0]
    assert found.retention == 1.0
    assert found.retention_low == pytest.approx(0.05 ** (1 / n))
    assert (found.needed_n is None) == (found.retention_low >= 0.95)


def test_one_example_more_right_does_not_rule_out_losses() -> None:
    found = compare(accuracy([1] * 16 + [0] * 14), accuracy([1] * 15 + [0] * 15)).kpis[0]
    assert found.retention > 1
    assert found.retention_low < 1


def test_too_few_examples_say_how_many_are_needed() -> None:
    base, candidate = draw(100, 0.9, 0.04)
    found = compare(accuracy(candidate), accuracy(base), min_retention={"k.accuracy": 0.94}).kpis[0]
    assert found.retention > 0.94 > found.retention_low
    bigger = draw(found.needed_n * 2, 0.9, 0.04, seed=5)
    again = compare(accuracy(bigger[1]), accuracy(bigger[0]), min_retention=0.94).kpis[0]
    assert again.retention_low >= 0.94
    assert needed_examples(100, 0.9, 0.8, threshold=0.95) is None
    assert needed_examples(100, 0.97, 0.96, threshold=0.95) == 100


@pytest.mark.parametrize(
    ("candidate", "base", "reason"),
    [
        (accuracy([0, 1, 1]), accuracy([0, 0, 0]), "the base's value is 0"),
        (accuracy([1]), accuracy([1]), "one example"),
        (perplexity([1e6, 1e6]), perplexity([1, 1]), "too large for a float"),
    ],
)
def test_what_cannot_be_told_is_null_with_a_reason(
    candidate: Outcomes, base: Outcomes, reason: str
) -> None:
    comparison = compare(candidate, base)
    assert reason in comparison.kpis[0].reason
    json.dumps(comparison.to_json(), allow_nan=False)


def test_one_class_has_no_auc_and_says_so() -> None:
    columns = {"truth": np.zeros(3), "probabilities": np.full((3, 2), 0.5)}
    one = outcomes(columns, metrics=("auc",))
    found = compare(one, one).kpis[0]
    assert found.value is None
    assert found.retention is None
    assert "only one class" in found.reason


def test_a_rate_that_falls_to_zero_is_kept_in_full() -> None:
    rates = [
        outcomes({"empty_rate": np.array(column)}, metrics=("empty_rate",), kind="generation")
        for column in ([0.0] * 40, [0.0] * 38 + [1.0] * 2)
    ]
    better = compare(rates[0], rates[1]).kpis[0]
    worse = compare(rates[1], rates[0]).kpis[0]
    assert better.retention == 1.0
    assert better.retention_low > 0.9
    assert worse.retention == 0.0


def sliced(n: int = 120) -> tuple[Outcomes, Outcomes]:
    """Fine on average; on the slice `part=c` half of all answers break."""
    labels = tuple("part=c" if at % 6 == 0 else f"part={'ab'[at % 2]}" for at in range(n))
    base = np.ones(n)
    candidate = np.array(
        [float(not (label == "part=c" and at % 12 == 0)) for at, label in enumerate(labels)]
    )
    more = {"slices": (labels, ("rare=x",) * 3 + (None,) * (n - 3)), "min_support": 10}
    return accuracy(candidate, **more), accuracy(base, **more)


def test_an_average_hides_a_slice_that_fails() -> None:
    found = compare(*sliced()).kpis[0]
    assert found.retention > 0.9
    told = {one.slice: one for one in found.slices}
    assert set(told) == {"part=a", "part=b", "part=c"}
    assert told["part=c"].retention == 0.5
    assert told["part=b"].retention == 1.0
    assert found.small_slices == 1


def test_the_worst_slice_has_a_limit_for_all_slices_at_once() -> None:
    found = compare(*sliced()).kpis[0]
    alone = next(one for one in found.slices if one.slice == "part=c")
    assert found.worst_slice.slice == "part=c"
    assert found.worst_slice.retention_low < alone.retention_low


def test_rare_cases_that_break_are_named() -> None:
    base = accuracy([1, 1, 1, 0, 1], rare=RareSet((1, 2, 4), 0))
    (kept,) = compare(accuracy([1, 1, 0, 0, 1], rare=RareSet((1, 2, 4), 0)), base).rare_cases
    assert kept.passed
    assert kept.broken == ()
    (broke,) = compare(accuracy([1, 0, 1, 1, 1], rare=RareSet((1, 2, 4), 0)), base).rare_cases
    assert broke.broken == (2,)
    assert not broke.passed
    (allowed,) = compare(accuracy([1, 0, 1, 1, 1], rare=RareSet((1, 2, 4), 1)), base).rare_cases
    assert allowed.passed
    (none,) = compare(accuracy([1] * 5, rare=RareSet((), 0)), base).rare_cases
    assert none.passed is None
    assert none.reason


def test_without_a_base_there_are_values_alone() -> None:
    found = compare(sliced()[0], None)
    assert found.kpis[0].value == pytest.approx(110 / 120)
    assert found.kpis[0].retention is None
    assert all(one.retention is None for one in found.kpis[0].slices)


def test_only_like_is_compared_with_like() -> None:
    one = accuracy([1, 0])
    with pytest.raises(InputError, match="different KPI files"):
        compare(one, dataclasses.replace(one, suite="other"))
    with pytest.raises(InputError, match=r"KPI k: .* not asked the same questions"):
        compare(one, accuracy([1, 0], inputs="other"))
    with pytest.raises(InputError, match="not KPI outcomes"):
        Outcomes.from_json({"format": "something else"})


def test_json_has_the_agreed_keys() -> None:
    told = compare(*sliced()).to_json()["kpis"][0]
    assert {"name", "n", "value", "base_value", "retention", "retention_low"} <= set(told)
    assert {"slice", "n", "value", "retention", "retention_low"} <= set(told["slices"][0])


def test_label_flips_are_drift_whether_right_or_wrong() -> None:
    drift = compare_outputs(*sliced()).kpis[0]
    assert drift.label_flip_rate == pytest.approx(10 / 120)
    assert {one.slice: one.label_flip_rate for one in drift.slices}["part=c"] == 0.5
    assert drift.next_token_kl is None


@pytest.mark.parametrize("metric", ["balanced_accuracy", "macro_f1"])
@pytest.mark.parametrize("mended", [0, 1])
def test_few_answers_that_all_hold_are_no_proof_over_classes(metric: str, mended: int) -> None:
    """16 answers of which none broke: the limit is far from 1, further with a rarer class."""
    lows = []
    for rare in (8, 2):
        truth = np.array([1] * rare + [0] * (16 - rare))
        base, candidate = (np.where(np.arange(16) < wrong, 1 - truth, truth) for wrong in (1, 0))
        pair = [answers(truth, one, metric) for one in (candidate if mended else base, base)]
        low = compare(*pair).kpis[0].retention_low
        assert low is not None
        lows.append(low)
    assert lows[1] < lows[0] < 0.95


def answers(truth: Any, predicted: Any, metric: str) -> Outcomes:
    columns = {
        "truth": truth.astype(float),
        "predicted": predicted.astype(float),
        "correct": (truth == predicted).astype(float),
        "probabilities": np.eye(2)[predicted],
    }
    return outcomes(columns, metrics=(metric,))
