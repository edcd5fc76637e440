"""Signed envelopes: DSSE v1.0.2 (github.com/secure-systems-lab/dsse), one Ed25519 signature.

Stricter than the standard where it leaves freedom, so that an envelope has one byte form: JSON is
canonical, base64 has one spelling, and `keyid` is the fingerprint of the key that signed.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.canonical import parse_json
from policies.keys import Signer, fingerprint, holds


@dataclass(frozen=True)
class Envelope:
    """What an envelope says of itself; nothing in it is trusted before `verify`."""

    payload_type: str
    payload: bytes
    keyid: str
    signature: bytes

    @classmethod
    def parse(cls, content: bytes) -> "Envelope":
        """Read an envelope. Raises ValueError, without any of the content in its message."""
        found = _mapping(parse_json(content), {"payload", "payloadType", "signatures"})
        signatures = found["signatures"]
        if not isinstance(signatures, list) or len(signatures) != 1:
            raise ValueError("expected one signature")
        signature = _mapping(signatures[0], {"keyid", "sig"})
        envelope = cls(
            payload_type=_text(found["payloadType"]),
            payload=_decoded(found["payload"]),
            keyid=_text(signature["keyid"]),
            signature=_decoded(signature["sig"]),
        )
        if envelope.content() != content:
            raise ValueError("not in canonical form (RFC 8785)")
        return envelope

    def content(self) -> bytes:
        """The envelope as canonical JSON."""
        fields = {
            "payload": base64.b64encode(self.payload).decode("ascii"),
            "payloadType": self.payload_type,
            "signatures": [
                {"keyid": self.keyid, "sig": base64.b64encode(self.signature).decode("ascii")}
            ],
        }
        # Text under sorted ASCII keys is all there is, and of that the compact form is canonical;
        # the general way takes ten times as long, for every entry of a record.
        compact = json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
        return compact.encode("utf-8", "surrogatepass")

    def signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether `key` signed this payload as this type."""
        message = pre_authentication(self.payload_type, self.payload)
        return self.keyid == fingerprint(key) and holds(key, self.signature, message)


def pre_authentication(payload_type: str, payload: bytes) -> bytes:
    """PAE of the DSSE protocol: the bytes that are signed, with the type bound in."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign(payload_type: str, payload: bytes, signer: Signer) -> bytes:
    """The envelope of `payload` as canonical JSON."""
    signature = signer.sign(pre_authentication(payload_type, payload))
    return Envelope(payload_type, payload, fingerprint(signer.public_key()), signature).content()


def _mapping(value: object, names: set[str]) -> Mapping[str, Any]:
    if not isinstance(value, dict) or set(value) != names:
        raise ValueError(f"expected the fields {', '.join(sorted(names))}")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("expected text")
    return value


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except ValueError:
        raise ValueError("expected base64") from None
