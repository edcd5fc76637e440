"""Some weeks of a line's life, as `benchmarks/year.py` lives a whole year of them."""

import pytest

from benchmarks.life import Life
from benchmarks.year import Week, Year
from tasks.cleaning import plan_cleaning

pytestmark = pytest.mark.stack

WEEKS = [
    Week(),
    Week(fresh=False),
    Week(people="reject", limit=2),
    Week(fresh=False, limit=2),
    Week(sudden=True, limit=2),
    Week(people="silent", dies_at=5, limit=2),
    Week(base=1),
]
OUTCOMES = [
    "promoted",
    "nothing_to_do",  # the limit is reached
    "rejected",
    "nothing_to_do",  # what was rejected last week
    "invalid_data",
    "expired",
    "promoted",  # from the retrained base
]


def test_weeks_of_a_line(world, stack, make_tiny_model, tmp_path, monkeypatch):
    monkeypatch.setenv("AVSS_HOME", str(world.folder / "home"))
    for base in range(2):
        make_tiny_model(world.folder / f"model-{base}", seed=base)
    year = Year(Life(world.folder, world.line), stack.data().below("weeks"))
    year.live(WEEKS)
    assert [one.outcome for one in year.lived] == OUTCOMES
    assert [one.steps for one in year.lived] == [1, 0, 1, 0, 0, 1, 1]
    year.roll_back()
    state = year.life.view.state
    assert state.live.id == f"{world.line}-0001"
    kept = year.models_kept()
    dry = plan_cleaning(year.places)
    assert dry.leftovers == ()  # by the clock on the wall nothing is old yet
    assert year.clean_up() > 0
    assert year.models_kept() < kept
    found = year.check(tmp_path / "packs")
    assert found["audited"]["versions"] == 2
