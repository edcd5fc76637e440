"""Rules on what moved: data since the last change, scores since the last step, answers."""

from collections.abc import Iterator

from policies.measurements import DriftCheckFact, Measurements
from policies.policy import Policy
from policies.policy_sections import DataDriftLimits, OutputDriftLimits
from policies.rules.verdict import Rule, Verdict

_CONDUCT = {"confidence", "on_alarm", "unsure"}
_DATA = tuple(sorted(set(DataDriftLimits.model_fields) - _CONDUCT))
_MEASURES = tuple(OutputDriftLimits.model_fields)


class DataDrift(Rule):
    """The snapshot looks like the last approved one. Chance alone is no alarm."""

    name = "data_drift"
    reads = (*(f"drift.data.{name}" for name in (*_DATA, "on_alarm", "unsure")),)

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        facts = measurements.data_drift
        if facts.against is None:
            yield self.found("snapshot", True, "there is no earlier snapshot to compare with")
        elif not facts.checks:
            yield self.cannot_tell("snapshot", None, "nothing was compared")
        for check in facts.checks:
            yield self._check(check, policy.drift.data)

    def _check(self, check: DriftCheckFact, limits: DataDriftLimits) -> Verdict:
        limit = limit_of(check, limits)
        if limit is None:
            return self.cannot_tell(check.name, None, "the policy has no limit of this name")
        noise = check.noise or 0.0
        if check.distance is None or (noise > limit and check.distance < noise):
            reason = check.reason or f"chance alone makes {noise:.3g}"
            return _told(self.cannot_tell(check.name, limit, reason), limits.unsure)
        verdict = self.at_most(check.name, check.distance, max(limit, noise), check.reason)
        return _told(verdict, limits.on_alarm)

    def explain(self, policy: Policy) -> Iterator[str]:
        limits = policy.drift.data
        named = ", ".join(f"{name} {getattr(limits, name):g}" for name in _DATA)
        yield f"The data may differ from the last approved snapshot's by at most: {named}."
        told = "is put before the approvers"
        yield f"Drift of the data {told if limits.on_alarm == 'tell' else 'ends the change'}."
        yield f"A check of drift that cannot tell {told if limits.unsure == 'tell' else 'fails'}."


def limit_of(check: DriftCheckFact, limits: DataDriftLimits) -> float | None:
    """The policy's limit for a check, by its name; `label_share` is a change of shares."""
    kind = "share_change" if check.name.endswith("_share") else check.name
    return getattr(limits, kind) if kind in _DATA else None


def _told(verdict: Verdict, conduct: str) -> Verdict:
    """A failure that the policy leaves to the approvers passes, and says so."""
    if verdict.passed or conduct != "tell":
        return verdict
    reason = "; ".join(filter(None, (verdict.reason, "the policy leaves this to the approvers")))
    return verdict.model_copy(update={"passed": True, "reason": reason})


class ScoreDrift(Rule):
    """The layers rank much as they did in the step before."""

    name = "score_drift"
    reads = (
        "drift.scores.rank_change",
        "drift.scores.lowest_change",
        "drift.scores.score_change",
    )
    steps_only = True

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        facts, limits = measurements.score_drift, policy.drift.scores
        if facts.against is None:
            first = measurements.step == 1
            reason = "there is no earlier ranking to compare with"
            yield (
                self.found("ranking", True, reason)
                if first
                else self.cannot_tell("ranking", None, "it was not compared with the step before")
            )
            return
        checks = {check.name: check for check in facts.checks}
        for name, limit in limits:
            if limit is None:
                continue
            check = checks.get(name, DriftCheckFact(name=name, distance=None))
            yield self.at_most(name, check.distance, limit, check.reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        limits = policy.drift.scores
        yield (
            "From step to step the ranking of layers may change by at most "
            f"{limits.rank_change:g} (1 - Spearman's correlation), and at most "
            f"{limits.lowest_change:.0%} of the lowest layers may be others; the first step is "
            "compared with the change whose model is in use."
        )
        if limits.score_change is not None:
            yield (
                "The scores themselves may move by at most "
                f"{limits.score_change:g} (median of |log ratio|, each over their median)."
            )


class OutputDrift(Rule):
    """Answers stay close to the base's."""

    name = "output_drift"
    reads = tuple(f"drift.outputs.{name}" for name in _MEASURES)

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        limits = {
            name: limit
            for name in _MEASURES
            if (limit := getattr(policy.drift.outputs, name)) is not None
        }
        if limits and not measurements.output_drift:
            yield self.cannot_tell("answers", None, "no KPI compared answers with the base's")
        for fact in measurements.output_drift:
            if fact.measure in limits:
                subject = f"{fact.kpi}.{fact.measure}"
                moved = fact.moved
                yield self.at_most(subject, moved.value, limits[fact.measure], moved.reason)

    def explain(self, policy: Policy) -> Iterator[str]:
        for name in _MEASURES:
            limit = getattr(policy.drift.outputs, name)
            if limit is not None:
                yield f"Against the base, {name.replace('_', ' ')} is at most {limit:g}."
