"""One label is one label, however a reader or a person wrote it."""

from pathlib import Path
from typing import Any

import pytest

from avss.errors import InputError
from avss.kpi_file.suite import load_kpis
from avss.kpi_file.values import label_text

FILE = """
kpis:
  - name: k
    kind: classification
    prompt: "{text}"
    labels: {LABELS}
    target: label
"""


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ("{true: ' good', false: ' bad'}", [True, "False", "TRUE", False, "true", "false"]),
        ("{1: ' good', 0: ' bad'}", [1, 0.0, "1", "0", 1.0, "0.0"]),
        ("{yes: ' good', no: ' bad'}", ["yes", "no", " yes", "no", "yes", "no "]),
        ("{'好': ' good', 'schlecht': ' bad'}", ["好", "schlecht"] * 3),
    ],
)
def test_labels_are_found_however_they_are_written(
    tiny: Any, reviews: list[dict[str, Any]], tmp_path: Path, labels: str, values: list[Any]
) -> None:
    path = tmp_path / "kpis.yaml"
    path.write_text(FILE.replace("{LABELS}", labels), encoding="utf-8")
    kpi = load_kpis(path).kpis[0].model_dump(exclude={"name"})
    records = [{**one, "label": value} for one, value in zip(reviews, values, strict=True)]
    found = tiny.measure(kpi, records)
    assert found.left_out == {}
    assert len(found.records) == 6
    assert set(found.columns["truth"]) == {0.0, 1.0}


def test_two_ways_to_write_one_label_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "kpis.yaml"
    path.write_text(FILE.replace("{LABELS}", "{1: ' good', '1.0': ' bad'}"))
    with pytest.raises(InputError, match="two labels mean the same value: 1"):
        load_kpis(path)


@pytest.mark.parametrize(
    ("value", "text"), [(1.5, "1.5"), ("1.50", "1.50"), (-2.0, "-2"), ("v1.0", "v1.0"), ("", "")]
)
def test_other_values_stay_as_they_are(value: Any, text: str) -> None:
    assert label_text(value) == text
