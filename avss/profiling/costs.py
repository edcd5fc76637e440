"""What speed is worth: from tokens a second to money a month, assumptions beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from avss.errors import InputError

SECONDS_PER_HOUR = 3600


class Speed(Protocol):
    """A measured speed (tokens/s), and its paired ratio to the base's."""

    @property
    def value(self) -> float: ...
    @property
    def ratio(self) -> float | None: ...


@dataclass(frozen=True)
class Cost:
    """Machine hours and money a month; savings are None without a base."""

    currency: str
    hours_per_month: float
    cost_per_month: float
    base_cost_per_month: float | None
    savings_per_month: float | None
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class CostModel:
    """Price of one machine an hour, and tokens a month that it reads and writes."""

    price_per_hour: float
    currency: str
    prompt_tokens_per_month: float
    generated_tokens_per_month: float

    def __post_init__(self) -> None:
        amounts = (
            self.price_per_hour,
            self.prompt_tokens_per_month,
            self.generated_tokens_per_month,
        )
        if not all(0 <= amount < float("inf") for amount in amounts):
            raise InputError("Cost model: expected a price and tokens a month of 0 or more.")
        if self.prompt_tokens_per_month + self.generated_tokens_per_month == 0:
            raise InputError("Cost model: give the tokens a month that are read or written.")

    def of(self, speeds: Mapping[str, Speed]) -> Cost:
        """The cost at the speeds `prefill_tokens_per_second` and `batched_decode_...`."""
        prefill = speeds["prefill_tokens_per_second"]
        decode = speeds["batched_decode_tokens_per_second"]
        hours = self._hours(prefill.value, decode.value)
        base = None
        if prefill.ratio is not None and decode.ratio is not None:
            slower = prefill.value / prefill.ratio, decode.value / decode.ratio
            base = self._hours(*slower) * self.price_per_hour
        cost = hours * self.price_per_hour
        return Cost(
            currency=self.currency,
            hours_per_month=hours,
            cost_per_month=cost,
            base_cost_per_month=base,
            savings_per_month=None if base is None else base - cost,
            assumptions=(
                f"{self.price_per_hour:g} {self.currency} for one machine like this one an hour",
                f"{self.prompt_tokens_per_month:g} prompt tokens a month, read at batch 1",
                f"{self.generated_tokens_per_month:g} generated tokens a month, at the batch size "
                "of this profile",
                "every busy second is paid and no idle one; hours fall in proportion to speed",
            ),
        )

    def _hours(self, prefill: float, decode: float) -> float:
        seconds = self.prompt_tokens_per_month / prefill + self.generated_tokens_per_month / decode
        return seconds / SECONDS_PER_HOUR
