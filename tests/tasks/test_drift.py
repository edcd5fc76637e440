import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import wasserstein_distance

from tasks.drift.chance import auc_noise, jensenshannon_noise, largest_change, wasserstein_noise
from tasks.drift.data import data_drift
from tasks.drift.report import DriftCheck, DriftLimits, DriftReport
from tasks.drift.scores import score_drift

WORDS = [f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in ("n", "st", "rk", "lm")]
FOREIGN = [f"{a}{b}{c}" for a in "hjkvxz" for b in "åäö" for c in ("n", "st", "rk", "lm")]


def reviews(seed: int, count: int = 400, words: list[str] = WORDS) -> list[dict[str, Any]]:
    draws = np.random.default_rng(seed)
    weights = 1 / np.arange(2, len(words) + 2)
    return [
        {
            "text": " ".join(
                draws.choice(words, size=draws.integers(10, 60), p=weights / weights.sum())
            ),
            "label": str(draws.choice(["good", "bad"], p=[0.7, 0.3])),
            "segment": str(draws.choice(["north", "south", "west", "sea"], p=[0.4, 0.3, 0.2, 0.1])),
        }
        for _ in range(count)
    ]


def drift(current: list[dict[str, Any]], reference: list[dict[str, Any]]) -> DriftReport:
    return data_drift(Dataset.from_list(current), Dataset.from_list(reference), against="before")


def drifted(report: DriftReport) -> set[str]:
    return {it.name for it in report.checks if it.answer == "drift"}


def test_the_first_change_has_no_reference_and_says_so() -> None:
    report = data_drift(Dataset.from_list(reviews(0)), None)
    assert report.passed
    assert report.against is None
    assert "no reference" in report.note


def test_other_records_of_the_same_kind_have_not_drifted() -> None:
    report = drift(reviews(1), reviews(2))
    assert report.passed
    assert report.against == "before"
    assert report.sizes == {"current": 400, "reference": 400}
    assert all(it.noise is not None for it in report.checks if it.name != "relabelled")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda it: it | {"text": it["text"][:60]}, "text_length"),
        (lambda it: it | {"label": "bad"}, "label"),
        (lambda it: it | {"segment": "north"}, "segment"),
        (lambda it: it | {"segment": "north" if "n" in it["text"][:3] else it["segment"]},
         "segment_share"),
        (lambda it: it | {"text": it["text"].replace("n", "я").replace("a", "ю")}, "unknown_words"),
    ],
)  # fmt: skip
def test_a_planted_shift_is_caught(change: Any, name: str) -> None:
    assert name in drifted(drift([change(it) for it in reviews(1)], reviews(2)))


def test_another_language_is_caught_by_several() -> None:
    report = drift(reviews(1, words=FOREIGN), reviews(2))
    assert drifted(report) >= {"unknown_words", "domain"}


def test_another_script_is_caught() -> None:
    greek = [it | {"text": "αβγδ " * 20} for it in reviews(1, 100)]
    assert "script" in drifted(drift(reviews(1, 300) + greek, reviews(2)))


def test_flipped_labels_are_caught_where_the_texts_are_the_same() -> None:
    old = reviews(2)
    new = [it | {"label": "turned"} if n % 10 == 0 else it for n, it in enumerate(old)]
    report = drift(new, old)
    assert "relabelled" in drifted(report)
    assert "relabelled: 0.100 reaches the threshold 0.02" in str(report.alarms)


def test_an_unchanged_set_has_no_distance_at_all() -> None:
    report = drift(reviews(2), reviews(2))
    assert report.passed
    assert all(it.distance == pytest.approx(0.5 if it.name == "domain" else 0, abs=0.02)
               for it in report.checks)  # fmt: skip


def test_another_language_of_one_script_is_caught() -> None:
    english = "The pills made me sleepy and my doctor changed them after a week of headaches."
    swedish = "Tabletterna gjorde mig sömnig och läkaren bytte dem efter en vecka med huvudvärk."
    old = [it | {"text": f"{english} {it['text'][:9]}"} for it in reviews(2, 200)]
    new = [it | {"text": f"{swedish} {it['text'][:9]}"} for it in reviews(1, 40)]
    assert {"language"} <= drifted(drift(new + old[:160], old))


def dated(records: list[dict[str, Any]], days: list[int]) -> list[dict[str, Any]]:
    stamps = [f"2025-06-{2 + days[n % len(days)]:02d}T12:00:00+00:00" for n in range(len(records))]
    return [it | {"timestamp": stamp} for it, stamp in zip(records, stamps, strict=True)]


def test_an_export_of_working_days_only_is_caught() -> None:
    old = dated(reviews(2), list(range(28)))
    new = reviews(1)
    assert "time" in drifted(drift(dated(new, [0, 1, 2, 3, 4]), old))
    assert "time" not in drifted(drift(dated(new, list(range(7))), old))


