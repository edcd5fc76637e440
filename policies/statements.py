"""Decisions as they are signed: an in-toto Statement v1 in a DSSE envelope.

Its subjects are the evidence and the candidate; its predicate says all else that is bound.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from policies import dsse
from policies.canonical import canonical_bytes, parse_canonical
from policies.entries import Decided
from policies.errors import DecisionError
from policies.keys import Signer
from policies.schema import Asked, ChangeId, Digest, Frozen, LineName, Name, Text, Time

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:avss:decision:v1"
LARGEST = 65_536


class Subject(Frozen):
    """What a decision is about; a signature covers all of it."""

    line: LineName
    change: ChangeId
    step: Asked
    evidence: Digest
    candidate: Digest
    policy: Digest
    override: bool = False
    """Whether the rules refused the candidate, so that approving means overriding them."""


class Decision(Frozen):
    """What one person says of a subject."""

    subject: Subject
    decision: Decided
    """`withdraw` takes an approval back while the request is open."""
    reason: Text
    approver: Name
    time: Time
    expires: Time
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Sha256(Frozen):
    sha256: Digest


class _Resource(Frozen):
    name: Literal["evidence", "candidate"]
    digest: _Sha256


class _Predicate(Frozen):
    line: LineName
    change: ChangeId
    step: Asked
    policy: Digest
    override: bool
    decision: Decided
    reason: Text
    approver: Name
    time: Time
    expires: Time
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Statement(Frozen):
    type: Annotated[Literal["https://in-toto.io/Statement/v1"], Field(alias="_type")]
    subject: tuple[_Resource, _Resource]
    predicateType: Literal["urn:avss:decision:v1"]  # noqa: N815  # in-toto's spelling
    predicate: _Predicate


def sign_decision(decision: Decision, signer: Signer) -> bytes:
    """The envelope that an approver drops into `approvals/`."""
    subject = decision.subject
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": "evidence", "digest": {"sha256": subject.evidence}},
            {"name": "candidate", "digest": {"sha256": subject.candidate}},
        ],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            **subject.model_dump(mode="json", exclude={"evidence", "candidate"}),
            **decision.model_dump(mode="json", exclude={"subject"}),
        },
    }
    return dsse.sign(PAYLOAD_TYPE, canonical_bytes(statement), signer)


def read_decision(envelope: bytes) -> tuple[Decision, dsse.Envelope]:
    """What an envelope claims, before anybody's signature is checked.

    Raises DecisionError (fault `unreadable`), never with any of the content.
    """
    try:
        if len(envelope) > LARGEST:
            raise ValueError("larger than any decision")
        opened = dsse.Envelope.parse(envelope)
        if opened.payload_type != PAYLOAD_TYPE:
            raise ValueError("not an in-toto statement")
        statement = _Statement.model_validate(parse_canonical(opened.payload))
        evidence, candidate = statement.subject
        if (evidence.name, candidate.name) != ("evidence", "candidate"):
            raise ValueError("expected the subjects evidence and candidate")
    except ValidationError:
        raise DecisionError("This statement is not a decision of ours.", "unreadable") from None
    except ValueError as error:
        raise DecisionError(f"This is no signed decision: {error}.", "unreadable") from None
    said = statement.predicate
    subject = Subject(
        evidence=evidence.digest.sha256,
        candidate=candidate.digest.sha256,
        **said.model_dump(include={"line", "change", "step", "policy", "override"}),
    )
    kept = {"decision", "reason", "approver", "time", "expires", "nonce"}
    return Decision(subject=subject, **said.model_dump(include=kept)), opened
