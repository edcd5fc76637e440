"""Keys that people name: files, encrypted files, and keys that a real ssh-agent holds."""

import os
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.errors import DecisionError
from policies.keys import fingerprint, holds, public_line
from tasks.record.signers import signer_at


def nobody(_):
    return None


def write(path, key, passphrase=None):
    hidden = serialization.NoEncryption()
    if passphrase:
        hidden = serialization.BestAvailableEncryption(passphrase.encode())
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)
    path.touch(mode=0o600)
    path.write_bytes(key.private_bytes(*form, hidden))
    path.with_suffix(".pub").write_text(public_line(key.public_key()) + " me@here\n")
    return path


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """A running agent, ended afterwards."""
    if shutil.which("ssh-agent") is None:
        pytest.skip("openssh-client is not installed: no ssh-agent to ask")
    socket = tmp_path / "agent"
    process = subprocess.Popen(["ssh-agent", "-D", "-a", str(socket)], stdout=subprocess.DEVNULL)
    monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
    try:
        while not socket.exists():
            assert process.poll() is None
        yield lambda path: subprocess.run(["ssh-add", str(path)], check=True, capture_output=True)
    finally:
        process.terminate()
        process.wait()


def test_a_key_file(tmp_path, key):
    signer = signer_at(str(write(tmp_path / "id", key)), nobody)
    assert holds(key.public_key(), signer.sign(b"x"), b"x")


def test_an_encrypted_key_asks_for_its_passphrase(tmp_path, key, monkeypatch):
    path = str(write(tmp_path / "id", key, "open sesame"))
    asked = []

    def answer(named):
        asked.append(named)
        return "open sesame"

    assert holds(key.public_key(), signer_at(path, answer).sign(b"x"), b"x")
    assert asked == [path]
    with pytest.raises(DecisionError, match=r"is encrypted; give its passphrase.*id\.pub"):
        signer_at(path, nobody)
    with pytest.raises(DecisionError, match="the passphrase is wrong"):
        signer_at(path, lambda _: "guess")
    monkeypatch.setenv("AVSS_KEY_PASSPHRASE", "open sesame")
    assert holds(key.public_key(), signer_at(path, nobody).sign(b"x"), b"x")
    monkeypatch.setenv("AVSS_KEY_PASSPHRASE", "guess")
    with pytest.raises(DecisionError, match="the passphrase is wrong"):
        signer_at(path, nobody)


def test_an_agent_signs_with_the_key_that_its_public_file_or_fingerprint_names(
    tmp_path, key, agent
):
    path = write(tmp_path / "id", key)
    agent(path)
    path.unlink()
    for named in (str(path.with_suffix(".pub")), fingerprint(key.public_key())):
        signer = signer_at(named, nobody)
        assert fingerprint(signer.public_key()) == fingerprint(key.public_key())
        assert holds(key.public_key(), signer.sign(b"statement"), b"statement")


def test_an_agent_that_does_not_hold_the_key(tmp_path, key, agent):
    agent(write(tmp_path / "other", Ed25519PrivateKey.generate()))
    with pytest.raises(DecisionError, match="does not hold the Ed25519 key SHA256:"):
        signer_at(fingerprint(key.public_key()), nobody)


def test_an_agent_that_lost_the_key_before_it_signs(tmp_path, key, agent):
    agent(write(tmp_path / "id", key))
    signer = signer_at(fingerprint(key.public_key()), nobody)
    subprocess.run(["ssh-add", "-D"], check=True, capture_output=True)
    with pytest.raises(DecisionError, match="did not sign"):
        signer.sign(b"x")


def test_no_agent(tmp_path, key, monkeypatch):
    for socket in ("", str(tmp_path / "nothing")):
        monkeypatch.setitem(os.environ, "SSH_AUTH_SOCK", socket)
        with pytest.raises(DecisionError, match="There is no ssh-agent"):
            signer_at(fingerprint(key.public_key()), nobody)


def test_a_public_key_file_that_is_none(tmp_path):
    with pytest.raises(DecisionError, match="No such file"):
        signer_at(str(tmp_path / "id.pub"), nobody)
    (tmp_path / "id.pub").write_bytes(b"\xff")
    with pytest.raises(DecisionError, match="no OpenSSH public key file"):
        signer_at(str(tmp_path / "id.pub"), nobody)
    (tmp_path / "id.pub").write_bytes(b"hello")
    with pytest.raises(DecisionError, match="expected an OpenSSH public key line"):
        signer_at(str(tmp_path / "id.pub"), nobody)
