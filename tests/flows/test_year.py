"""Some weeks of a line's life, as `benchmarks/year.py` lives a whole year of them."""

import pytest

from benchmarks.life import Life
from benchmarks.year_check import check, curve
from benchmarks.year_line import Year
from benchmarks.year_picture import draw
from benchmarks.year_story import Week
from tasks.cleaning import plan_cleaning

pytestmark = [pytest.mark.stack, pytest.mark.timeout(1200)]

WEEKS = {
    "promoted": Week(),
    "nothing_to_do: the limit is reached": Week(fresh=False),
    "rejected": Week(people="reject", limit=2),
    "nothing_to_do: what was rejected last week": Week(fresh=False, limit=2),
    "invalid_data": Week(sudden=True, limit=2),
}


def test_weeks_of_a_line(world, stack, make_tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    make_tiny_model(world.folder / "model-0")
    year = Year(Life(world.folder, world.line), stack.data().below("weeks"))
    year.live(list(WEEKS.values()))
    assert [one.outcome for one in year.lived] == [told.split(":")[0] for told in WEEKS]
    assert [one.steps for one in year.lived] == [1, 0, 1, 0, 0]
    assert [one.attempts for one in year.lived] == [1, 0, 1, 0, 0]
    assert year.life.view.state.live.id == f"{world.line}-0001"
    kept = year.models_kept()
    assert plan_cleaning(year.places).leftovers == ()  # by the clock on the wall nothing is old yet
    assert year.clean_up() > 0
    assert year.models_kept() < kept
    assert check(year, tmp_path / "packs")["audited"]["versions"] == 1
    found = curve(year.lived)
    assert (found["one step"]["changes"], found["no step"]["changes"]) == (2, 3)
    low, slope, high = found["reading the record"]["seconds_a_thousand_entries"]
    assert low <= slope <= high
    draw(year.lived, tmp_path / "year.svg")
    assert "entries of the record" in (tmp_path / "year.svg").read_text()
