"""The business data, its contract, and what drifted."""

from typing import Literal

from tasks.dossier.facts.base import Facts, Number, Outcome


class DriftFact(Facts):
    """One drift check; `kind` says what may have moved."""

    kind: Literal["data", "splits", "scores", "outputs"]
    name: str
    method: str = ""
    value: Number | None = None
    limit: Number | None = None
    outcome: Outcome | None = None
    reason: str = ""


class ExpectationFact(Facts):
    """An expectation of the data contract. Never holds a record's text."""

    name: str
    column: str = ""
    detail: str = ""


class DataFact(Facts):
    """The pinned business data and what its contract said."""

    uri: str = ""
    records: int | None = None
    splits: tuple[tuple[str, int], ...] = ()
    passed: bool | None = None
    checks: int | None = None
    failures: tuple[ExpectationFact, ...] = ()
    warnings: tuple[ExpectationFact, ...] = ()
    notes: tuple[ExpectationFact, ...] = ()
    kept: tuple[ExpectationFact, ...] = ()
    """Expectations that were met."""
