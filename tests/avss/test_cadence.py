"""After a cut a rule says of the kept layers what it said of them before, or says nothing."""

from hypothesis import given
from hypothesis import strategies as st

from avss.cutting.cadence import (
    Period,
    explicit_dense_layers,
    fit_period,
    inexact_rules,
    recut_rules,
)

LAYERS = st.integers(2, 24)


@st.composite
def cuts(draw: st.DrawFn) -> tuple[list[int], int]:
    layers = draw(LAYERS)
    kept = draw(st.lists(st.integers(0, layers - 1), min_size=1, unique=True))
    return sorted(kept), layers


@given(cuts(), st.integers(0, 30))
def test_a_prefix_stays_a_prefix(cut: tuple[list[int], int], first: int) -> None:
    kept, layers = cut
    new = recut_rules({"first_k_dense_replace": first}, kept, layers)
    limit = new.get("first_k_dense_replace", first)
    assert [at < limit for at in range(len(kept))] == [old < first for old in kept]


@given(cuts(), st.integers(0, 24))
def test_a_suffix_stays_a_suffix(cut: tuple[list[int], int], last: int) -> None:
    kept, layers = cut
    count = recut_rules({"num_kv_shared_layers": last}, kept, layers)["num_kv_shared_layers"]
    assert [at >= len(kept) - count for at in range(len(kept))] == [
        old >= layers - last for old in kept
    ]


@given(cuts(), st.integers(1, 12))
def test_a_period_is_exact_or_named_inexact(cut: tuple[list[int], int], period: int) -> None:
    kept, layers = cut
    fields = {"sliding_window_pattern": period, "global_attn_every_n_layers": period}
    new = recut_rules(fields, kept, layers)
    for name, shift in (("sliding_window_pattern", 1), ("global_attn_every_n_layers", 0)):
        if name in new:
            assert [(at + shift) % new[name] == 0 for at in range(len(kept))] == [
                (old + shift) % period == 0 for old in kept
            ]
        else:
            assert name in inexact_rules(fields, kept, layers)


@given(cuts(), st.integers(1, 8), st.data())
def test_a_period_with_an_offset_is_exact_or_absent(
    cut: tuple[list[int], int], period: int, data: st.DataObject
) -> None:
    kept, layers = cut
    offset = data.draw(st.integers(0, period - 1))
    fields = {"attn_layer_period": period, "attn_layer_offset": offset}
    new = recut_rules(fields, kept, layers)
    if new:
        fit = Period(new["attn_layer_period"], new["attn_layer_offset"])
        assert fit.flags(range(len(kept))) == Period(period, offset).flags(kept)


@given(st.integers(1, 12), st.data(), LAYERS)
def test_nothing_cut_fits_a_period(period: int, data: st.DataObject, layers: int) -> None:
    pattern = Period(period, data.draw(st.integers(0, period - 1)))
    flags = pattern.flags(range(layers))
    fit = fit_period(flags)
    assert fit is not None
    assert fit.flags(range(layers)) == flags


def test_what_follows_no_period_has_none() -> None:
    assert fit_period([True, True, False, True]) is None


@given(cuts(), st.integers(1, 5), st.sets(st.integers(0, 23)))
def test_dense_layers_are_listed(cut: tuple[list[int], int], step: int, dense: set[int]) -> None:
    kept, _ = cut
    fields = explicit_dense_layers(step, sorted(dense), kept)
    was = [(old + 1) % step == 0 and old not in dense for old in kept]
    listed = fields["mlp_only_layers"]
    assert isinstance(listed, list)
    assert fields["decoder_sparse_step"] == 1
    assert [at not in listed for at in range(len(kept))] == was