def test_what_the_model_itself_sees_is_compared() -> None:
    def states(texts: Any) -> Any:
        return np.array([[it.count("n"), len(it), 1.0] for it in texts])

    def check(current: list[dict[str, Any]]) -> DriftCheck:
        report = data_drift(
            Dataset.from_list(current), Dataset.from_list(reviews(2)), states=states
        )
        return next(it for it in report.checks if it.name == "embedding")

    assert check(reviews(1)).answer == "no drift"
    cut = check([it | {"text": it["text"][: len(it["text"]) // 2]} for it in reviews(1)])
    assert cut.answer == "drift"
    assert cut.distance is not None
    assert cut.distance > 0.5


def test_labels_of_other_texts_are_not_compared_and_that_is_said() -> None:
    report = drift(reviews(1), reviews(2))
    assert "relabelled" not in {it.name for it in report.checks}
    assert "their labels were not compared" in report.note


def test_too_few_records_cannot_tell() -> None:
    report = drift(reviews(1, 40), reviews(2, 40))
    assert report.passed
    assert any(it.startswith("text_length: too few records") for it in report.unsure)
    tiny = drift(reviews(1, 5), reviews(2, 400))
    assert {it.answer for it in tiny.checks} == {"cannot tell"}


def test_a_report_is_json_without_text(tmp_path: Path) -> None:
    records = reviews(1, 100)
    page = tmp_path / "drift.html"
    report = data_drift(Dataset.from_list(records), Dataset.from_list(reviews(2)), html=page)
    written = json.dumps(report.to_json(), allow_nan=False)
    assert records[0]["text"] not in written
    assert records[0]["text"] not in page.read_text()


def test_the_distances_are_the_named_ones() -> None:
    """Ours, by which chance is judged, and Evidently's, which is reported, are the same."""
    current, reference = reviews(1, 300), reviews(2)
    found = {it.name: it.distance for it in drift(current, reference).checks}
    old, new = ([len(it["text"]) for it in records] for records in (reference, current))
    assert found["text_length"] == pytest.approx(wasserstein_distance(old, new) / np.std(old))
    kinds = ["north", "south", "west", "sea"]
    shares = [
        [sum(it["segment"] == kind for it in records) / len(records) for kind in kinds]
        for records in (reference, current)
    ]
    assert found["segment"] == pytest.approx(jensenshannon(*shares))


@settings(max_examples=4)
@given(st.integers(0, 2**32), st.integers(30, 200), st.integers(30, 200))
def test_chance_stays_below_its_own_quantile(seed: int, old: int, new: int) -> None:
    """Of many pairs from one distribution, about one in five passes the 80 % quantile."""
    draws = np.random.default_rng(seed)
    exceeded = 0
    for repeat in range(40):
        first, second = draws.normal(size=old), draws.normal(size=new)
        noise = wasserstein_noise(first, second, 0.8, repeat)
        exceeded += wasserstein_distance(first, second) / np.std(first) > noise
    assert exceeded <= 20


def test_chance_of_shares_and_rank() -> None:
    many, few = np.array([500, 500]), np.array([50, 50])
    assert jensenshannon_noise(many, many, 0.95, 0) < jensenshannon_noise(few, few, 0.95, 0)
    assert jensenshannon_noise(np.array([9]), np.array([9]), 0.95, 0) == 0
    assert largest_change(np.array([1, 3]), np.array([2, 2])) == 0.25
    assert auc_noise(1000, 1000, 0.95) == pytest.approx(0.5 + 1.645 * 0.01291, abs=1e-4)


@given(st.floats(0, 1), st.floats(0.01, 1), st.floats(0, 1))
def test_an_alarm_needs_size_and_certainty(distance: float, threshold: float, noise: float) -> None:
    check = DriftCheck.judged("x", "m", threshold, distance, noise)
    assert (check.answer == "drift") == (distance >= threshold and distance >= noise)
    if check.answer == "no drift":
        assert noise <= threshold


SCORES = {layer: float(layer) for layer in range(12)}
POSITIVE = {layer: score + 1 for layer, score in SCORES.items()}


def test_scores_of_the_same_order_have_not_drifted() -> None:
    report = score_drift({layer: (score + 1) ** 9 for layer, score in SCORES.items()}, POSITIVE)
    assert report.checks[0].distance == report.checks[1].distance == 0
    assert drifted(report) == {"score_change"}


def test_scores_on_another_scale_have_not_drifted() -> None:
    found = {layer: 7 * (score + 1) for layer, score in SCORES.items()}
    report = score_drift(found, {layer: score + 1 for layer, score in SCORES.items()})
    assert report.passed
    assert [it.distance for it in report.checks] == pytest.approx([0, 0, 0])


def test_a_removed_layer_is_left_out_of_the_comparison() -> None:
    report = score_drift({k: v for k, v in SCORES.items() if k != 0}, SCORES, against="step 1")
    assert report.passed
    assert report.sizes["common"] == 11


def test_a_turned_order_is_drift() -> None:
    report = score_drift({layer: -score for layer, score in SCORES.items()}, SCORES)
    assert drifted(report) == {"rank_change", "lowest_change"}
    assert report.checks[0].distance == pytest.approx(2)


def test_lowest_layers_count_even_where_the_rest_is_stable() -> None:
    shifted = SCORES | {0: 8.5, 1: 8.6, 2: 8.7}
    report = score_drift(shifted, SCORES, lowest=3, limits=DriftLimits(rank_change=1.9))
    assert drifted(report) == {"lowest_change"}


def test_scores_that_cannot_be_ranked_cannot_tell() -> None:
    flat = score_drift(dict.fromkeys(SCORES, 1.0), SCORES)
    assert flat.checks[0].answer == "cannot tell"
    few = score_drift({1: 1.0, 2: 2.0}, SCORES)
    assert {it.answer for it in few.checks} == {"cannot tell"}
    assert "no reference" in score_drift(SCORES, None).note
