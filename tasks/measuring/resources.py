"""From a profile (tokens a second, bytes) to the ratios that the rules read (seconds, shares)."""

from avss.profiling.profile import Profile
from policies.measurements import Measured, Ratio, ResourceFacts

_NO_PRICE = "the run names no price of a machine"


def resource_facts(profile: Profile) -> ResourceFacts:
    """What the candidate needs, as ratios candidate / base."""
    size, base = profile.size, profile.base_size
    if base is None:
        raise ValueError("a profile without a base has no ratios")
    return ResourceFacts(
        parameters=_share(size.parameters, base.parameters),
        bytes_on_disk=_share(size.bytes_on_disk, base.bytes_on_disk),
        kv_bytes_per_token=_share(size.kv_bytes_per_token, base.kv_bytes_per_token),
        prefill_seconds=_seconds(profile, "prefill_tokens_per_second"),
        decode_seconds=_seconds(profile, "decode_tokens_per_second"),
        money_per_month=_money(profile),
    )


def unmeasured_resources(reason: str) -> ResourceFacts:
    """The same where a model cannot be profiled."""
    missing, no_ratio = Measured(value=None, reason=reason), Ratio(value=None, reason=reason)
    return ResourceFacts(
        parameters=missing,
        bytes_on_disk=missing,
        kv_bytes_per_token=missing,
        prefill_seconds=no_ratio,
        decode_seconds=no_ratio,
        money_per_month=missing,
    )


def _share(part: int, whole: int) -> Measured:
    if whole == 0:
        return Measured(value=None, reason="the base has none")
    return Measured(value=part / whole)


def _seconds(profile: Profile, name: str) -> Ratio:
    """A ratio of speeds turned round: slower is above 1, and the low limit becomes the high one."""
    speed = next(one for one in profile.speeds if one.name == name)
    if not speed.ratio:
        return Ratio(value=None, reason="the base was not measured beside it")
    high = 1 / speed.ratio_low if speed.ratio_low else None
    reason = "" if high else f"{profile.repeats} repeats are too few for a limit"
    return Ratio(value=1 / speed.ratio, high=high, reason=reason)


def _money(profile: Profile) -> Measured:
    cost = profile.cost
    if cost is None or not cost.base_cost_per_month:
        return Measured(value=None, reason=_NO_PRICE)
    return Measured(value=cost.cost_per_month / cost.base_cost_per_month)
