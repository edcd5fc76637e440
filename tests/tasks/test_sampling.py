from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tasks.data.sampling import stratified
from tasks.data.splits import order_of


def records(sizes: dict[str, int]) -> list[dict[str, Any]]:
    made = [
        {"id": f"{segment}-{number}", "segment": segment, "label": None}
        for segment, size in sizes.items()
        for number in range(size)
    ]
    return sorted(made, key=lambda it: order_of(it["id"]))


@given(st.dictionaries(st.text("abcdef", min_size=1), st.integers(1, 60), min_size=1, max_size=6))
def test_any_beginning_holds_every_stratum_in_its_share(sizes: dict[str, int]) -> None:
    given_records = records(sizes)
    ordered = stratified(given_records)
    assert sorted(it["id"] for it in ordered) == sorted(it["id"] for it in given_records)
    seen: Counter[str] = Counter()
    for taken, record in enumerate(ordered, 1):
        seen[record["segment"]] += 1
        for segment, size in sizes.items():
            share = size * taken / len(ordered)
            assert abs(seen[segment] - share) <= len(sizes)


def test_it_is_the_same_order_again_whatever_order_came_in_of_other_strata() -> None:
    rows = records({"north": 40, "south": 10, "sea": 1})
    assert stratified(rows) == stratified(rows)
    apart = [it for it in rows if it["segment"] == "sea"]
    apart += [it for it in rows if it["segment"] != "sea"]
    assert stratified(apart) == stratified(rows)


def test_small_strata_are_no_rarer_at_the_beginning() -> None:
    rows = records({"big": 500} | {f"small{number}": 1 for number in range(500)})
    first = stratified(rows)[:100]
    assert 30 <= sum(it["segment"] != "big" for it in first) <= 70


def test_without_strata_the_order_stays() -> None:
    rows = [{"id": it["id"]} for it in records({"a": 30})]
    assert stratified(rows) == rows
