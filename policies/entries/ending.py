"""Entries of a change's end: confirmed, registered, promoted, closed."""

from typing import Literal

from pydantic import Field

from policies.entries.body import Body
from policies.rules.verdict import Verdict
from policies.schema import Digest, Name, Text

Outcome = Literal[
    "promoted", "refused", "rejected", "expired", "invalid_data", "nothing_to_do", "aborted"
]


class HoldoutConfirmed(Body):
    """The last approved candidate, judged once on data that nothing else has seen."""

    kind = "holdout.confirmed"
    document_fields = ("measurements", "evidence")

    passed: bool
    measurements: Digest
    evidence: Digest
    verdicts: tuple[Verdict, ...]


class ModelRegistered(Body):
    """The model is a version in the registry."""

    kind = "model.registered"
    document_fields = ("serving", "signature")

    model: Digest
    name: Name
    version: Name
    uri: Name
    """Where MLflow finds it."""
    files: dict[Name, Digest] = Field(default_factory=dict)
    """SHA-256 of every object below `uri`, by its key."""
    serving: Digest | None = None
    """The trial that loaded it in a fresh process, as serving systems do."""
    signature: Digest | None = None
    """The OpenSSF signature of the model's files, and the public key that checks it."""


class ModelPromoted(Body):
    """The alias points to it."""

    kind = "model.promoted"

    model: Digest
    version: Name
    alias: Name
    previous_version: Name | None
    deciders: tuple[Name, ...]


class ChangeClosed(Body):
    """The change is over."""

    kind = "change.closed"

    outcome: Outcome
    reason: Text
