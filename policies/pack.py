"""The evidence pack: a folder that says, to whoever holds it, what was changed and by whose word.

manifest.json            digest of every other file, signed by the job's key
ledger/<sequence>.json   the line's record from its first entry, as it was stored
evidence/<digest>        every document that the change's entries and evidence name
keys/job.pub             the public key that signed the line's first entry
checkpoint               size and root of the record (c2sp.org/tlog-checkpoint)
extra/...                pages for people; covered by the manifest, not otherwise checked
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from policies import dsse
from policies.canonical import canonical_bytes, digest, parse_canonical
from policies.checkpoints import Checkpoint
from policies.entries import CandidateJudged, Entry, HoldoutConfirmed
from policies.errors import PolicyError, VerificationError
from policies.evidence import StepEvidence
from policies.keys import Signer, public_line
from policies.ledger import Chain
from policies.schema import ChangeId, Digest, Frozen, LineName, Time, plain

PAYLOAD_TYPE = "application/vnd.avss.evidence-pack+json"
MANIFEST = "manifest.json"
JOB_KEY = "keys/job.pub"
CHECKPOINT = "checkpoint"
EXTRA = "extra/"
LARGEST = 2_000_000_000
"""Bytes that all files of a pack may have; they are read into memory."""


class PackManifest(Frozen):
    """What the pack holds, and of which change."""

    format: Literal["avss-pack-1"] = "avss-pack-1"
    line: LineName
    change: ChangeId
    time: Time
    files: dict[Annotated[str, Field(max_length=500)], Digest]
    """Path -> SHA-256 of every file but this one."""


def ledger_path(sequence: int) -> str:
    """Where an entry lies in the pack."""
    return f"ledger/{sequence:012d}.json"


def evidence_path(name: str) -> str:
    """Where a document lies in the pack, by its digest."""
    return f"evidence/{name}"


def parse_evidence(content: bytes) -> StepEvidence:
    """The evidence of a decision. Raises ValueError where it is damaged."""
    return StepEvidence.model_validate(parse_canonical(content))


def documents_of(
    entries: Sequence[Entry], change: str, fetch: Callable[[str], bytes]
) -> Iterator[str]:
    """Digests of all documents that a change rests on: its entries' and its evidence's.

    `fetch` gives a document's content by its digest.
    """
    for entry in entries:
        if entry.change != change:
            continue
        yield from entry.body.documents
        if isinstance(entry.body, CandidateJudged | HoldoutConfirmed):
            yield from parse_evidence(fetch(entry.body.evidence)).documents.values()


def assemble(
    chain: Chain,
    envelopes: Sequence[bytes],
    change: str,
    *,
    fetch: Callable[[str], bytes],
    signer: Signer,
    time: datetime,
    extra: Mapping[str, bytes],
) -> dict[str, bytes]:
    """All files of a pack by their paths.

    `chain` has followed exactly these envelopes; `signer` is the job's key now in force; paths in
    `extra` are relative to `extra/`. Raises PolicyError where the key is another, or where the line
    has no such change.
    """
    if public_line(signer.public_key()) != public_line(chain.key):
        raise PolicyError("The job's key is not the one in force; see: avss job-key show LINE")
    entries = [sealed.entry for sealed in chain.sealed]
    if not any(entry.change == change for entry in entries):
        raise PolicyError(f"Line {chain.line} has no change {change}.")
    files = {ledger_path(at): envelope for at, envelope in enumerate(envelopes)}
    files |= {evidence_path(one): fetch(one) for one in documents_of(entries, change, fetch)}
    files[JOB_KEY] = f"{public_line(chain.keys[0])}\n".encode("ascii")
    digests = [sealed.digest for sealed in chain.sealed]
    files[CHECKPOINT] = Checkpoint.over(chain.line, digests).sign(signer)
    files |= {f"{EXTRA}{path}": content for path, content in extra.items()}
    manifest = PackManifest(
        line=chain.line,
        change=change,
        time=time,
        files={path: digest(content) for path, content in files.items()},
    )
    files[MANIFEST] = dsse.sign(PAYLOAD_TYPE, canonical_bytes(manifest), signer)
    return files


def read_pack(folder: Path) -> dict[str, bytes]:
    """All files of a pack folder by their paths.

    Raises VerificationError where it holds links, what is no file, or more than any pack does;
    PolicyError where there is no such folder, or a file in it may not be read.
    """
    if not folder.is_dir():
        raise PolicyError(f"{folder} is not a folder: expected an evidence pack.")
    try:
        return _read_files(folder)
    except OSError as error:
        raise PolicyError(f"{error.filename}: {error.strerror}. Make it readable.") from None


def _read_files(folder: Path) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    room = LARGEST
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise VerificationError(f"{plain(name)} is a link or no plain file; a pack has none.")
        if path.is_file():
            room -= path.stat().st_size
            if room < 0:
                raise VerificationError(
                    f"With {plain(name)} the pack is larger than {LARGEST:,} bytes; none is."
                )
            files[name] = path.read_bytes()
    return files


def open_manifest(files: Mapping[str, bytes]) -> tuple[PackManifest, dsse.Envelope]:
    """The manifest and its envelope, whose signature is still to be checked.

    Raises VerificationError where there is none, or it cannot be read.
    """
    content = files.get(MANIFEST)
    if content is None:
        raise VerificationError(f"There is no {MANIFEST}: this is no evidence pack.")
    try:
        envelope = dsse.Envelope.parse(content)
        if envelope.payload_type != PAYLOAD_TYPE:
            raise ValueError("it is signed as something else")
        manifest = PackManifest.model_validate(parse_canonical(envelope.payload))
    except ValidationError:
        raise VerificationError(f"{MANIFEST} is not of a known form.") from None
    except ValueError as error:
        raise VerificationError(f"{MANIFEST} is damaged: {error}.") from None
    return manifest, envelope


def check_files(files: Mapping[str, bytes], manifest: PackManifest) -> None:
    """Raise VerificationError where a file is altered, missing, or not in the manifest."""
    for path in sorted(manifest.files.keys() | (files.keys() - {MANIFEST})):
        name = plain(path)
        if path not in files:
            raise VerificationError(f"{name} is missing from the pack.", _sequence(path))
        if path not in manifest.files:
            raise VerificationError(f"{name} was added to the pack.", _sequence(path))
        if digest(files[path]) != manifest.files[path]:
            raise VerificationError(f"{name} was altered.", _sequence(path))


def check_places(files: Mapping[str, bytes], entries: int, documents: Collection[str]) -> None:
    """Raise VerificationError where the pack holds what neither the record nor a reader needs."""
    expected = {MANIFEST, JOB_KEY, CHECKPOINT}
    expected |= {ledger_path(sequence) for sequence in range(entries)}
    expected |= {evidence_path(name) for name in documents}
    for path in sorted(files.keys() - expected):
        if not path.startswith(EXTRA):
            raise VerificationError(f"{plain(path)} is nothing that the record names.")


def _sequence(path: str) -> int | None:
    """The entry that a ledger path is about."""
    number = path.removeprefix("ledger/").removesuffix(".json")
    return int(number) if number.isdecimal() and ledger_path(int(number)) == path else None
