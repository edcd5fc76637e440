"""Signed envelopes."""

from hypothesis import given
from hypothesis import strategies as st

from policies.dsse import Envelope, pre_authentication, sign


def test_pre_authentication_of_the_dsse_specification():
    found = pre_authentication("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_an_envelope_names_its_key_and_holds(make_key):
    envelope = Envelope.parse(sign("kind", b"payload", make_key("job")))
    assert envelope.payload == b"payload"
    assert envelope.signed_by(make_key("job").public_key())
    assert not envelope.signed_by(make_key("other").public_key())


@given(at=st.integers(0), new=st.integers(0, 255))
def test_no_byte_of_an_envelope_can_change(make_key, at, new):
    content = bytearray(sign("kind", b'{"a":1}', make_key("job")))
    at %= len(content)
    if content[at] == new:
        return
    content[at] = new
    try:
        envelope = Envelope.parse(bytes(content))
    except ValueError:
        return
    assert not envelope.signed_by(make_key("job").public_key())


def test_the_type_is_signed_too(make_key):
    made = Envelope.parse(sign("a", b"payload", make_key("job")))
    other = Envelope("b", made.payload, made.keyid, made.signature)
    assert not other.signed_by(make_key("job").public_key())
