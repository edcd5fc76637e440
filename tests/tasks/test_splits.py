import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from tasks.data.source import SplitShares
from tasks.data.splits import normalized, order_of, place_of, split_at

SHARES = SplitShares(calibration=0.3, validation=0.4, holdout=0.3)


@given(st.text(max_size=50))
def test_normalizing_twice_is_normalizing_once(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once
    assert normalized(f"  {text}\n\t") == once


def test_case_width_and_spaces_make_no_other_text() -> None:
    assert normalized("Ｈｅｌｌｏ   WORLD ") == normalized("hello world")
    assert normalized("hello world") != normalized("hello, world")


def test_the_shares_are_met() -> None:
    splits = [split_at(place_of(str(number)), SHARES) for number in range(20000)]
    for name, share in (("calibration", 0.3), ("validation", 0.4), ("holdout", 0.3)):
        assert splits.count(name) / 20000 == pytest.approx(share, abs=0.015)


def test_places_are_those_of_every_past_release() -> None:
    """A change of the hash would move records between splits of a running line."""
    assert place_of("review-1") == 7551551992258698177
    assert order_of("review-1") == 7870526958720781749


def test_order_is_independent_of_the_split() -> None:
    early = [key for key in map(str, range(20000)) if order_of(key) < 2**63 // 10]
    held = [key for key in early if split_at(place_of(key), SHARES) == "holdout"]
    assert len(held) / len(early) == pytest.approx(0.3, abs=0.04)


def test_shares_add_up() -> None:
    with pytest.raises(ValidationError, match=r"add up to 1\.1; make it 1"):
        SplitShares(calibration=0.3, validation=0.4, holdout=0.4)
