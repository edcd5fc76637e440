"""Signed notes and checkpoints."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from policies.canonical import digest
from policies.checkpoints import (
    Checkpoint,
    check_growth,
    check_history,
    open_checkpoint,
    prove_growth,
)
from policies.errors import VerificationError
from policies.signed_note import key_id, open_note, sign_note

DIGESTS = [digest({"entry": at}) for at in range(9)]


def test_the_note_of_the_go_checksum_database():
    """The example of Go's sumdb/note package, from which the C2SP form stems."""
    name, identity, encoded = [
        "PeterNeumann",
        "c74f20a3",
        "ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
    ]
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded)[1:])
    text = (
        "If you think cryptography is the answer to your problem,\n"
        "then you don't know what your problem is.\n"
    )
    note = (
        f"{text}\n— {name} "
        "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    )
    assert key_id(name, key).hex() == identity
    assert open_note(note.encode(), name, key) == text


def test_a_checkpoint_says_size_and_root(make_key):
    note = Checkpoint.over("reviews", DIGESTS).sign(make_key("job"))
    assert note.startswith(b"avss-ledger/reviews\n9\n")
    found = open_checkpoint(
        note, "reviews", [make_key("old").public_key(), make_key("job").public_key()]
    )
    assert found == Checkpoint.over("reviews", DIGESTS)
    check_history(found, [*DIGESTS, digest("later")])


def test_signatures_of_witnesses_are_passed_over(make_key):
    note = Checkpoint.over("reviews", DIGESTS).sign(make_key("job"))
    witness = sign_note("x\n", "witness", make_key("witness")).split(b"\n\n")[1]
    assert open_checkpoint(note + witness, "reviews", [make_key("job").public_key()])


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace(b"\n9\n", b"\n8\n"),
        lambda note: note.replace(b"reviews", b"another"),
        lambda note: note[:-1],
        lambda note: note + b"\n",
        lambda note: b"\xff" + note,
        lambda note: b"",
        lambda note: note * 2000,
    ],
)
def test_a_damaged_checkpoint_does_not_hold(make_key, change):
    note = change(Checkpoint.over("reviews", DIGESTS).sign(make_key("job")))
    with pytest.raises(VerificationError, match="checkpoint"):
        open_checkpoint(note, "reviews", [make_key("job").public_key()])


def test_a_checkpoint_of_another_key_or_line_does_not_hold(make_key):
    note = Checkpoint.over("reviews", DIGESTS).sign(make_key("mallory"))
    with pytest.raises(VerificationError, match="no signature of the expected key"):
        open_checkpoint(note, "reviews", [make_key("job").public_key()])
    with pytest.raises(VerificationError, match="no key"):
        open_checkpoint(note, "reviews", [])


def test_history_that_was_cut_or_rewritten_does_not_fit():
    kept = Checkpoint.over("reviews", DIGESTS)
    with pytest.raises(VerificationError, match="cut off"):
        check_history(kept, DIGESTS[:8])
    with pytest.raises(VerificationError, match="rewritten"):
        check_history(kept, [*DIGESTS[:4], digest("forged"), *DIGESTS[5:]])


@given(st.integers(1, 9), st.integers(1, 9))
def test_growth_is_proven_for_any_two_sizes_of_one_history(first, second):
    sizes = sorted((first, second))
    earlier, later = (Checkpoint.over("reviews", DIGESTS[:size]) for size in sizes)
    check_growth(earlier, later, prove_growth(earlier, later, DIGESTS))


def test_growth_of_another_history_is_not_proven():
    earlier, later = Checkpoint.over("reviews", DIGESTS[:5]), Checkpoint.over("reviews", DIGESTS)
    proof = prove_growth(earlier, later, DIGESTS)
    forged = Checkpoint.over("reviews", [*DIGESTS[:4], *DIGESTS[5:], digest("forged")])
    with pytest.raises(VerificationError, match="not of one history"):
        check_growth(earlier, forged, proof)
    with pytest.raises(VerificationError, match="not of one history"):
        check_growth(earlier, later, proof[1:])
    with pytest.raises(VerificationError, match="proof is damaged"):
        check_growth(earlier, later, ["?"])
    with pytest.raises(VerificationError, match="should be the later one"):
        prove_growth(later, earlier, DIGESTS)
