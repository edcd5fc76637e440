"""Ed25519 keys in OpenSSH form: who signs, and how a key is named."""

import base64
import hashlib
import stat
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from policies.errors import DecisionError


class Signer(Protocol):
    """Whatever can sign: a private key in memory, or one that never leaves its holder."""

    def sign(self, data: bytes, /) -> bytes:
        """The Ed25519 signature of `data`, 64 bytes."""
        ...

    def public_key(self) -> Ed25519PublicKey:
        """The key that verifies it."""
        ...


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """An Ed25519 key from its OpenSSH file.

    Raises:
        DecisionError: no such file, readable by others, a passphrase missing (fault `encrypted`)
            or wrong, or a key of another kind; the message says what to do.
    """
    try:
        content, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise DecisionError(f"{path}: {error.strerror}. Name a private key file.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise DecisionError(f"{path} can be read by others. Run: chmod 600 {path}")
    try:
        key = serialization.load_ssh_private_key(content, passphrase)
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:
        if passphrase is None and (isinstance(error, TypeError) or "assword" in str(error)):
            raise DecisionError(
                f"{path} is encrypted; give its passphrase, or load it into an ssh-agent and name "
                f"{path}.pub.",
                "encrypted",
            ) from None
        raise DecisionError(f"{path}: {_why_unusable(passphrase)}") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise DecisionError(f"{path} is no Ed25519 key. Make one: ssh-keygen -t ed25519 -f FILE")
    return key


def _why_unusable(passphrase: bytes | None) -> str:
    if passphrase is not None:
        return "the passphrase is wrong, or this is no OpenSSH private key."
    return "this is no OpenSSH private key. Make one: ssh-keygen -t ed25519 -f FILE"


def parse_public_key(line: str) -> Ed25519PublicKey:
    """The key of an OpenSSH public key line (`ssh-ed25519 AAAA... comment`).

    Raises DecisionError where the line is not one.
    """
    try:
        key = serialization.load_ssh_public_key(line.strip().encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise DecisionError("expected an OpenSSH public key line: ssh-ed25519 AAAA...")
    return key


def public_line(key: Ed25519PublicKey) -> str:
    """The key as OpenSSH writes it, without a comment."""
    form = (serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return key.public_bytes(*form).decode("ascii")


_WIRE = b"\0\0\0\x0bssh-ed25519\0\0\0\x20"


def wire(key: Ed25519PublicKey) -> bytes:
    """The key as SSH sends it (RFC 8709)."""
    return _WIRE + key.public_bytes_raw()


def from_wire(blob: bytes) -> Ed25519PublicKey | None:
    """The key of a wire form; None where it is a key of another kind."""
    raw = blob.removeprefix(_WIRE)
    fits = blob.startswith(_WIRE) and len(raw) == 32
    return Ed25519PublicKey.from_public_bytes(raw) if fits else None


def fingerprint(key: Ed25519PublicKey) -> str:
    """`SHA256:...` as `ssh-keygen -l` prints it: over the key's wire form."""
    hashed = base64.b64encode(hashlib.sha256(wire(key)).digest()).decode("ascii")
    return f"SHA256:{hashed.rstrip('=')}"


def holds(key: Ed25519PublicKey, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is this key's over `data`."""
    try:
        key.verify(signature, data)
    except InvalidSignature:
        return False
    return True
