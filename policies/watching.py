"""Watching the model in use: what is measured on fresh data, and what the policy says of it."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Literal

from policies.canonical import parse_canonical
from policies.measurements import DataFacts, DriftFacts, Measured, Reason
from policies.policy import Policy
from policies.rules.drift import limit_of
from policies.rules.verdict import Verdict, Verdicts
from policies.schema import ChangeId, Count, Digest, Frozen, Name


class WatchedKpi(Frozen):
    """One metric of the model in use on fresh data."""

    name: Name
    n: Count
    value: float | None
    base_value: float | None
    retention: Measured
    """Of the base, both measured on this data."""
    retention_low: float | None
    """Its one-sided lower confidence limit."""
    promised: Measured
    """The retention that its promotion rests on."""

    @property
    def of_promised(self) -> Measured:
        """Retention now / retention then."""
        now, then = self.retention, self.promised
        if now.value is None or not then.value:
            return Measured(value=None, reason=now.reason or then.reason or "nothing was promised")
        return Measured(value=now.value / then.value)


class WatchFacts(Frozen):
    """Everything that one check measured. No text, no single record."""

    format: Literal["avss-watch-1"] = "avss-watch-1"
    change: ChangeId
    """The change that made the model."""
    model: Digest
    base_model: Digest
    sampled: Count
    """Records that the KPIs were measured on."""
    data: DataFacts
    data_drift: DriftFacts
    kpis: tuple[WatchedKpi, ...]
    notes: tuple[Reason, ...] = ()


def parse_watch(content: bytes) -> WatchFacts:
    """The facts of a check. Raises ValueError where they are damaged."""
    return WatchFacts.model_validate(parse_canonical(content))


class WatchRule(Verdicts):
    """One requirement on the model in use: a pure function from facts to verdicts."""

    @abstractmethod
    def watch(self, facts: WatchFacts, policy: Policy) -> Iterator[Verdict]:
        """The verdicts; none where the policy does not require anything."""

    @abstractmethod
    def explain(self, policy: Policy) -> Iterator[str]:
        """The same requirement in plain sentences."""


class FreshData(WatchRule):
    """Fresh data keeps the contract and looks like the data of the promotion."""

    name = "fresh_data"
    reads = ("monitoring.on_bad_data",)

    def watch(self, facts: WatchFacts, policy: Policy) -> Iterator[Verdict]:
        conduct = policy.monitoring.on_bad_data
        told = "; ".join(facts.data.failures) or ("kept" if facts.data.passed else "broken")
        kept = self.found(policy.data.suite, bool(facts.data.passed), told[:4000])
        yield _told(kept, conduct)
        for check in facts.data_drift.checks:
            limit = limit_of(check, policy.drift.data)
            if limit is None or check.distance is None:
                yield _told(self.cannot_tell(check.name, limit, check.reason), "tell")
            else:
                seen = max(limit, check.noise or 0.0)
                yield _told(self.at_most(check.name, check.distance, seen, check.reason), conduct)

    def explain(self, policy: Policy) -> Iterator[str]:
        alarm = policy.monitoring.on_bad_data == "alarm"
        does = "opens an incident" if alarm else "is told, and opens no incident by itself"
        yield f"Fresh data that breaks its contract or has drifted {does}."


class KeptInUse(WatchRule):
    """On fresh data the model keeps enough of the base's KPIs, and of what was promised."""

    name = "kept_in_use"
    reads = ("monitoring.min_retention", "monitoring.min_of_promised", "monitoring.unsure")

    def watch(self, facts: WatchFacts, policy: Policy) -> Iterator[Verdict]:
        asked = policy.monitoring
        if not facts.kpis:
            why = "; ".join(facts.notes)[:3900]
            yield _told(self.cannot_tell("KPIs", asked.min_retention, why), asked.unsure)
        for kpi in facts.kpis:
            if policy.gate_of(kpi.name).report_only:
                continue
            for subject, seen, limit in (
                (kpi.name, kpi.retention, asked.min_retention),
                (f"{kpi.name}, of what was promised", kpi.of_promised, asked.min_of_promised),
            ):
                if limit is not None:
                    verdict = self.at_least(subject, seen.value, limit, seen.reason)
                    yield verdict if seen.value is not None else _told(verdict, asked.unsure)

    def explain(self, policy: Policy) -> Iterator[str]:
        asked = policy.monitoring
        promised = (
            ""
            if asked.min_of_promised is None
            else f", and {asked.min_of_promised:.0%} of the retention that it was promoted with"
        )
        yield (
            f"In use, the model must keep {asked.min_retention:.0%} of the base's KPIs on up to "
            f"{asked.sample:,} fresh records{promised}."
        )
        alarm = asked.unsure == "alarm"
        yield f"A KPI that cannot be measured there {'opens an incident' if alarm else 'is told'}."


WATCH_RULES: tuple[WatchRule, ...] = (FreshData(), KeptInUse())


def judge_watch(facts: WatchFacts, policy: Policy) -> tuple[Verdict, ...]:
    """Every verdict on the model in use, in the order of the rules."""
    return tuple(verdict for rule in WATCH_RULES for verdict in rule.watch(facts, policy))


def explain_watch(policy: Policy) -> Iterator[str]:
    """What the policy requires of the model in use, and what follows where it is not met."""
    for rule in WATCH_RULES:
        yield from rule.explain(policy)
    yield {
        "tell": "An incident is recorded and told; people decide what to do.",
        "ask": "An incident asks for a decision to roll back to the version before.",
        "rollback": "An incident rolls back to the version before without asking again: whoever "
        "approves a promotion under this policy agrees to that beforehand.",
    }[policy.monitoring.on_breach]


def _told(verdict: Verdict, conduct: str) -> Verdict:
    """A failure that the policy only wants told passes, and says so."""
    if verdict.passed or conduct != "tell":
        return verdict
    reason = "; ".join(filter(None, (verdict.reason, "told, no incident")))
    return verdict.model_copy(update={"passed": True, "reason": reason[:4000]})
