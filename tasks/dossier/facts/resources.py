"""What the candidate saves: bytes, time, money."""

from tasks.dossier.facts.base import Facts, Number


class ProfileFact(Facts):
    """A resource, base against candidate. `name` is one of the catalogue's `resource.*` texts."""

    name: str
    base: Number | None = None
    after: Number | None = None
    ratio: Number | None = None
    ratio_low: Number | None = None
    ratio_high: Number | None = None


class CostFact(Facts):
    """Money a month; `currency` is an ISO 4217 code, `assumptions` are sentences of the profile."""

    currency: str
    base_month: Number | None = None
    after_month: Number | None = None
    saved_month: Number | None = None
    hours_month: Number | None = None
    price_hour: Number | None = None
    assumptions: tuple[str, ...] = ()
