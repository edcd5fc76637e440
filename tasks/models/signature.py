"""An OpenSSF model signature of a model folder, which anyone checks with `model_signing verify`.

The library signs with ECDSA keys and not with Ed25519, so it cannot use the job's own key. The job
therefore has a second key, for models alone; the ledger's entry, which the job's key signs, names
the public half and the signature, and so says whose they are.
"""

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from policies.model_signature import FORMAT
from tasks.errors import RunFileError
from tasks.home import job_key_path


def model_key_path() -> Path:
    """The key that signs models: `$AVSS_MODEL_KEY`, or `model_p256.pem` beside the job's key."""
    configured = os.environ.get("AVSS_MODEL_KEY")
    return Path(configured) if configured else job_key_path().with_name("model_p256.pem")


def sign_model(folder: Path) -> dict[str, Any]:
    """The signature of every file in the folder, with the public key, as a document of ours.

    The key is made where there is none yet.

    Raises:
        RunFileError: the key cannot be used.
    """
    from model_signing import hashing, signing

    key = model_key_path()
    public = _public_key(key)
    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / "model.sig"
        config = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=True)
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
        signer.set_hashing_config(config).sign(folder, signature)
        bundle = json.loads(signature.read_text(encoding="utf-8"))
    return {"format": FORMAT, "public_key": public, "bundle": bundle}


def _public_key(path: Path) -> str:
    if not path.exists():
        _make_key(path)
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), None)
    except (OSError, TypeError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RunFileError(
            f"{path} is no unencrypted ECDSA P-256 key in PEM form, which model signatures need. "
            "Make one: openssl ecparam -name prime256v1 -genkey -noout -out FILE"
        )
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return key.public_key().public_bytes(*form).decode("ascii")


def _make_key(path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
