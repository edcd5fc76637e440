"""Rules on the business KPIs: what is kept on all examples, on the worst slice, in a step."""

from collections.abc import Iterator

from policies.measurements import KpiFact, Measurements
from policies.policy import DEFAULT_GATE, Policy
from policies.policy_sections import KpiGate
from policies.rules.verdict import Rule, Verdict


def judged_kpis(measurements: Measurements, policy: Policy) -> Iterator[tuple[KpiFact, KpiGate]]:
    """Every KPI that counts, with its gate."""
    for fact in measurements.kpis:
        gate = policy.gate_of(fact.name)
        if not gate.report_only:
            yield fact, gate


def _gates(policy: Policy) -> Iterator[tuple[str, KpiGate]]:
    for name, gate in policy.kpis.items():
        yield ("any other KPI" if name == DEFAULT_GATE else name), gate


class KpiRetention(Rule):
    """Every KPI is there and keeps enough of the base, at the policy's confidence."""

    name = "kpi_retention"
    reads = ("kpis.*.min_retention", "kpis.*.confidence", "kpis.*.report_only")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        judged = list(judged_kpis(measurements, policy))
        for fact, gate in judged:
            yield self._kept(fact, gate)
        measured = {fact.name for fact in measurements.kpis}
        for name in policy.required_kpis:
            if name not in measured:
                yield self.cannot_tell(name, policy.kpis[name].min_retention, "it was not measured")
        if not judged:
            yield self.cannot_tell("KPIs", None, "no KPI was measured that the policy judges")

    def _kept(self, fact: KpiFact, gate: KpiGate) -> Verdict:
        if fact.confidence < gate.confidence:
            reason = f"the limit holds at {fact.confidence:g}, asked was {gate.confidence:g}"
            return self.cannot_tell(fact.name, gate.min_retention, reason)
        needed = f"about {fact.needed_n:,} examples would tell" if fact.needed_n else ""
        reason = "; ".join(filter(None, (fact.reason, needed)))
        return self.at_least(fact.name, fact.retention_low, gate.min_retention, reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        for name, gate in _gates(policy):
            yield (
                f"{name} is reported and not judged."
                if gate.report_only
                else f"{name} keeps at least {gate.min_retention:.1%} of the base, "
                f"with {gate.confidence:.0%} confidence."
            )


class WorstSlice(Rule):
    """No group of examples loses what the average hides."""

    name = "worst_slice"
    reads = ("kpis.*.worst_slice.min_retention", "kpis.*.worst_slice.min_support")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        for fact, gate in judged_kpis(measurements, policy):
            if gate.worst_slice is not None:
                yield self._worst(
                    fact, gate.worst_slice.min_retention, gate.worst_slice.min_support
                )

    def _worst(self, fact: KpiFact, limit: float, support: int) -> Verdict:
        slices = (*fact.slices, *([fact.worst_slice] if fact.worst_slice else ()))
        if not slices and not fact.small_slices:
            return self.found(fact.name, True, "this KPI has no slices")
        supported = [one for one in slices if one.n >= support]
        if not supported:
            reason = f"no slice has {support} examples"
            return self.cannot_tell(fact.name, limit, reason)
        for one in supported:
            if one.retention_low is None:
                return self.cannot_tell(f"{fact.name} on {one.slice}"[:200], limit, one.reason)
        worst = min(supported, key=lambda one: one.retention_low or 0.0)
        subject = f"{fact.name} on {worst.slice}"[:200]
        return self.at_least(subject, worst.retention_low, limit, worst.reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        for name, gate in _gates(policy):
            if gate.worst_slice is not None and not gate.report_only:
                yield (
                    f"{name} keeps at least {gate.worst_slice.min_retention:.1%} on its worst "
                    f"slice of at least {gate.worst_slice.min_support} examples."
                )


class DropPerStep(Rule):
    """No single step takes much, even where the whole would still be allowed."""

    name = "drop_per_step"
    reads = ("kpis.*.max_drop_per_step",)
    steps_only = True

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        for fact, gate in judged_kpis(measurements, policy):
            if gate.max_drop_per_step is None:
                continue
            before, now = fact.retention_before, fact.retention
            if before.value is None or now is None:
                reason = before.reason if before.value is None else fact.reason
                yield self.cannot_tell(fact.name, gate.max_drop_per_step, reason)
            else:
                yield self.at_most(fact.name, before.value - now, gate.max_drop_per_step)

    def explain(self, policy: Policy) -> Iterator[str]:
        for name, gate in _gates(policy):
            if gate.max_drop_per_step is not None and not gate.report_only:
                yield f"{name} loses at most {gate.max_drop_per_step:.1%} in one step."


class RareCases(Rule):
    """Examples named by the business do not break; the KPI file sets their budget."""

    name = "rare_cases"
    reads = ()

    def judge(self, measurements: Measurements, _: Policy) -> Iterator[Verdict]:
        for fact in measurements.rare_cases:
            yield self.at_most(fact.kpi, fact.broken, fact.budget, fact.reason)

    def explain(self, _: Policy) -> Iterator[str]:
        yield "Of the rare cases that the KPI file names, no more may break than its budget says."
