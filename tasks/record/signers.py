"""The key that a person names on the command line: a file, or one that an ssh-agent holds."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.errors import DecisionError
from policies.keys import (
    Signer,
    fingerprint,
    from_wire,
    holds,
    parse_public_key,
    read_private_key,
    wire,
)

_ANSWER = "AVSS_KEY_PASSPHRASE"


def signer_at(named: str, ask: Callable[[str], str | None]) -> Signer:
    """The key that `named` means.

    Args:
        named: a private key file; or, for a key that an ssh-agent holds, its public key file
            (`id_ed25519.pub`) or its fingerprint (`SHA256:...`).
        ask: asks a person for the passphrase of the named key; None where nobody can be asked.
            `AVSS_KEY_PASSPHRASE` answers first.

    Raises:
        DecisionError: no such key, it cannot be used, or the agent does not hold it.
    """
    if named.startswith("SHA256:"):
        return AgentKey.holding(named)
    path = Path(named).expanduser()
    if path.suffix == ".pub":
        try:
            return AgentKey.holding(fingerprint(parse_public_key(path.read_text("ascii"))))
        except OSError as error:
            raise DecisionError(f"{path}: {error.strerror}. Name a key file.") from None
        except UnicodeDecodeError:
            raise DecisionError(f"{path} is no OpenSSH public key file.") from None
    try:
        return read_private_key(path)
    except DecisionError as error:
        given = os.environ.get(_ANSWER) or (ask(named) if error.fault == "encrypted" else None)
        if error.fault != "encrypted" or given is None:
            raise
    return read_private_key(path, given.encode())


@dataclass(frozen=True)
class AgentKey:
    """A key that never leaves its agent; every signature is asked for and checked."""

    public: Ed25519PublicKey

    @classmethod
    def holding(cls, wanted: str) -> "AgentKey":
        """The agent's key of this fingerprint. Raises DecisionError where it holds none."""
        for blob in asyncio.run(_listed()):
            key = from_wire(blob)
            if key is not None and fingerprint(key) == wanted:
                return cls(key)
        raise DecisionError(
            f"The ssh-agent does not hold the Ed25519 key {wanted}. Load it (ssh-add FILE), or "
            "name the private key's file."
        )

    def public_key(self) -> Ed25519PublicKey:
        """The key that verifies what the agent signs."""
        return self.public

    def sign(self, data: bytes, /) -> bytes:
        """The agent's signature. Raises DecisionError where it refuses, as a person may."""
        signature = asyncio.run(_signed(wire(self.public), data))
        if not holds(self.public, signature, data):
            raise DecisionError("The ssh-agent's signature does not hold. Use the key's file.")
        return signature


async def _listed() -> list[bytes]:
    """The wire forms of all keys that the agent holds."""
    async with await _agent() as agent:
        return [pair.public_data for pair in await agent.get_keys()]


async def _signed(key: bytes, data: bytes) -> bytes:
    """The bare signature of an agent's answer, which names its kind first (RFC 8709)."""
    from asyncssh.packet import SSHPacket

    async with await _agent() as agent:
        try:
            answer = SSHPacket(await agent.sign(key, data))
            answer.get_string()
            return answer.get_string()
        except ValueError as error:
            raise DecisionError(f"The ssh-agent did not sign: {error}.") from None


async def _agent() -> Any:
    import asyncssh

    try:
        return await asyncssh.connect_agent()
    except OSError:
        raise DecisionError(
            "There is no ssh-agent at SSH_AUTH_SOCK. Start one (eval $(ssh-agent); ssh-add), or "
            "name a private key file."
        ) from None
