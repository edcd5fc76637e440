"""What a candidate needs: amounts from the profile, ratios from the signed measurements."""

from __future__ import annotations

from policies.measurements import Measurements, Ratio
from tasks.dossier.facts.resources import CostFact, ProfileFact
from tasks.dossier.science import ProfileDocument, ProfileSize

SIZES = ("parameters", "bytes_on_disk", "resident_bytes", "kv_bytes_per_token")
TIMES = ("prefill_seconds", "decode_seconds")


def profile_facts(
    measurements: Measurements | None, profile: ProfileDocument | None
) -> tuple[ProfileFact, ...]:
    """Sizes, then speeds; without a profile, the ratios that the rules read."""
    sizes = (_size(name, measurements, profile) for name in SIZES)
    known = tuple(fact for fact in sizes if fact.ratio is not None or fact.after is not None)
    if profile is not None:
        return (*known, *_speeds(profile))
    return (*known, *_times(measurements)) if measurements else known


def cost_fact(profile: ProfileDocument | None) -> CostFact | None:
    """Money a month with what it assumes, where the profile has prices."""
    if profile is None or profile.cost is None:
        return None
    cost = profile.cost
    return CostFact(
        currency=cost.currency,
        base_month=cost.base_cost_per_month,
        after_month=cost.cost_per_month,
        saved_month=cost.savings_per_month,
        hours_month=cost.hours_per_month,
        price_hour=cost.cost_per_month / cost.hours_per_month if cost.hours_per_month else None,
        assumptions=cost.assumptions,
    )


def speed(measurements: Measurements | None) -> float | None:
    """How many times as fast tokens are written as by the base."""
    seconds = measurements.resources.decode_seconds.value if measurements else None
    return 1 / seconds if seconds else None


def _size(
    name: str, measurements: Measurements | None, profile: ProfileDocument | None
) -> ProfileFact:
    after = _amount(profile.size if profile else None, name)
    base = _amount(profile.base_size if profile else None, name)
    signed = getattr(measurements.resources, name, None) if measurements else None
    ratio = signed.value if signed is not None else None
    if ratio is None and base and after is not None:
        ratio = after / base
    return ProfileFact(name=name, base=base, after=after, ratio=ratio)


def _amount(size: ProfileSize | None, name: str) -> int | None:
    return getattr(size, name) if size is not None else None


def _speeds(profile: ProfileDocument) -> tuple[ProfileFact, ...]:
    return tuple(
        ProfileFact(
            name=one.name,
            base=one.base_value,
            after=one.value,
            ratio=one.ratio,
            ratio_low=one.ratio_low,
            ratio_high=one.ratio_high,
        )
        for one in profile.speeds
    )


def _times(measurements: Measurements) -> tuple[ProfileFact, ...]:
    ratios: dict[str, Ratio] = {name: getattr(measurements.resources, name) for name in TIMES}
    return tuple(
        ProfileFact(name=name, ratio=ratio.value, ratio_high=ratio.high)
        for name, ratio in ratios.items()
        if ratio.value is not None
    )
