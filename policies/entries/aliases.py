"""Entries about the version in use, moved by hand: asked for, answered, moved or left.

They belong to no open change: what is in use may be rolled back while the next change goes on.
Their `change` is the one whose version is moved away from (rollback) or to (promote).
"""

from typing import Literal

from policies.canonical import digest
from policies.entries.body import Body
from policies.entries.decisions import Answer
from policies.schema import Count, Digest, Frozen, MoveKind, Name, Ordinal, Text, Time


class Move(Frozen):
    """What people decide on when the alias is to be moved by hand; its digest is the evidence."""

    action: MoveKind
    version: Name
    """The version that is to be in use."""
    model: Digest
    from_version: Name | None
    """The version in use when it was asked."""
    from_model: Digest | None
    requester: Name
    reason: Text
    policy: Digest
    """The policy whose gate decides."""
    roster: Digest
    """Who may decide."""
    incident: Count | None = None
    """Sequence of the monitor's entry that gave the reason; null: a person asked."""


class AliasRequested(Body):
    """Somebody asks that another version be the one in use."""

    kind = "alias.requested"

    number: Ordinal
    """Of the request, from 1 for the life of the line."""
    move: Move
    evidence: Digest
    """SHA-256 of the move with line, change and number: what a decision signs."""
    expires: Time

    @property
    def documents(self) -> tuple[str, ...]:
        """The policy and the roster that decide."""
        return (self.move.policy, self.move.roster)


class AliasAnswered(Answer):
    """An answer to what was asked about the alias."""

    kind = "alias.answered"

    number: Ordinal


class AliasMoved(Body):
    """The alias points to another version."""

    kind = "alias.moved"

    number: Ordinal
    alias: Name
    version: Name
    model: Digest
    previous_version: Name | None
    """The version that a rollback would lead to from here."""
    deciders: tuple[Name, ...]
    reason: Text


class AliasKept(Body):
    """The alias stays where it is: rejected, unanswered in time, or overtaken by another move."""

    kind = "alias.kept"

    number: Ordinal
    outcome: Literal["rejected", "expired", "overtaken"]
    deciders: tuple[Name, ...]
    reason: Text


AliasBody = AliasRequested | AliasAnswered | AliasMoved | AliasKept


def move_evidence(line: str, change: str, number: int, move: Move) -> str:
    """The digest that a decision on a move signs."""
    facts = {"format": "avss-move-1", "line": line, "change": change, "number": number}
    return digest(facts | move.model_dump(mode="json"))
