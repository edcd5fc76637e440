"""Signed notes (c2sp.org/signed-note): text, a blank line, and signatures beneath it."""

import base64
import binascii
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.keys import Signer, holds

_ED25519 = b"\x01"
_MARK = "\u2014 "
LARGEST = 65_536


def key_id(name: str, key: Ed25519PublicKey) -> bytes:
    """The four bytes by which a note names a key."""
    hashed = hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public_bytes_raw())
    return hashed.digest()[:4]


def sign_note(text: str, name: str, signer: Signer) -> bytes:
    """The note of `text`, which ends in a newline, signed under `name`."""
    signature = key_id(name, signer.public_key()) + signer.sign(text.encode())
    line = f"{_MARK}{name} {base64.b64encode(signature).decode('ascii')}\n"
    return f"{text}\n{line}".encode()


def open_note(note: bytes, name: str, key: Ed25519PublicKey) -> str:
    """The text of a note that `key` signed under `name`; other signatures are passed over.

    Raises ValueError where there is no such signature, or it does not hold.
    """
    if len(note) > LARGEST:
        raise ValueError("larger than any checkpoint")
    text, separator, lines = note.decode("utf-8").rpartition("\n\n")
    text += "\n"
    if not separator or not lines.endswith("\n"):
        raise ValueError("no signed note: expected text, a blank line and signatures")
    for line in lines[:-1].split("\n"):
        if not line.startswith(_MARK):
            raise ValueError("a signature line is damaged")
        signer, _, encoded = line.removeprefix(_MARK).partition(" ")
        signature = _decoded(encoded)
        if signer == name and signature[:4] == key_id(name, key):
            if holds(key, signature[4:], text.encode()):
                return text
            raise ValueError("the signature does not hold")
    raise ValueError("no signature of the expected key")


def _decoded(encoded: str) -> bytes:
    try:
        signature = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise ValueError("a signature line is damaged") from None
    if len(signature) < 5 or base64.b64encode(signature).decode("ascii") != encoded:
        raise ValueError("a signature line is damaged")
    return signature
