"""Who is asked, under which policy, on which evidence, and what nobody knows."""

from typing import Literal

from pydantic import AwareDatetime

from tasks.dossier.facts.base import Facts, Number


class DecisionFact(Facts):
    """One person's decision as the ledger holds it."""

    approver: str
    decision: Literal["approve", "reject", "withdraw"] | None = None
    role: str = ""
    reason: str = ""
    time: AwareDatetime | None = None
    fault: str = ""


class AskFact(Facts):
    """Who asked, who must decide, by when, and who has."""

    requester: str = ""
    requested: AwareDatetime | None = None
    expires: AwareDatetime | None = None
    quorum: int | None = None
    roles: tuple[str, ...] = ()
    override: bool = False
    """Whether the rules refused what is asked about, so that approving overrides them."""
    decisions: tuple[DecisionFact, ...] = ()


class DigestFact(Facts):
    """A named SHA-256; `name` is a document's name."""

    name: str
    digest: str


class PolicyPoint(Facts):
    """One thing that the policy asks for; `kind` is one of the catalogue's `policy.*` texts."""

    kind: Literal[
        "removed",
        "protected",
        "examples",
        "kpi",
        "slice",
        "drop",
        "report_only",
        "saved_money",
        "latency",
        "approvals",
        "at_least",
    ]
    subject: str = ""
    share: Number | None = None
    confidence: Number | None = None
    count: int | None = None
    other: int | None = None


class PolicyFact(Facts):
    """The policy that judged; every point becomes a plain sentence."""

    name: str = ""
    points: tuple[PolicyPoint, ...] = ()


class LedgerFact(Facts):
    """Where in the ledger the evidence stands."""

    sequence: int
    digest: str = ""


class UnknownFact(Facts):
    """Something we do not know; `kind` is one of the catalogue's `unknown.*` texts."""

    kind: Literal[
        "cannot_tell", "small_slices", "no_limits", "not_measured", "drift", "rank", "holdout"
    ]
    subject: str = ""
    n: int | None = None
    needed: int | None = None
