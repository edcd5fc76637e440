"""Verifying an evidence pack: offline, with public keys only, from the first entry to the last."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from policies.checkpoints import Checkpoint, check_history, open_checkpoint
from policies.errors import DecisionError, VerificationError
from policies.findings import checked, not_established, notices
from policies.keys import fingerprint, parse_public_key
from policies.ledger import CLOCK_TOLERANCE, Chain
from policies.pack import (
    CHECKPOINT,
    JOB_KEY,
    check_files,
    check_places,
    ledger_path,
    open_manifest,
    read_pack,
)
from policies.rejudging import Rejudge
from policies.schema import rfc3339


@dataclass(frozen=True)
class Report:
    """What was verified, in sentences; a pack that does not hold has no report but an error."""

    line: str
    change: str
    outcome: str
    """How the change ended, or `open`."""
    entries: int
    job_key: str
    """Fingerprint of the key that signed the first entry."""
    checked: tuple[str, ...]
    notices: tuple[str, ...]
    """Lawful, but worth a look: overrides, faults, changed rosters and keys."""
    not_established: tuple[str, ...]
    """What the pack alone cannot show, and what to bring for it."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


Progress = Callable[[int, int], None]
"""Called with the number of entries that were verified, and of all."""


def verify_folder(
    folder: Path,
    *,
    job_key: str | None = None,
    earlier: bytes | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify a pack in a folder; see `verify_pack`."""
    return verify_pack(read_pack(folder), job_key=job_key, earlier=earlier, progress=progress)


def verify_pack(
    files: Mapping[str, bytes],
    *,
    job_key: str | None = None,
    earlier: bytes | None = None,
    progress: Progress | None = None,
) -> Report:
    """Verify a pack by its files.

    Args:
        files: content by path.
        job_key: the key that must have signed the line's first entry, known from elsewhere: an
            OpenSSH public key line or its fingerprint (`SHA256:...`).
        earlier: a checkpoint of the line that was kept from before.
        progress: told how many entries were verified.

    Raises:
        VerificationError: the pack does not hold; the message names the first bad entry or file,
            and says what is wrong.
    """
    manifest, envelope = open_manifest(files)
    check_files(files, manifest)
    key = _first_key(files, job_key)
    chain, judge = _walk(files, manifest.line, manifest.change, key, progress)
    if not chain.sealed:
        raise VerificationError("The pack holds no entry of the record.")
    if not envelope.signed_by(chain.key):
        raise VerificationError("The manifest is not signed by the job's key.")
    _check_checkpoints(files, chain, earlier)
    last = chain.sealed[-1].entry.time
    if manifest.time + CLOCK_TOLERANCE < last:
        raise VerificationError(
            f"The pack says it was made at {rfc3339(manifest.time)}, before its last entry.",
            len(chain.sealed) - 1,
        )
    change = judge.state.find(manifest.change)
    if change is None:
        raise VerificationError(f"The record has no change {manifest.change}.")
    check_places(files, len(chain.sealed), judge.documents)
    over = [one for one in judge.state.closed if one.change.id == change.id]
    return Report(
        line=manifest.line,
        change=change.id,
        outcome=over[0].outcome if over else "open",
        entries=len(chain.sealed),
        job_key=fingerprint(key),
        checked=checked(len(chain.sealed), len(files), judge),
        notices=notices(change, [sealed.entry for sealed in chain.sealed]),
        not_established=not_established(change, pinned=bool(job_key), kept=earlier is not None),
    )


def _walk(
    files: Mapping[str, bytes],
    line: str,
    change: str,
    key: Ed25519PublicKey,
    progress: Progress | None,
) -> tuple[Chain, Rejudge]:
    """Follow the chain and judge it again, so that the first bad entry is the one that is named."""
    chain, judge = Chain(line, key), Rejudge(change, files)
    count = sum(path.startswith("ledger/") for path in files)
    for sequence in range(count):
        envelope = files.get(ledger_path(sequence))
        if envelope is None:
            raise VerificationError("it is missing.", sequence)
        judge.follow(chain.follow(envelope))
        if progress is not None:
            progress(sequence + 1, count)
    return chain, judge


def _first_key(files: Mapping[str, bytes], pinned: str | None) -> Ed25519PublicKey:
    try:
        key = parse_public_key(files.get(JOB_KEY, b"").decode("ascii"))
    except (DecisionError, UnicodeDecodeError):
        raise VerificationError(f"{JOB_KEY} is missing or is no public key.") from None
    if pinned is not None and fingerprint(key) != _fingerprint(pinned):
        raise VerificationError(
            f"The pack is signed by the key {fingerprint(key)}, not by the one you expect.", 0
        )
    return key


def _fingerprint(pinned: str) -> str:
    text = pinned.strip()
    return text if text.startswith("SHA256:") else fingerprint(parse_public_key(text))


def _check_checkpoints(files: Mapping[str, bytes], chain: Chain, earlier: bytes | None) -> None:
    digests = [sealed.digest for sealed in chain.sealed]
    own = open_checkpoint(files.get(CHECKPOINT, b""), chain.line, [chain.key])
    if own != Checkpoint.over(chain.line, digests):
        raise VerificationError("The pack's checkpoint is of another record.")
    if earlier is not None:
        check_history(open_checkpoint(earlier, chain.line, chain.keys), digests)
