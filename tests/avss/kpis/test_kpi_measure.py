"""Every kind of KPI, through `measure`."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, BertForSequenceClassification

from avss.comparing.outcomes import Outcomes
from avss.comparing.retention import compare
from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpis import measure
from tests.avss.kpis.one_of_each import ONE_OF_EACH, SENTIMENT


@pytest.fixture
def records(reviews: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**review, "right": at % 2} for at, review in enumerate(reviews)]


def test_stored_outcomes_are_the_outcomes(tiny: Any, records: list[dict[str, Any]]) -> None:
    found = measure(tiny.model, tiny.tokenizer, load_kpis(ONE_OF_EACH), records)
    stored = json.dumps(found.to_json(), allow_nan=False)
    again = Outcomes.from_json(json.loads(stored))
    assert again.to_json() == found.to_json()
    assert compare(again, found).to_json() == compare(found, again).to_json()


def test_no_record_text_is_kept(tiny: Any, records: list[dict[str, Any]]) -> None:
    found = measure(tiny.model, tiny.tokenizer, load_kpis(ONE_OF_EACH), records)
    stored = json.dumps(found.to_json())
    assert not any(word in stored for word in ("tablet", "dizzy", "slept"))


def test_batch_size_changes_nothing(tiny: Any, records: list[dict[str, Any]]) -> None:
    suite = load_kpis(ONE_OF_EACH)
    whole = measure(tiny.model, tiny.tokenizer, suite, records)
    single = measure(tiny.model, tiny.tokenizer, suite, records, batch_tokens=1)
    for one, other in zip(whole.kpis, single.kpis, strict=True):
        assert one.inputs == other.inputs
        for name, column in one.columns.items():
            assert np.allclose(column, other.columns[name], atol=1e-4, equal_nan=True), name


def test_an_unchanged_model_keeps_everything(tiny: Any, records: list[dict[str, Any]]) -> None:
    found = measure(tiny.model, tiny.tokenizer, load_kpis(ONE_OF_EACH), records)
    for metric in compare(found, found).kpis:
        if metric.retention is not None:
            assert metric.retention == 1.0, metric.name
        else:
            assert metric.reason, metric.name


def test_agreement_tells_two_models_apart(
    tiny: Any, other: Any, records: list[dict[str, Any]]
) -> None:
    suite = load_kpis(ONE_OF_EACH)
    base = measure(tiny.model, tiny.tokenizer, suite, records)
    candidate = measure(other.model, other.tokenizer, suite, records)
    found = {metric.name: metric for metric in compare(candidate, base).kpis}
    assert found["same.top1_agreement"].value < 1
    assert found["same.generation_agreement"].value < 1
    assert found["same.next_token_kl"].value > 0
    assert found["same.next_token_kl"].retention is None
    alone = {metric.name: metric for metric in compare(candidate, None).kpis}
    assert alone["same.top1_agreement"].reason == "agreement needs a base"
    assert alone["text.token_perplexity"].value == found["text.token_perplexity"].value


def test_bucketed_divergence_never_exceeds_the_tokens_own(
    tiny: Any, other: Any, records: list[dict[str, Any]]
) -> None:
    kpi = {"kind": "agreement", "prompt": "{text}", "metrics": ["next_token_kl"]}
    suite = load_kpis({"kpis": [{"name": "k", **kpi}]})
    found = compare(
        measure(other.model, other.tokenizer, suite, records),
        measure(tiny.model, tiny.tokenizer, suite, records),
    ).kpis[0]
    exact = []
    for record in records:
        ids = torch.tensor([tiny.tokenizer(record["text"])["input_ids"]])
        with torch.no_grad():
            mine, its = (
                model(ids).logits[0, -1].double().log_softmax(dim=-1)
                for model in (tiny.model, other.model)
            )
        exact.append(float((mine.exp() * (mine - its)).sum()))
    assert 0.3 * np.mean(exact) < found.value <= np.mean(exact)


def test_rows_with_other_labels_are_left_out_and_counted(
    tiny: Any, reviews: list[dict[str, Any]]
) -> None:
    reviews[2]["label"] = "neutral"
    reviews[4]["label"] = None
    found = tiny.measure(SENTIMENT, reviews)
    assert found.records == (1, 2, 4, 6)
    assert found.left_out == {"its label is not listed": 1, "field 'label' is empty": 1}


def test_labels_of_several_tokens(tiny: Any, reviews: list[dict[str, Any]]) -> None:
    labels = {"positive": " very good indeed", "negative": " very bad"}
    found = tiny.measure({**SENTIMENT, "labels": labels}, reviews)
    assert found.columns["log_likelihoods"].shape == (6, 2)
    normalized = tiny.measure({**SENTIMENT, "labels": labels, "length_normalized": True}, reviews)
    assert (normalized.columns["log_likelihoods"] > found.columns["log_likelihoods"]).all()


def test_one_class_has_no_auc(tiny: Any, reviews: list[dict[str, Any]]) -> None:
    found = tiny.measure(SENTIMENT, [one for one in reviews if one["label"] == "positive"])
    assert found.notes == ("no example has the label 'negative'",)
    assert np.isnan(found.metric("auc").value(found.columns))
    assert 0 <= found.metric("accuracy").value(found.columns) <= 1


def test_long_examples_are_cut_in_the_text_alone(tiny: Any) -> None:
    kpi = {**SENTIMENT, "max_tokens": 60}
    long = [{"text": "pain and " * 200 + tail, "label": "positive"} for tail in ("x", "dizzy")]
    ends_cut = tiny.measure(kpi, long)
    assert ends_cut.truncated == 2
    assert ends_cut.columns["log_likelihoods"][0] == pytest.approx(
        ends_cut.columns["log_likelihoods"][1]
    )
    starts_cut = tiny.measure({**kpi, "truncate": "start"}, long)
    assert starts_cut.columns["log_likelihoods"][0] != pytest.approx(
        starts_cut.columns["log_likelihoods"][1]
    )
    with pytest.raises(InputError, match=r"KPI k, record 1: the example has \d+ tokens, 60 fit"):
        tiny.measure({**kpi, "truncate": "refuse"}, long)


@pytest.mark.parametrize("target_is", ["index", "letter", "text"])
def test_the_right_choice_is_named_three_ways(tiny: Any, target_is: str) -> None:
    right = {"index": 1, "letter": "b", "text": "bad"}[target_is]
    record = {"text": "it", "options": ["good", "bad"], "right": right}
    kpi = {
        "kind": "multiple_choice",
        "prompt": "{text} is",
        "choices_field": "options",
        "target": "right",
        "target_is": target_is,
        "metrics": ["accuracy", "accuracy_normalized"],
    }
    found = tiny.measure(kpi, [record])
    assert found.columns["correct"][0] == (found.columns["predicted"][0] == 1)
    with pytest.raises(InputError, match="record 1, field right"):
        tiny.measure(kpi, [{**record, "right": "neither"}])


def test_stop_strings_end_an_answer(tiny: Any, reviews: list[dict[str, Any]]) -> None:
    kpi = {
        "kind": "generation",
        "prompt": "{text}",
        "max_new_tokens": 12,
        "metrics": ["empty_rate"],
    }
    whole = tiny.measure(kpi, reviews)
    prompt = tiny.tokenizer(reviews[0]["text"], return_tensors="pt")["input_ids"]
    written = tiny.model.generate(prompt, max_new_tokens=12, do_sample=False)[0, prompt.shape[1] :]
    first = tiny.tokenizer.decode(written[:1])
    assert whole.columns["tokens"][0] == len(written)
    stopped = tiny.measure({**kpi, "stop": [first]}, reviews[:1])
    assert stopped.columns["tokens"][0] == 1
    assert stopped.columns["empty_rate"][0] == 1


def test_pseudo_perplexity_and_head_of_encoders(
    tokenizer: Any, reviews: list[dict[str, Any]]
) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=40,
        id2label={0: "BAD", 1: "GOOD"},
        label2id={"BAD": 0, "GOOD": 1},
    )
    suite = load_kpis({"kpis": [{"name": "k", "kind": "perplexity"}]})
    found = measure(BertForMaskedLM(config).eval(), tokenizer, suite, reviews).kpis[0]
    value = found.metric("token_perplexity").value(found.columns)
    assert value == pytest.approx(len(tokenizer), rel=0.2)  # random weights: about uniform
    labels = {"positive": "GOOD", "negative": "BAD"}
    kpi = {**SENTIMENT, "prompt": "{text}", "labels": labels}
    classifier = BertForSequenceClassification(config).eval()
    suite = load_kpis({"kpis": [{"name": "k", **kpi}]})
    assert measure(classifier, tokenizer, suite, reviews).kpis[0].truncated == 0
    wrong = load_kpis({"kpis": [{"name": "k", **kpi, "labels": {**labels, "negative": "MEH"}}]})
    with pytest.raises(InputError, match="no label 'MEH'"):
        measure(classifier, tokenizer, wrong, reviews)
    write = {"name": "w", "kind": "generation", "prompt": "{text}", "metrics": ["empty_rate"]}
    with pytest.raises(InputError, match=r"KPI w: .*needs a causal language model"):
        measure(classifier, tokenizer, load_kpis({"kpis": [write]}), reviews)


@pytest.mark.parametrize(
    ("kpi", "fault"),
    [
        ({"prompt": "{missing} is"}, "KPI k, record 1: there is no field 'missing'"),
        ({"target": "missing"}, "there is no field 'missing'"),
        ({"labels": {"a": " good", "b": " bad"}}, "no record can be used"),
        (
            {"labels": {"positive": " good", "negative": " good and bad"}},
            "the tokens of 'positive' begin those of 'negative'",
        ),
        ({"slice_by": ["missing"]}, "KPI k, record 1, field missing: slice_by asks"),
        (
            {"slice_by": [{"field": "text", "by": "month"}]},
            "expected an ISO 8601 date such as 2024-03-31",
        ),
        ({"slice_by": ["text"]}, "record 6, field text: slice_by expected a value of at most"),
        ({"max_tokens": 8}, "even without field 'text'"),
    ],
)
def test_what_cannot_be_measured_names_its_place(
    tiny: Any, reviews: list[dict[str, Any]], kpi: dict[str, Any], fault: str
) -> None:
    with pytest.raises(InputError, match=fault) as caught:
        tiny.measure({**SENTIMENT, **kpi}, reviews)
    assert "tablet" not in str(caught.value)


def test_progress_reaches_the_end(tiny: Any, reviews: list[dict[str, Any]]) -> None:
    told: list[tuple[int, int]] = []
    tiny.measure(SENTIMENT, reviews, batch_tokens=64, progress=lambda *at: told.append(at))
    assert told[-1] == (6, 6)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
