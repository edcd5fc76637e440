"""Every error of this room.

AvssError                          1  a fault of ours
├── InputError                     2  a model, text or option that cannot be used as it is
│   ├── NoRecordError          2  records of which a KPI can use none
│   └── UnsupportedArchitectureError  2  a model that cannot be scored or cut exactly
└── ProofError                     5  a cut that is not the same model minus the layers
"""

from collections.abc import Mapping
from typing import ClassVar


class AvssError(Exception):
    """A fault in this package; the base of all its errors."""

    exit_code: ClassVar[int] = 1


class InputError(AvssError):
    """Something given cannot be used; the message says what was expected and what to do."""

    exit_code: ClassVar[int] = 2


class NoRecordError(InputError):
    """A KPI can use none of the records; `left_out` counts them by reason."""

    def __init__(self, kpi: str, left_out: Mapping[str, int]) -> None:
        reasons = "; ".join(f"{reason}: {count}" for reason, count in left_out.items())
        super().__init__(
            f"KPI {kpi}: no record can be used ({reasons or 'there are none'}). "
            "Check the KPI's fields and labels against the data."
        )
        self.left_out = left_out


class UnsupportedArchitectureError(InputError):
    """The model's layers cannot be scored, or not removed exactly; the message says why."""


class ProofError(AvssError):
    """A saved model does not compute what the model in memory computes."""

    exit_code: ClassVar[int] = 5
