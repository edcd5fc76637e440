"""Merkle trees as in RFC 6962 section 2.1: one hash for a whole history, and proofs about it."""

import hashlib
from collections.abc import Sequence


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf; the prefix keeps leaves and nodes apart."""
    return hashlib.sha256(b"\x00" + data).digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """Root of the tree over leaf hashes (32 bytes each)."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    at = _split(len(leaves))
    return _node(root(leaves[:at]), root(leaves[at:]))


def consistency_proof(size: int, leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    """Proof that the tree of the first `size` leaves is the beginning of the tree of all.

    Raises ValueError unless 0 < size <= len(leaves).
    """
    if not 0 < size <= len(leaves):
        raise ValueError(f"size {size} is not within 1..{len(leaves)}")
    return _subproof(size, leaves, whole=True)


def is_consistent(
    size: int, earlier: bytes, total: int, later: bytes, proof: Sequence[bytes]
) -> bool:
    """Whether the proof shows `earlier` (of `size` leaves) to begin `later` (of `total` leaves).

    The algorithm of RFC 9162 section 2.1.4.2.
    """
    if size == total:
        return earlier == later and not proof
    if not 0 < size < total or not proof:
        return False
    path = [earlier, *proof] if size & (size - 1) == 0 else list(proof)
    left, right = size - 1, total - 1
    while left & 1:
        left, right = left >> 1, right >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if right == 0:
            return False
        if left & 1 or left == right:
            old, new = _node(sibling, old), _node(sibling, new)
            while left and not left & 1:
                left, right = left >> 1, right >> 1
        else:
            new = _node(new, sibling)
        left, right = left >> 1, right >> 1
    return right == 0 and old == earlier and new == later


def _subproof(size: int, leaves: Sequence[bytes], whole: bool) -> tuple[bytes, ...]:
    if size == len(leaves):
        return () if whole else (root(leaves),)
    at = _split(len(leaves))
    if size <= at:
        return (*_subproof(size, leaves[:at], whole), root(leaves[at:]))
    return (*_subproof(size - at, leaves[at:], whole=False), root(leaves[:at]))


def _split(count: int) -> int:
    """The largest power of two below `count`."""
    return 1 << ((count - 1).bit_length() - 1)


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()
