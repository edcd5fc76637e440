"""OpenSSF signatures of model folders: the library's own verifier, and the law's check of them."""

import base64
import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import verifying

from avss.digests import folder_digest
from policies.canonical import canonical_bytes
from policies.model_signature import check_model_signature, model_digest, signed_files
from tasks.errors import RunFileError
from tasks.models.signature import check_model_key, model_key_path, sign_model


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("AVSS_MODEL_KEY", str(tmp_path / "keys" / "model.pem"))
    folder = tmp_path / "model"
    (folder / "parts").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "parts" / "model.safetensors").write_bytes(bytes(100))
    (folder / "avss_manifest.json").write_text('{"format": 1}')
    return folder


def by_the_library(document, folder, tmp_path):
    signature, key = tmp_path / "model.sig", tmp_path / "model.pub"
    signature.write_text(json.dumps(document["bundle"]))
    key.write_text(document["public_key"])
    verifying.Config().use_elliptic_key_verifier(public_key=key).verify(folder, signature)


def test_anyone_checks_the_signature_with_the_library(model, tmp_path):
    document = sign_model(model)
    by_the_library(document, model, tmp_path)
    (model / "config.json").write_text("{ }")
    with pytest.raises(ValueError, match=r"config\.json"):
        by_the_library(document, model, tmp_path)


def test_it_is_of_the_model_that_its_digest_names(model):
    document = sign_model(model)
    found = folder_digest(model)
    check_model_signature(canonical_bytes(document), found.digest)
    assert set(signed_files(document)) == {*found.files, "avss_manifest.json"}
    assert model_digest(signed_files(document)) == found.digest
    with pytest.raises(ValueError, match="signs another model"):
        check_model_signature(canonical_bytes(document), "0" * 64)


def test_the_key_is_made_once_for_its_owner_alone(model):
    first = sign_model(model)["public_key"]
    assert model_key_path().stat().st_mode & 0o777 == 0o600
    assert sign_model(model)["public_key"] == first
    model_key_path().write_bytes(b"hello")
    with pytest.raises(RunFileError, match="no unencrypted ECDSA P-256 key"):
        sign_model(model)


def test_a_key_as_openssl_makes_it_is_used(model, tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.TraditionalOpenSSL
    content = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    model_key_path().parent.mkdir()
    model_key_path().write_bytes(content)
    assert "can be used" in check_model_key()
    by_the_library(sign_model(model), model, tmp_path)
    assert model_key_path().read_bytes() == content


@pytest.mark.parametrize("attempt", [sign_model, lambda _: check_model_key()])
def test_a_key_that_cannot_be_made_is_told_with_what_to_do(model, monkeypatch, attempt):
    monkeypatch.setenv("AVSS_MODEL_KEY", str(model / "config.json" / "model.pem"))
    with pytest.raises(RunFileError, match=r"none can be made there.*AVSS_MODEL_KEY: openssl"):
        attempt(model)


def test_a_key_that_cannot_be_read_is_told(model, monkeypatch, tmp_path):
    monkeypatch.setenv("AVSS_MODEL_KEY", str(tmp_path))  # a folder
    with pytest.raises(RunFileError, match="cannot be read: Is a directory"):
        sign_model(model)


def payload_of(document):
    return json.loads(base64.b64decode(document["bundle"]["dsseEnvelope"]["payload"]))


def with_payload(document, payload):
    envelope = document["bundle"]["dsseEnvelope"]
    encoded = base64.b64encode(json.dumps(payload).encode()).decode()
    return {**document, "bundle": {"dsseEnvelope": {**envelope, "payload": encoded}}}


@pytest.mark.parametrize(
    ("forge", "message"),
    [
        (lambda it: with_payload(it, payload_of(it) | {"predicate": {}}), "does not hold"),
        (lambda it: {**it, "format": "avss-model-signature-9"}, "another format"),
        (lambda it: {**it, "bundle": {}}, "not a model signature"),
        (
            lambda it: {**it, "bundle": {"dsseEnvelope": {"signatures": []}}},
            "not a model signature",
        ),
        (lambda it: {**it, "public_key": "hello"}, "public key is damaged"),
        (lambda it: {"a": 1}, "not a model signature"),
    ],
)
def test_a_forged_signature_does_not_hold(model, forge, message):
    digest = folder_digest(model).digest
    with pytest.raises(ValueError, match=message):
        check_model_signature(canonical_bytes(forge(sign_model(model))), digest)


def test_another_key_does_not_hold(model, monkeypatch, tmp_path):
    document = sign_model(model)
    monkeypatch.setenv("AVSS_MODEL_KEY", str(tmp_path / "other.pem"))
    swapped = {**document, "public_key": sign_model(model)["public_key"]}
    with pytest.raises(ValueError, match="does not hold"):
        check_model_signature(canonical_bytes(swapped), folder_digest(model).digest)
