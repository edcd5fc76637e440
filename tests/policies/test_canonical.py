"""One byte form for every value."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.canonical import canonical_bytes, digest, parse_canonical, parse_json
from policies.errors import LawError

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_canonical_form_is_read_back_to_the_same_form(value):
    content = canonical_bytes(value)
    assert canonical_bytes(parse_canonical(content)) == content


@given(st.dictionaries(TEXT, VALUES))
def test_order_of_keys_does_not_matter(value):
    assert digest(value) == digest(dict(reversed(value.items())))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2**53, "\ud800", {1, 2}, b"raw"])
def test_what_json_cannot_hold_is_refused_with_its_place(bad):
    with pytest.raises(LawError, match=r"\$\.kpis\[1\]\.value cannot be recorded"):
        canonical_bytes({"kpis": [{"value": 1.0}, {"value": bad}]})


def test_rfc8785_numbers_and_escapes():
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 1e-27],
        "string": '€$\x0f\nA\'B"\\\\"/',
    }
    assert (
        canonical_bytes(value)
        == (
            '{"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


@pytest.mark.parametrize(
    "content",
    [b'{"a":1,"a":1}', b'{"a":NaN}', b"[Infinity]", b"\xff", b"", b"[" * 100_000, b'{"a":1'],
)
def test_what_readers_disagree_on_is_no_json(content):
    with pytest.raises(ValueError, match="not JSON in one reading"):
        parse_json(content)


@pytest.mark.parametrize("content", [b'{"b":1,"a":2}', b'{ "a":1}', b"1.0", b'"\\u0041"', b"-0"])
def test_another_spelling_is_not_canonical(content):
    with pytest.raises(ValueError, match="canonical"):
        parse_canonical(content)
