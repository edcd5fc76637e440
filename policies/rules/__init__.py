"""The rules of a policy: each one a class, together a verdict.

They are what `avss-policy-1` means: old verdicts are judged again for ever, so a new rule, or
another reading of a field, comes with a new format of the policy.
"""

from policies.measurements import Measurements
from policies.policy import Policy
from policies.rules.data import CalibrationText, ValidData
from policies.rules.drift import DataDrift, OutputDrift, ScoreDrift
from policies.rules.kpis import DropPerStep, KpiRetention, RareCases, WorstSlice
from policies.rules.layers import LayerLimit, ProtectedLayers, StepSize
from policies.rules.resources import NotSlower, ProofOfCut, Saving
from policies.rules.verdict import Rule, Verdict

__all__ = ["RULES", "Rule", "Verdict", "judge", "passed"]

RULES: tuple[Rule, ...] = (
    LayerLimit(),
    StepSize(),
    ProtectedLayers(),
    CalibrationText(),
    ValidData(),
    DataDrift(),
    ScoreDrift(),
    OutputDrift(),
    KpiRetention(),
    WorstSlice(),
    DropPerStep(),
    RareCases(),
    Saving(),
    NotSlower(),
    ProofOfCut(),
)


def judge(measurements: Measurements, policy: Policy) -> tuple[Verdict, ...]:
    """Every verdict on one candidate, in the order of the rules.

    Rules about one step are left out where the whole change is judged (`step: promotion`).
    """
    whole = measurements.step == "promotion"
    return tuple(
        verdict
        for rule in RULES
        if not (whole and rule.steps_only)
        for verdict in rule.judge(measurements, policy)
    )


def passed(verdicts: tuple[Verdict, ...]) -> bool:
    """Whether there are verdicts and all of them pass."""
    return bool(verdicts) and all(verdict.passed for verdict in verdicts)
