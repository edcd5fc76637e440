"""Keys in OpenSSH form."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from policies.errors import DecisionError
from policies.keys import fingerprint, parse_public_key, public_line, read_private_key

# The first key of RFC 8032, section 7.1; its fingerprint as `ssh-keygen -l` prints it.
LINE = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3URoK"


def write(path, key, passphrase=None):
    hidden = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH)
    path.write_bytes(key.private_bytes(*form, hidden))
    path.chmod(0o600)
    return path


def test_a_key_is_read_from_its_file(tmp_path, make_key):
    path = write(tmp_path / "id", make_key("alice"))
    assert public_line(read_private_key(path).public_key()) == public_line(
        make_key("alice").public_key()
    )


def test_an_encrypted_key_needs_its_passphrase(tmp_path, make_key):
    path = write(tmp_path / "id", make_key("alice"), b"open sesame")
    assert read_private_key(path, b"open sesame")
    with pytest.raises(DecisionError, match="give its passphrase, or load it into an ssh-agent"):
        read_private_key(path)
    with pytest.raises(DecisionError, match="passphrase is wrong"):
        read_private_key(path, b"guess")


def test_a_key_that_others_can_read_is_refused(tmp_path, make_key):
    path = write(tmp_path / "id", make_key("alice"))
    path.chmod(0o640)
    with pytest.raises(DecisionError, match="chmod 600"):
        read_private_key(path)


def test_other_keys_are_refused(tmp_path):
    path = write(tmp_path / "id", rsa.generate_private_key(65537, 2048))
    with pytest.raises(DecisionError, match="no Ed25519 key"):
        read_private_key(path)
    (tmp_path / "id").write_bytes(b"hello")
    with pytest.raises(DecisionError, match="no OpenSSH private key"):
        read_private_key(path)
    with pytest.raises(DecisionError, match="No such file"):
        read_private_key(tmp_path / "none")


def test_public_lines_and_fingerprints():
    key = parse_public_key(f"{LINE} somebody@somewhere\n")
    assert public_line(key) == LINE
    assert fingerprint(key).startswith("SHA256:")
    assert len(fingerprint(key)) == 50


@pytest.mark.parametrize("line", ["", "ssh-ed25519", "ssh-ed25519 AAAA", "hello", LINE[:-4], "é"])
def test_what_is_no_public_key_is_refused(line):
    with pytest.raises(DecisionError, match="expected an OpenSSH public key line"):
        parse_public_key(line)
