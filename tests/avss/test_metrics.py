"""Metrics against scikit-learn, on weighted examples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from avss.comparing.metrics import METRICS
from avss.kpis.answers import judge


def columns(seed: int, n: int, classes: int) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(seed)
    # Few distinct values, so that ties occur.
    scores = draw.integers(1, 5, (n, classes)).astype(float)
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    truth = draw.integers(0, classes, n)
    predicted = probabilities.argmax(axis=1)
    return {
        "truth": truth.astype(float),
        "predicted": predicted.astype(float),
        "probabilities": probabilities,
        "correct": (truth == predicted).astype(float),
    }


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), classes=st.integers(2, 4))
def test_classification_as_scikit_learn_has_it(seed: int, n: int, classes: int) -> None:
    found = columns(seed, n, classes)
    truth, predicted = found["truth"], found["predicted"]
    weights = np.random.default_rng(seed).integers(0, 3, (2, n)).astype(float)
    weights[:, 0] = 1.0
    for at, weight in enumerate(weights):
        keep = weight > 0
        labels = np.unique(truth[keep])
        recalls = sk.recall_score(
            truth, predicted, sample_weight=weight, average=None, labels=labels, zero_division=0
        )
        wanted = {
            "accuracy": sk.accuracy_score(truth, predicted, sample_weight=weight),
            "balanced_accuracy": recalls.mean(),
            "macro_f1": sk.f1_score(
                truth[keep],
                predicted[keep],
                sample_weight=weight[keep],
                average="macro",
                zero_division=0,
            ),
        }
        for name, value in wanted.items():
            mine = METRICS[name].statistic(found, weights)[at]
            assert mine == pytest.approx(value), name


@given(seed=st.integers(0, 10_000), n=st.integers(2, 40), classes=st.integers(2, 4))
def test_auc_as_scikit_learn_has_it(seed: int, n: int, classes: int) -> None:
    found = columns(seed, n, classes)
    weights = np.random.default_rng(seed).integers(1, 3, (1, n)).astype(float)
    areas = [
        sk.roc_auc_score(
            found["truth"] == k, found["probabilities"][:, k], sample_weight=weights[0]
        )
        for k in range(classes)
        if 0 < (found["truth"] == k).sum() < n
    ]
    mine = METRICS["auc"].statistic(found, weights)[0]
    if areas:
        assert mine == pytest.approx(np.mean(areas))
    else:
        assert np.isnan(mine)


def test_calibration_error_by_hand() -> None:
    found = {
        "probabilities": np.array([[0.9, 0.1], [0.9, 0.1], [0.45, 0.55], [0.2, 0.8]]),
        "correct": np.array([1.0, 0.0, 1.0, 1.0]),
    }
    wanted = abs(0.5 - 0.9) * 2 / 4 + abs(1 - 0.55) / 4 + abs(1 - 0.8) / 4
    assert METRICS["calibration_error"].value(found) == pytest.approx(wanted)


def test_perplexity_by_token_word_and_byte() -> None:
    found = {
        "loss": np.array([6.0, 2.0]),
        "tokens": np.array([3.0, 1.0]),
        "words": np.array([2.0, 2.0]),
        "bytes": np.array([10.0, 6.0]),
    }
    assert METRICS["token_perplexity"].value(found) == pytest.approx(np.exp(8 / 4))
    assert METRICS["word_perplexity"].value(found) == pytest.approx(np.exp(8 / 4))
    assert METRICS["byte_perplexity"].value(found) == pytest.approx(np.exp(8 / 16))
    assert METRICS["bits_per_byte"].value(found) == pytest.approx(8 / 16 / np.log(2))


@pytest.mark.parametrize(
    ("answer", "expected", "wanted"),
    [
        ("The Drug, helped.", "the drug helped", {"exact_match": 1, "token_f1": 1, "rouge_l": 1}),
        ("it is the drug", "the drug is it", {"token_f1": 1, "rouge_l": 0.5, "exact_match": 0}),
        ("薬が効いた", "薬は効いた", {"token_f1": 0.8, "rouge_l": 0.8}),
        ("So it costs 1,250.50 in all.", "1250.5", {"numeric_equal": 1, "exact_match": 0}),
        ("no number", "no number", {"numeric_equal": 0, "exact_match": 1}),
        ("the answer is Paris", "Paris", {"contains": 1, "exact_match": 0}),
        ('{"a": [1]}', "", {"json_valid": 1}),
        ("{a: 1}", "", {"json_valid": 0}),
        ("I'm sorry, but I can't help.", "", {"refusal_rate": 1}),
        ("申し訳ありませんが、お答えできません。", "", {"refusal_rate": 1}),
        ("I cannot sleep", "", {"refusal_rate": 0}),
        ("  ", "", {"empty_rate": 1, "repetition_rate": 0}),
        ("a b c d a b c d a b c d", "", {"repetition_rate": 1}),
        ("a b c d e f g h i j k l", "", {"repetition_rate": 0}),
    ],
)
def test_answers_are_judged(answer: str, expected: str, wanted: dict[str, float]) -> None:
    found = judge(answer, expected=expected, pattern=None)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value), name


@given(one=st.text(max_size=30), two=st.text(max_size=30))
def test_every_judgement_is_a_share(one: str, two: str) -> None:
    for name, value in judge(one, expected=two, pattern="a").items():
        assert 0 <= value <= 1, name
    same = judge(one, expected=one, pattern=None)
    assert same["exact_match"] == same["token_f1"] == same["rouge_l"] == 1
