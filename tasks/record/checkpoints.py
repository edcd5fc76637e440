"""Checkpoints of a line: signed, laid where others keep them, and proven to be one history."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.checkpoints import Checkpoint, check_growth, open_checkpoint, origin, prove_growth
from policies.errors import PolicyError, VerificationError
from policies.keys import Signer, fingerprint
from policies.signed_note import LARGEST
from tasks.errors import RunFileError
from tasks.record.journal import Record
from tasks.s3.storage import ObjectStore


def sign_checkpoint(record: Record, signer: Signer) -> bytes:
    """The checkpoint of everything recorded so far.

    Raises:
        RunFileError: the key is not the one in force.
    """
    due = fingerprint(record.chain.key)
    if fingerprint(signer.public_key()) != due:
        raise RunFileError(f"A checkpoint of line {record.line} must be signed by the key {due}.")
    return _of(record).sign(signer)


def lay_down(note: bytes, line: str, size: int, place: str) -> str:
    """Lay a checkpoint where it is kept: a file, or `<prefix>/<line>/<size>` below an s3:// prefix.

    Returns its address.
    """
    if place.startswith("s3://"):
        store, key = ObjectStore.at(place), f"{line}/{size:012d}"
        store.put(key, note)
        return store.uri(key)
    path = Path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(note)
    return str(path)


@dataclass(frozen=True)
class Growth:
    """Two checkpoints of a line, and the proof that the later one only adds to the earlier."""

    line: str
    earlier: int
    later: int
    proof: tuple[str, ...]


def prove(record: Record, earlier: bytes, later: bytes) -> Growth:
    """The proof between two kept checkpoints; needs the record, and no private key.

    Raises:
        VerificationError: one of them does not hold, or the record is not what it saw.
    """
    notes = [open_checkpoint(one, record.line, record.chain.keys) for one in (earlier, later)]
    proof = prove_growth(notes[0], notes[1], [one.digest for one in record.chain.sealed])
    return Growth(record.line, notes[0].size, notes[1].size, proof)


def check(
    earlier: bytes, later: bytes, proof: tuple[str, ...], keys: list[Ed25519PublicKey]
) -> Growth:
    """Check that the later checkpoint only adds to the earlier; needs public keys only.

    Raises:
        VerificationError: a signature, the line or the proof does not hold.
    """
    line = line_in(earlier)
    notes = [open_checkpoint(one, line, keys) for one in (earlier, later)]
    check_growth(notes[0], notes[1], proof)
    return Growth(line, notes[0].size, notes[1].size, proof)


def line_in(note: bytes) -> str:
    """The line that a checkpoint says it is of, before its signature is checked."""
    first = note[:LARGEST].decode("utf-8", "replace").partition("\n")[0]
    if not first.startswith(origin("")):
        raise VerificationError("This is no checkpoint of a line's record.")
    return first.removeprefix(origin(""))


def read_note(path: Path) -> bytes:
    """A checkpoint's file. Raises PolicyError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}. Name a checkpoint file.") from None


def _of(record: Record) -> Checkpoint:
    return Checkpoint.over(record.line, [one.digest for one in record.chain.sealed])
