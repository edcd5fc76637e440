"""Every error of this room.

LawError                            1  a value that the record cannot hold, a clock that went back
├── PolicyError                     2  a policy, roster or run whose values cannot be used
├── DecisionError                   2  a key or decision that cannot be used; `fault` says which
└── VerificationError               5  a record that does not hold; `sequence` names the entry
    └── UnlawfulTransitionError     5  an entry that may not follow the ones before it
"""

from typing import ClassVar


class LawError(Exception):
    """A fault in this package or its use; the base of all its errors."""

    exit_code: ClassVar[int] = 1


class PolicyError(LawError):
    """A policy or roster that cannot be used; the message names file, field and what to do."""

    exit_code: ClassVar[int] = 2


class DecisionError(LawError):
    """A key or a decision that cannot be used. `fault` is a short code that records keep."""

    exit_code: ClassVar[int] = 2

    def __init__(self, message: str, fault: str = "unusable") -> None:
        super().__init__(message)
        self.fault = fault


class VerificationError(LawError):
    """A record that does not hold. `sequence` is the first bad entry, where one is to blame."""

    exit_code: ClassVar[int] = 5

    def __init__(self, message: str, sequence: int | None = None) -> None:
        super().__init__(message if sequence is None else f"Entry {sequence}: {message}")
        self.sequence = sequence


class UnlawfulTransitionError(VerificationError):
    """An entry that may not follow the ones before it."""
