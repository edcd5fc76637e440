"""A policy as points that the catalogues turn into plain sentences."""

from __future__ import annotations

from policies.policy import DEFAULT_GATE, Policy
from policies.policy_sections import KpiGate
from policies.schema import Step
from tasks.dossier.facts.decision import PolicyFact, PolicyPoint


def policy_fact(
    policy: Policy, step: Step | None, original_layers: int | None, *, override: bool = False
) -> PolicyFact:
    """What `policy` asks of this step, the largest matters first.

    `override`: people are asked about what the rules refused, so another gate decides.
    """
    limits = policy.limits
    points = [
        PolicyPoint(
            kind="removed",
            count=limits.layers_allowed(original_layers) if original_layers else None,
            other=limits.layers_per_step,
        )
    ]
    if original_layers and (protected := sorted(limits.protected(original_layers))):
        points.append(PolicyPoint(kind="protected", subject=", ".join(map(str, protected))))
    if policy.dossier.examples:
        points.append(PolicyPoint(kind="examples", count=policy.dossier.examples))
    for name, gate in sorted(policy.kpis.items(), key=lambda item: item[0] == DEFAULT_GATE):
        points += _kpi_points("" if name == DEFAULT_GATE else name, gate)
    if policy.cost.min_saved_money is not None:
        points.append(PolicyPoint(kind="saved_money", share=policy.cost.min_saved_money))
    if policy.latency.max_decode_ratio is not None:
        points.append(PolicyPoint(kind="latency", share=policy.latency.max_decode_ratio))
    gate = policy.approval_gate(step or 1, override=override)
    points.append(
        PolicyPoint(
            kind="approvals",
            count=gate.quorum,
            other=gate.expires_hours,
            subject=", ".join(gate.roles),
        )
    )
    points += [
        PolicyPoint(kind="at_least", subject=role, count=count)
        for role, count in sorted(gate.at_least.items())
    ]
    return PolicyFact(name=policy.name, points=tuple(points))


def _kpi_points(name: str, gate: KpiGate) -> list[PolicyPoint]:
    if gate.report_only:
        return [PolicyPoint(kind="report_only", subject=name)]
    points = [
        PolicyPoint(kind="kpi", subject=name, share=gate.min_retention, confidence=gate.confidence)
    ]
    if gate.worst_slice is not None:
        part = gate.worst_slice
        points.append(
            PolicyPoint(
                kind="slice", subject=name, share=part.min_retention, count=part.min_support
            )
        )
    if gate.max_drop_per_step is not None:
        points.append(PolicyPoint(kind="drop", subject=name, share=gate.max_drop_per_step))
    return points
