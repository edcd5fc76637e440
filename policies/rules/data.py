"""Rules on the text that everything was measured on."""

from collections.abc import Iterator

from policies.measurements import Measurements
from policies.policy import Policy
from policies.rules.verdict import Rule, Verdict

_FOUND = {
    "warn": "is counted and put before the approvers",
    "mask": "is masked and counted",
    "block": "ends the change",
}


class CalibrationText(Rule):
    """Layers are scored on enough text, and another half of it would rank them alike."""

    name = "calibration"
    reads = ("calibration.min_records", "calibration.min_rank_stability")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        facts, asked = measurements.calibration, policy.calibration
        yield self.at_least("calibration records", facts.records, asked.min_records)
        if asked.min_rank_stability is not None:
            stability = facts.rank_stability
            yield self.at_least(
                "rank stability", stability.value, asked.min_rank_stability, stability.reason
            )

    def explain(self, policy: Policy) -> Iterator[str]:
        asked = policy.calibration
        yield f"Layers are scored on at least {asked.min_records:,} records."
        if asked.min_rank_stability is not None:
            yield (
                "Two halves of those records must rank the layers alike "
                f"(Kendall's tau at least {asked.min_rank_stability:g})."
            )


class ValidData(Rule):
    """The snapshot keeps its data contract and is large enough."""

    name = "data_contract"
    reads = ("data.suite", "data.min_records", "data.personal_data")

    def judge(self, measurements: Measurements, policy: Policy) -> Iterator[Verdict]:
        facts, contract = measurements.data, policy.data
        yield self.at_least("snapshot records", facts.records, contract.min_records)
        if facts.passed is None:
            yield self.cannot_tell(contract.suite, None, "the contract could not be checked")
        else:
            kept = facts.passed and not facts.failures
            reason = "; ".join(facts.failures) or ("kept" if kept else "broken")
            yield self.found(contract.suite, kept, reason[:4000])

    def explain(self, policy: Policy) -> Iterator[str]:
        yield (
            f"The business data must keep the contract {policy.data.suite!r} "
            f"and hold at least {policy.data.min_records:,} records."
        )
        if policy.data.personal_data != "ignore":
            found = _FOUND[policy.data.personal_data]
            yield f"Records are searched for personal data; what is found {found}."
