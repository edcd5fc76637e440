"""From a sample of somebody's data to fields, KPIs and files."""

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from avss.kpi_file.suite import load_kpis
from tasks.errors import DataError, RunFileError
from tasks.run_file import RunFile
from tasks.starting.detecting import detect, propose_kpis
from tasks.starting.writing import Approver, Beginning, write

REVIEWS = [
    {
        "n": f"r{at}",
        "said": f"I took it for {at} days and it did help me a lot",
        "mood": ["good", "bad"][at % 2],
        "shop": ["north", "south", "west"][at % 3],
        "written": f"2026-03-{at % 28 + 1:02d}",
    }
    for at in range(40)
]
FAQ = [
    {"question": f"How do I do {at} of it?", "answer": f"You go to the {at} office there"}
    for at in range(9)
]


def test_names_and_values_tell_the_parts():
    assert detect(REVIEWS) == {
        "timestamp": "written",
        "id": "n",
        "text": "said",
        "label": "mood",
        "segment": "shop",
    }
    assert detect(FAQ) == {"text": "question", "answer": "answer"}


def test_kpis_follow_from_the_parts_and_are_accepted():
    proposed = propose_kpis(REVIEWS, detect(REVIEWS))
    mood, text = load_kpis(proposed).kpis
    assert (mood.kind, mood.target, dict(mood.labels)) == (
        "classification",
        "mood",
        {"bad": " bad", "good": " good"},
    )
    assert mood.slice_by == text.slice_by == ("shop",)
    answer, _ = load_kpis(propose_kpis(FAQ, detect(FAQ))).kpis
    assert (answer.kind, answer.target) == ("generation", "answer")
    alone, _ = load_kpis(propose_kpis(REVIEWS, {"text": "said"})).kpis
    assert alone.kind == "agreement"


def test_data_without_text_is_refused_by_the_names_of_its_fields():
    with pytest.raises(DataError, match="price, size"):
        detect([{"size": 3, "price": 2.5}])


values = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30)
)


@settings(max_examples=60)
@given(st.lists(st.dictionaries(st.text(min_size=1, max_size=9), values, max_size=5), min_size=1))
def test_any_records_have_distinct_parts_or_are_refused(records):
    try:
        found = detect(records)
    except DataError:
        return
    assert len(set(found.values())) == len(found)
    assert set(found.values()) <= {name for record in records for name in record}
    load_kpis(propose_kpis(records, {"text": found["text"]}))


def beginning(**changes) -> Beginning:
    values = {
        "line": "shop",
        "requester": "Mia",
        "model": "model",
        "data": "s3://data/reviews/",
        "fields": {"text": "said"},
        "kpis": propose_kpis(REVIEWS, {"text": "said"}),
        "policy": "standard",
        "work": "avss-work",
        "ledger": "avss-ledger",
        "language": "ja",
        "approvers": (),
    }
    return Beginning(**{**values, **changes})


def test_what_is_written_is_read_back_and_never_replaced_unasked(tmp_path):
    written = write(beginning(), tmp_path)
    assert [path.name for path in written] == ["run.yaml", "kpis.yaml", "policy.yaml"]
    run = RunFile.load(tmp_path / "run.yaml")
    assert (run.line, run.language, run.data.fields.text) == ("shop", "ja", "said")
    policy = yaml.safe_load((tmp_path / "policy.yaml").read_text())
    assert policy["name"] == "shop"
    with pytest.raises(RunFileError, match=r"run\.yaml exists.*--force"):
        write(beginning(), tmp_path)
    write(beginning(language="en"), tmp_path, force=True)
    assert RunFile.load(tmp_path / "run.yaml").language == "en"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Ann", "NAME:ROLE"),
        ("Ann:risk:", "NAME:ROLE"),
        ("Ann:risk:/no/such.pub", "/no/such.pub"),
        ("Ann:risk:NOKEY", "approver Ann"),
    ],
)
def test_an_approver_that_cannot_be_used_is_named(tmp_path, text, words):
    (tmp_path / "no.pub").write_text("ssh-rsa AAAA nobody")
    with pytest.raises(RunFileError, match=words):
        Approver.parse(text.replace("NOKEY", str(tmp_path / "no.pub")))


def test_an_unknown_policy_names_those_that_ship(tmp_path):
    with pytest.raises(RunFileError, match="standard, strict, exploratory"):
        write(beginning(policy="lax"), tmp_path)
