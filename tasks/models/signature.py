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

_MAKE_ONE = "openssl ecparam -name prime256v1 -genkey -noout -out FILE"


def model_key_path() -> Path:
    """The key that signs models: `$AVSS_MODEL_KEY`, or `model_p256.pem` beside the job's key."""
    configured = os.environ.get("AVSS_MODEL_KEY")
    return Path(configured) if configured else job_key_path().with_name("model_p256.pem")


def sign_model(folder: Path) -> dict[str, Any]:
    """The signature of every file in the folder, with the public key, as a document of ours.

    The key is made where there is none yet.

    Raises:
        RunFileError: the key cannot be used, or cannot be made where it is looked for.
    """
    from model_signing import hashing, signing

    key = model_key_path()
    if not _is_there(key):
        _make_key(key)
    public = _public_key(key)
    with tempfile.TemporaryDirectory() as scratch:
        signature = Path(scratch) / "model.sig"
        config = hashing.Config().set_ignored_paths(paths=[], ignore_git_paths=True)
        signer = signing.Config().use_elliptic_key_signer(private_key=key)
        signer.set_hashing_config(config).sign(folder, signature)
        bundle = json.loads(signature.read_text(encoding="utf-8"))
    return {"format": FORMAT, "public_key": public, "bundle": bundle}


def check_model_key() -> str:
    """See that models can be signed; nothing is made. Says what is there.

    Raises:
        RunFileError: the key cannot be used, or could not be made where it is looked for.
    """
    path = model_key_path()
    if _is_there(path):
        _public_key(path)
        return f"{path} can be used"
    folder = next(one for one in path.absolute().parents if one.exists())
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise _cannot_be_made(path, f"{folder} cannot be written to")
    return f"{path} does not exist yet; the first registration of a model makes it"


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise RunFileError(f"{path}, the key for model signatures: {error.strerror}.") from None


def _public_key(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunFileError(
            f"{path}, the key for model signatures, cannot be read: {error.strerror}. Make its "
            "owner the user that runs the job (mode 0600), or name another with AVSS_MODEL_KEY."
        ) from None
    try:
        key = serialization.load_pem_private_key(content, None)
    except (TypeError, ValueError):
        key = None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise RunFileError(
            f"{path} is no unencrypted ECDSA P-256 key in PEM form, which model signatures need. "
            f"Make one: {_MAKE_ONE}"
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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
            stream.write(content)
    except OSError as error:
        raise _cannot_be_made(path, str(error.strerror)) from None


def _cannot_be_made(path: Path, why: str) -> RunFileError:
    return RunFileError(
        f"There is no key for model signatures at {path}, and none can be made there: {why}. Make "
        f"one, keep it beside the job's key, and name it with AVSS_MODEL_KEY: {_MAKE_ONE}"
    )
