"""Ridge regression from streaming sums."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avss.healing.ridge import Ridge, RidgeStatistics, choose

CPU = torch.device("cpu")
steady = settings(max_examples=40)


def problem(seed: int, rows: int, inputs: int = 5, targets: int = 3):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, inputs, generator=draw)
    y = torch.randn(rows, targets, generator=draw)
    weight = torch.rand(rows, generator=draw) + 0.1
    return x, y, weight


def sums(x, y, weight, cuts=()):
    statistics = RidgeStatistics.empty(x.shape[1], y.shape[1], CPU)
    edges = [0, *sorted(cuts), len(x)]
    for start, stop in itertools.pairwise(edges):
        statistics.add(x[start:stop], y[start:stop], weight[start:stop])
    return statistics


@steady
@given(st.integers(0, 99), st.lists(st.integers(0, 40), max_size=4))
def test_any_chunking_gives_the_same_sums(seed, cuts):
    x, y, weight = problem(seed, 40)
    whole, parts = sums(x, y, weight), sums(x, y, weight, cuts)
    assert torch.allclose(whole.gram, parts.gram, atol=1e-4)
    assert torch.allclose(whole.cross, parts.cross, atol=1e-4)
    assert abs(whole.power - parts.power) < 1e-4
    assert whole.rows == parts.rows == 40


@steady
@given(st.integers(0, 99), st.integers(1, 40), st.floats(1e-3, 10.0))
def test_the_solution_has_no_gradient_even_with_fewer_rows_than_inputs(seed, rows, ridge):
    x, y, weight = problem(seed, rows)
    statistics = sums(x, y, weight)
    prior = torch.ones(5, 3, dtype=torch.float64)
    x, y, weight = x.double(), y.double(), weight.double()
    found = Ridge(statistics, prior).solution(ridge).requires_grad_()
    missed = (y - x @ found) * weight[:, None]
    penalty = ridge * statistics.gram.diagonal().mean()
    (missed.square().sum() + penalty * (found - prior).square().sum()).backward()
    assert found.grad.abs().max() < 1e-3 * statistics.gram.diagonal().max()


@steady
@given(st.integers(0, 99))
def test_a_weak_ridge_finds_the_map_and_a_strong_one_keeps_the_prior(seed):
    x, _, weight = problem(seed, 60)
    truth = torch.linspace(-1, 1, 15).reshape(5, 3)
    statistics = sums(x, x @ truth, weight)
    prior = torch.zeros(5, 3, dtype=torch.float64)
    assert torch.allclose(Ridge(statistics, prior).solution(1e-9), truth.double(), atol=1e-3)
    assert torch.allclose(Ridge(statistics, prior).solution(1e9), prior, atol=1e-3)


@steady
@given(st.integers(0, 99))
def test_error_is_the_share_of_weighted_power_that_is_missed(seed):
    x, y, weight = problem(seed, 30)
    matrix = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed + 1)).double()
    missed = ((y - x @ matrix.float()) * weight[:, None]).square().sum()
    expected = float(missed / (y * weight[:, None]).square().sum())
    assert abs(sums(x, y, weight).error(matrix) - expected) < 1e-3 * (1 + expected)


def test_inputs_without_power_leave_the_prior():
    statistics = sums(torch.zeros(4, 5), torch.ones(4, 3), torch.ones(4))
    prior = torch.ones(5, 3, dtype=torch.float64)
    assert torch.equal(Ridge(statistics, prior).solution(0.1), prior)


@steady
@given(st.integers(0, 99))
def test_the_strength_chosen_is_the_best_on_the_judging_rows(seed):
    fit, judge = sums(*problem(seed, 8)), sums(*problem(seed + 100, 200))
    prior = torch.zeros(5, 3, dtype=torch.float64)
    ridges = [10.0**power for power in range(-3, 4)]
    chosen = choose(fit, judge, prior, ridges)
    family = Ridge(fit, prior)
    errors = [judge.error(family.solution(ridge)) for ridge in ridges]
    assert chosen.error <= judge.error(prior)
    if chosen.ridge is not None:
        assert chosen.error == judge.error(family.solution(chosen.ridge))
        at = ridges.index(chosen.ridge)
        assert chosen.error <= min(errors[max(0, at - 1) : at + 2])


def test_the_prior_stays_where_no_strength_helps():
    x, y, weight = problem(0, 30)
    prior = torch.linalg.lstsq(x, y).solution.double()
    judge = sums(x, y, torch.ones(30))
    misled = sums(x, -y, weight)
    chosen = choose(misled, judge, prior, [0.01, 0.1, 1.0])
    assert chosen.ridge is None
    assert torch.equal(chosen.weights, prior)


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_inputs_that_are_no_numbers_leave_the_weights_as_they_are(bad):
    x, y, weight = problem(0, 40)
    x[3, 2] = bad
    prior = torch.ones(5, 3, dtype=torch.float64)
    chosen = choose(sums(x, y, weight), sums(*problem(1, 40)), prior, (0.1, 1.0, 10.0))
    assert chosen.ridge is None
    assert torch.equal(chosen.weights, prior)


def test_sums_that_rounding_spoilt_leave_the_weights_as_they_are():
    statistics = sums(*problem(0, 40))
    statistics.gram[0, 0] = -10 * statistics.gram.diagonal().sum()  # no such sum can be
    statistics.gram[1, 1] -= 20 * statistics.gram[0, 0]
    prior = torch.ones(5, 3, dtype=torch.float64)
    assert torch.equal(Ridge(statistics, prior).solution(1e-6), prior)
