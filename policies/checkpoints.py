"""Checkpoints (c2sp.org/tlog-checkpoint): a signed size and root that hold us to a history.

An auditor keeps one, or it is published elsewhere; a record that is later cut short or rewritten,
even with the right key, no longer fits it. A leaf is the digest of an entry, in line order.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies import merkle
from policies.errors import VerificationError
from policies.keys import Signer
from policies.signed_note import open_note, sign_note

_TEXT = re.compile(r"([^\n]+)\n(0|[1-9][0-9]{0,15})\n([A-Za-z0-9+/]{43}=)\n")


@dataclass(frozen=True)
class Checkpoint:
    """The first `size` entries of a line have the Merkle root `root` (32 bytes)."""

    line: str
    size: int
    root: bytes

    @classmethod
    def over(cls, line: str, digests: Sequence[str]) -> "Checkpoint":
        """The checkpoint of entries by their digests (hex), in order."""
        return cls(line, len(digests), merkle.root(leaves(digests)))

    def sign(self, signer: Signer) -> bytes:
        """The signed note."""
        return sign_note(self.text, origin(self.line), signer)

    @property
    def text(self) -> str:
        """Origin, size and root, a line each."""
        return f"{origin(self.line)}\n{self.size}\n{base64.b64encode(self.root).decode('ascii')}\n"


def origin(line: str) -> str:
    """The name under which a line's checkpoints are signed."""
    return f"avss-ledger/{line}"


def leaves(digests: Sequence[str]) -> list[bytes]:
    """Leaf hashes of entries by their digests (hex)."""
    return [merkle.leaf_hash(bytes.fromhex(one)) for one in digests]


def open_checkpoint(note: bytes, line: str, keys: Sequence[Ed25519PublicKey]) -> Checkpoint:
    """A line's checkpoint that one of the keys signed.

    Raises VerificationError saying what is wrong with it.
    """
    problem = "no key to check it with"
    for key in keys:
        try:
            return _parse(open_note(note, origin(line), key), line)
        except ValueError as error:
            is_text = not isinstance(error, UnicodeDecodeError)
            problem = str(error) if is_text else "it is not text"
    raise VerificationError(f"The checkpoint of line {line} does not hold: {problem}.")


def _parse(text: str, line: str) -> Checkpoint:
    found = _TEXT.fullmatch(text)
    if found is None or found[1] != origin(line):
        raise ValueError("expected origin, size and root")
    root = base64.b64decode(found[3])
    if base64.b64encode(root).decode("ascii") != found[3]:
        raise ValueError("the root is not in its one spelling")
    return Checkpoint(line, int(found[2]), root)


def check_history(checkpoint: Checkpoint, digests: Sequence[str]) -> None:
    """Raise VerificationError unless the record still begins with what the checkpoint saw."""
    if checkpoint.size > len(digests):
        raise VerificationError(
            f"The record has {len(digests)} entries, but a checkpoint saw {checkpoint.size}: "
            "entries were cut off.",
            len(digests),
        )
    if Checkpoint.over(checkpoint.line, digests[: checkpoint.size]).root != checkpoint.root:
        raise VerificationError(
            f"The first {checkpoint.size} entries are not those that a checkpoint saw: "
            "the record was rewritten, though its signatures hold."
        )


def prove_growth(earlier: Checkpoint, later: Checkpoint, digests: Sequence[str]) -> tuple[str, ...]:
    """Proof that `later` only adds to `earlier`: hashes in base64, as RFC 9162 orders them.

    Raises VerificationError where the record does not begin with what either of them saw.
    """
    for one in (earlier, later):
        check_history(one, digests)
    if earlier.size > later.size:
        raise VerificationError("The checkpoint that should be the later one is the earlier one.")
    proof = merkle.consistency_proof(earlier.size, leaves(digests[: later.size]))
    return tuple(base64.b64encode(one).decode("ascii") for one in proof)


def check_growth(earlier: Checkpoint, later: Checkpoint, proof: Sequence[str]) -> None:
    """Raise VerificationError unless the proof shows that `later` only adds to `earlier`."""
    try:
        hashes = [base64.b64decode(one, validate=True) for one in proof]
    except ValueError:
        raise VerificationError("The proof is damaged: expected hashes in base64.") from None
    if not merkle.is_consistent(earlier.size, earlier.root, later.size, later.root, hashes):
        raise VerificationError(
            f"The checkpoints of {earlier.size} and {later.size} entries are not of one history, "
            "or the proof is of others: something was cut off or rewritten between them."
        )
