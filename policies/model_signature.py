"""The OpenSSF model signature of a change's model, held against the model that the record names.

A sigstore bundle (v0.3) with a DSSE envelope over an in-toto statement of type
`https://model_signing/signature/v1.0`, signed with ECDSA P-256.
"""

import base64
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from policies.canonical import digest, parse_canonical, parse_json
from policies.dsse import pre_authentication

FORMAT = "avss-model-signature-1"
PREDICATE = "https://model_signing/signature/v1.0"
_PAYLOAD_TYPE = "application/vnd.in-toto+json"
_MANIFEST = "avss_manifest.json"


def check_model_signature(document: bytes, model: str) -> None:
    """Raise ValueError unless the document is a signature of the model with this digest."""
    if model_digest(signed_files(parse_canonical(document))) != model:
        raise ValueError("it signs another model")


def signed_files(document: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 (hex) of every signed file, by its path.

    Raises ValueError where the document is no model signature, or does not hold.
    """
    try:
        if document["format"] != FORMAT:
            raise ValueError("another format")
        payload = _signed_payload(document["bundle"]["dsseEnvelope"], document["public_key"])
        return _files(parse_json(payload))
    except (KeyError, TypeError, AttributeError):
        raise ValueError("not a model signature") from None


def model_digest(files: Mapping[str, str]) -> str:
    """A model folder's digest from its files' SHA-256 (hex), as models are named everywhere.

    Our manifest, which names the digest's parts, is left out, and so is what is hidden.
    """
    hidden = {name for name in files if any(part.startswith(".") for part in name.split("/"))}
    return digest({name: files[name] for name in files if name not in {*hidden, _MANIFEST}})


def _signed_payload(envelope: Mapping[str, Any], pem: str) -> bytes:
    try:
        key = serialization.load_pem_public_key(pem.encode("ascii"))
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("the public key is damaged") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ValueError("the key is no ECDSA P-256 key")
    payload = base64.b64decode(envelope["payload"], validate=True)
    (signature,) = envelope["signatures"]
    if envelope["payloadType"] != _PAYLOAD_TYPE:
        raise ValueError("not an in-toto statement")
    message = pre_authentication(_PAYLOAD_TYPE, payload)
    try:
        key.verify(
            base64.b64decode(signature["sig"], validate=True), message, ec.ECDSA(hashes.SHA256())
        )
    except InvalidSignature:
        raise ValueError("the signature does not hold") from None
    return payload


def _files(statement: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 (hex) of every signed file, by its path."""
    if statement["predicateType"] != PREDICATE:
        raise ValueError("another kind of statement")
    predicate = statement["predicate"]
    if (predicate["serialization"]["method"], predicate["serialization"]["hash_type"]) != (
        "files",
        "sha256",
    ):
        raise ValueError("the files are hashed in another way")
    files = {one["name"]: one["digest"] for one in predicate["resources"]}
    if len(files) != len(predicate["resources"]):
        raise ValueError("a file stands twice")
    return files
