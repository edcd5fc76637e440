"""What the KPIs ask of records, without the answers: exactly where they read."""

import pytest

from avss.kpi_file.suite import load_kpis
from avss.kpis.asked import asked
from avss.kpis.prompts import Prompter, select
from avss.kpis.subject import Subject

SENTIMENT = {
    "name": "sentiment",
    "kind": "classification",
    "prompt": "review {text} sentiment ",
    "labels": {"good": " good", "bad": " bad"},
    "target": "label",
    "metrics": ["accuracy"],
}
FLUENCY = {"name": "fluency", "kind": "perplexity", "text": "{text}"}
ANSWER = {
    "name": "answer",
    "kind": "multiple_choice",
    "prompt": "question {text} answer",
    "choices_field": "choices",
    "target": "right",
    "metrics": ["accuracy_normalized"],
}
WRITE = {
    "name": "write",
    "kind": "generation",
    "prompt": "review {text} in short: ",
    "metrics": ["empty_rate"],
}
RECORDS = [{"text": text, "label": "good"} for text in ("tea is good", "cup", "it was bad")]


@pytest.fixture
def subject(llama, tokenizer):
    return Subject(llama, tokenizer, batch_tokens=64)


def prompts_of(subject, *kpis, records=RECORDS, max_length=64):
    return asked(subject, load_kpis({"kpis": list(kpis)}), records, max_length=max_length)


def test_a_prompt_ends_where_the_kpi_reads_its_answer(subject):
    suite = load_kpis({"kpis": [SENTIMENT]})
    prompter, kpi = Prompter(suite.kpis[0], subject), suite.kpis[0]
    read, _ = prompter.questions(select(kpi, RECORDS, fields=["text"]), [[" good", " bad"]] * 3)
    assert prompts_of(subject, SENTIMENT) == [list(question.prompt) for question in read]


def test_a_prompt_to_write_from_keeps_its_last_blank_as_the_kpi_does(subject):
    (kpi,) = load_kpis({"kpis": [WRITE]}).kpis
    read, _ = Prompter(kpi, subject).prompts(select(kpi, RECORDS, fields=["text"]), room=4)
    assert prompts_of(subject, WRITE) == read


def test_the_kpis_take_turns_and_those_without_a_prompt_do_not(subject):
    mixed = prompts_of(subject, SENTIMENT, FLUENCY, ANSWER)
    one, two = prompts_of(subject, SENTIMENT), prompts_of(subject, ANSWER)
    assert mixed == [one[0], two[1], one[2]]
    assert one[1] != two[1]
    assert prompts_of(subject, FLUENCY) == []


def test_no_label_is_read_and_records_that_cannot_be_asked_are_left_out(subject):
    unlabelled = [{"text": record["text"]} for record in RECORDS]
    assert prompts_of(subject, SENTIMENT, records=unlabelled) == prompts_of(subject, SENTIMENT)
    broken = [{"text": None}, {"text": "  "}, {"label": "good"}, *RECORDS]
    assert prompts_of(subject, SENTIMENT, records=broken) == prompts_of(subject, SENTIMENT)
    longest = max(map(len, prompts_of(subject, SENTIMENT)))
    kept = prompts_of(subject, SENTIMENT, max_length=longest - 1)
    assert 0 < len(kept) < len(RECORDS)
