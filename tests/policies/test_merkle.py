"""Merkle trees and their proofs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.merkle import consistency_proof, is_consistent, leaf_hash, root

# The inputs and roots that the reference implementations of RFC 6962 test themselves with.
INPUTS = [
    "",
    "00",
    "10",
    "2021",
    "3031",
    "40414243",
    "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
LEAVES = [leaf_hash(at.to_bytes(4)) for at in range(80)]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_rfc_6962(size):
    found = root([leaf_hash(bytes.fromhex(one)) for one in INPUTS[:size]])
    assert found.hex() == ROOTS[size - 1]


def test_the_empty_tree():
    assert root([]).hex().startswith("e3b0c44298fc1c14")


@given(st.integers(1, 80), st.data())
def test_every_beginning_can_be_proven(total, data):
    size = data.draw(st.integers(1, total))
    leaves = LEAVES[:total]
    proof = consistency_proof(size, leaves)
    assert is_consistent(size, root(leaves[:size]), total, root(leaves), proof)


@given(st.integers(2, 60), st.data())
def test_another_history_cannot(total, data):
    size = data.draw(st.integers(1, total - 1))
    changed = data.draw(st.integers(0, size - 1))
    leaves = LEAVES[:total]
    forged = [*leaves]
    forged[changed] = leaf_hash(b"forged")
    proof = consistency_proof(size, forged)
    assert not is_consistent(size, root(leaves[:size]), total, root(forged), proof)


@given(st.integers(2, 40), st.data())
def test_a_damaged_proof_fails(total, data):
    size = data.draw(st.integers(1, total - 1))
    leaves = LEAVES[:total]
    proof = list(consistency_proof(size, leaves))
    at = data.draw(st.integers(0, len(proof) - 1))
    earlier, later = root(leaves[:size]), root(leaves)
    swapped = [*proof[:at], leaf_hash(b"x"), *proof[at + 1 :]]
    for bad in (swapped, proof[:at] + proof[at + 1 :], [*proof, proof[0]]):
        assert not is_consistent(size, earlier, total, later, bad)
