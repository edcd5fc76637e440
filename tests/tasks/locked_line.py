"""A line in the locked bucket, and copies of it wherever an attacker likes."""

import base64
import json
from datetime import timedelta
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.canonical import canonical_bytes
from policies.entries import ChangeOpened, FaultRecorded
from policies.ledger import Chain, seal
from tasks import clock
from tasks.record.journal import Journal, Record
from tasks.record.ledger_store import LedgerStore
from tasks.s3.client import new_client
from tasks.s3.storage import ObjectStore

LOCKED = timedelta(minutes=1)


def key_of(name):
    return Ed25519PrivateKey.from_private_bytes(sha256(name.encode()).digest())


OTHER = "0" * 64


OPENED = ChangeOpened(
    requester="erin",
    base_model=OTHER,
    original_layers=4,
    kept_layers=(0, 1, 2, 3),
    policy=OTHER,
    kpis=OTHER,
    roster=OTHER,
    run=OTHER,
    environment=OTHER,
)


def said(what):
    return FaultRecorded(stage="test", error="Error", message=what)


class Line:
    """A line of six entries in the locked bucket, and copies of it wherever an attacker likes."""

    def __init__(self, s3):
        self.s3, self.name, self.key = s3, s3.unique, key_of("job")
        self.store = LedgerStore(s3.names.ledger)
        self.journal = self.open(self.key)
        self.change = f"{self.name}-0001"
        self.journal.append(OPENED, self.change, lambda *_: None)
        for number in range(1, 6):
            self.append(f"entry {number}")
        self.envelopes = self.journal.reread()

    def open(self, key):
        return Journal(self.store, self.name, self.key.public_key(), key, LOCKED)

    def look(self, kept):
        """As a run of a machine that keeps entries."""
        return Record(self.store, self.name, self.key.public_key(), kept)

    def append(self, what, journal=None):
        return (journal or self.journal).append(said(what), self.change, lambda *_: None)

    def where(self, sequence):
        key = f"ledger/{self.name}/{sequence:012d}.json"
        return {"Bucket": self.s3.names.ledger, "Key": key}

    def read(self):
        return Record(self.store, self.name, self.key.public_key())

    def read_copy(self, envelopes):
        """A record that an attacker laid into a store of their own."""
        bucket = f"copy-{self.name}-{sha256(b''.join(envelopes)).hexdigest()[:8]}"
        new_client().create_bucket(Bucket=bucket)
        copy = ObjectStore(bucket, "ledger")
        for sequence, envelope in enumerate(envelopes):
            copy.put(f"{self.name}/{sequence:012d}.json", envelope)
        return Record(LedgerStore(bucket), self.name, self.key.public_key())


def edited(envelope):
    content = json.loads(envelope)
    payload = base64.b64decode(content["payload"]).replace(b"entry", b"ENTRY")
    return canonical_bytes({**content, "payload": base64.b64encode(payload).decode()})


def rewritten(line, start):
    """Another history from `start` on, with the job's own key."""
    chain = Chain(line.name, line.key.public_key())
    envelopes = line.envelopes[:start]
    for envelope in envelopes:
        chain.follow(envelope)
    for number in range(start, 8):
        entry = chain.draft(said(f"other {number}"), change=line.change, time=clock.now())
        envelopes.append(seal(entry, line.key))
        chain.follow(envelopes[-1])
    return envelopes
