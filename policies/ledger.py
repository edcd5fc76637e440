"""The record: entries chained by digest, each in an envelope that the job's key signed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pydantic import ValidationError

from policies import dsse
from policies.canonical import canonical_bytes, digest, parse_json
from policies.entries import Body, Entry, JobKeyChanged
from policies.errors import DecisionError, LawError, VerificationError
from policies.keys import Signer, parse_public_key
from policies.schema import rfc3339

PAYLOAD_TYPE = "application/vnd.avss.ledger-entry+json"
CLOCK_TOLERANCE = timedelta(minutes=5)


@dataclass(frozen=True)
class Sealed:
    """An entry that holds, with the digest that the next entry names, and its canonical bytes."""

    entry: Entry
    digest: str
    payload: bytes


def seal(entry: Entry, signer: Signer) -> bytes:
    """The signed envelope that is stored."""
    return dsse.sign(PAYLOAD_TYPE, canonical_bytes(entry), signer)


def unseal(envelope: bytes, key: Ed25519PublicKey, sequence: int) -> Sealed:
    """Read one envelope that `key` must have signed; `sequence` is the place where it lies.

    Raises VerificationError naming that place.
    """
    try:
        opened = dsse.Envelope.parse(envelope)
    except ValueError as error:
        raise VerificationError(f"the envelope is damaged: {error}.", sequence) from None
    if opened.payload_type != PAYLOAD_TYPE:
        raise VerificationError("this is no envelope of a ledger entry.", sequence)
    if not opened.signed_by(key):
        raise VerificationError("the signature is not the job key's.", sequence)
    sealed = _sealed(opened.payload, sequence)
    if not _spells(sealed.entry, opened.payload):
        raise VerificationError("the entry has values in an unusual spelling.", sequence)
    return sealed


def _sealed(payload: bytes, sequence: int) -> Sealed:
    try:
        entry = Entry.model_validate(parse_json(payload))
    except ValidationError as error:
        places = {".".join(map(str, fault["loc"])) for fault in error.errors()}
        raise VerificationError(
            f"the entry is not of a known form: {', '.join(sorted(places))}.", sequence
        ) from None
    except ValueError as error:
        raise VerificationError(f"the entry is damaged: {error}.", sequence) from None
    return Sealed(entry, digest(payload), payload)


def _spells(entry: Entry, payload: bytes) -> bool:
    """Whether the payload is the entry's one byte form.

    Fields that it leaves out stay out: an entry that was written before a field was thought of
    keeps its digest.
    """
    try:
        return canonical_bytes(entry.model_dump(mode="json", exclude_unset=True)) == payload
    except LawError:
        return False


class Chain:
    """Follows a line's record entry by entry; `sealed` holds what was verified.

    `key` is the one that signed the line's first entry. Entries may hand over to another key;
    `self.key` is the one that must sign next, `self.keys` are all so far.
    """

    def __init__(self, line: str, key: Ed25519PublicKey) -> None:
        self.line = line
        self.key = key
        self.keys = [key]
        self.sealed: list[Sealed] = []

    def follow(self, envelope: bytes) -> Entry:
        """Verify the next envelope. Raises VerificationError naming its sequence."""
        expected = len(self.sealed)
        sealed = unseal(envelope, self.key, expected)
        self._take(sealed, expected)
        if isinstance(sealed.entry.body, JobKeyChanged):
            self._change_key(sealed.entry.body, expected)
        return sealed.entry

    def resume(self, kept: Sequence[bytes], fetch: Callable[[int], bytes]) -> None:
        """Go on after payloads that were kept somewhere nobody needs to trust.

        The last one is fetched with its signature, which covers the digest of the one before, and
        so on down to the first: no other bytes can stand in their places. Those that hand over to
        another key are fetched as well, so it is known whose signature must be on the last. It
        leaves unseen whether the other entries still lie in the store as they once did.

        Args:
            kept: canonical bytes of the entries from the first on.
            fetch: the stored envelope of a sequence.

        Raises:
            VerificationError: they are not the beginning of this record. Begin a new chain.
        """
        for sequence, payload in enumerate(kept):
            sealed = _sealed(payload, sequence)
            if sequence + 1 < len(kept) and not isinstance(sealed.entry.body, JobKeyChanged):
                self._take(sealed, sequence)
                continue
            self.follow(fetch(sequence))
            if self.sealed[sequence].digest != sealed.digest:
                raise VerificationError("another entry was kept than lies in the store.", sequence)

    def _take(self, sealed: Sealed, expected: int) -> None:
        self._check_place(sealed.entry, expected)
        self.sealed.append(sealed)

    def draft(self, body: Body, *, change: str | None, time: datetime) -> Entry:
        """The entry that may follow next; seal it, store it, then `follow` what was stored.

        The time never goes back: a clock that is behind by less than `CLOCK_TOLERANCE` takes the
        last entry's time. Raises LawError where it is behind by more.
        """
        last = self.sealed[-1] if self.sealed else None
        if last is not None and time < last.entry.time:
            if last.entry.time - time > CLOCK_TOLERANCE:
                raise LawError(
                    f"This machine's clock says {rfc3339(time)}, but the ledger's last entry was "
                    f"written at {rfc3339(last.entry.time)}. Set the clock right."
                )
            time = last.entry.time
        return Entry(
            sequence=len(self.sealed),
            line=self.line,
            change=change,
            type=body.kind,
            time=time,
            previous=last.digest if last else None,
            body=body,
        )

    def _check_place(self, entry: Entry, expected: int) -> None:
        last = self.sealed[-1] if self.sealed else None
        if entry.sequence != expected:
            raise VerificationError(
                f"it says it is entry {entry.sequence}: entries are missing, repeated or moved.",
                expected,
            )
        if entry.line != self.line:
            raise VerificationError(f"it belongs to line {entry.line}, not {self.line}.", expected)
        if entry.previous != (last.digest if last else None):
            raise VerificationError("it does not follow the entry before it.", expected)
        if last and entry.time < last.entry.time:
            raise VerificationError("it is older than the entry before it.", expected)

    def _change_key(self, body: JobKeyChanged, sequence: int) -> None:
        try:
            self.key = parse_public_key(body.public_key)
        except DecisionError as error:
            raise VerificationError(f"the new job key is unusable: {error}", sequence) from None
        self.keys.append(self.key)


def verify_chain(
    envelopes: Iterable[bytes], *, line: str, key: Ed25519PublicKey
) -> tuple[Entry, ...]:
    """The entries of a line, in order, from its first; `key` signed the first.

    Raises VerificationError naming the first entry that does not hold.
    """
    chain = Chain(line, key)
    return tuple(chain.follow(envelope) for envelope in envelopes)
