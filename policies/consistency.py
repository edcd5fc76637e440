"""What cannot work together: found before a change is opened, not after hours of measuring."""

from collections.abc import Collection, Iterator
from datetime import datetime

from policies.policy import Policy
from policies.policy_sections import Gate
from policies.roster import Roster
from policies.rules import RULES
from policies.schema import nearest


def contradictions(
    policy: Policy,
    roster: Roster | None,
    *,
    line: str | None,
    requester: str | None,
    kpis: Collection[str] | None,
    original_layers: int | None,
    now: datetime,
) -> list[str]:
    """Why a change under this policy could never end well; empty where it might.

    `kpis` are the metrics that the KPI file yields, as `<kpi>.<metric>`. What is None is not known
    yet, and not held against the policy. Each sentence names the policy's field and says what to
    do.
    """
    return [
        *(_layers(policy, original_layers) if original_layers is not None else ()),
        *(_kpis(policy, kpis) if kpis is not None else ()),
        *_rules(policy),
        *(_people(policy, roster, line, requester, now) if roster is not None else ()),
    ]


def _layers(policy: Policy, original_layers: int) -> Iterator[str]:
    limits = policy.limits
    if limits.layers_allowed(original_layers) < 1:
        yield (
            f"limits: of {original_layers} layers none may be removed. Raise max_share_removed "
            "or max_layers_removed."
        )
    for layer in limits.protected_layers:
        if not -original_layers <= layer < original_layers:
            yield (
                f"limits.protected_layers: the model has no layer {layer}; it has layers 0 to "
                f"{original_layers - 1}."
            )
    if len(limits.protected(original_layers)) == original_layers:
        yield "limits.protected_layers: every layer is protected. Leave some out."


def _kpis(policy: Policy, kpis: Collection[str]) -> Iterator[str]:
    for name in policy.required_kpis:
        if name not in kpis:
            yield f"kpis.{name}: the KPI file has no such metric; {nearest(name, kpis)}"
    if all(policy.gate_of(name).report_only for name in kpis):
        yield "kpis: no metric of the KPI file is judged. Leave report_only out of one."


def _rules(policy: Policy) -> Iterator[str]:
    override = policy.approvals.override
    known = [rule.name for rule in RULES]
    for name in override.rules if override else ():
        if name not in known:
            yield f"approvals.override.rules: there is no rule {name}; {nearest(name, known)}"


def _gates(policy: Policy) -> dict[str, Gate]:
    approvals = policy.approvals
    gates: dict[str, Gate] = {"step": approvals.step, "promotion": approvals.promotion}
    optional = {"rollback": approvals.rollback, "override": approvals.override}
    return gates | {name: gate for name, gate in optional.items() if gate is not None}


def _people(
    policy: Policy, roster: Roster, line: str | None, requester: str | None, now: datetime
) -> Iterator[str]:
    for name, gate in _gates(policy).items():
        for roles, count in _demands(gate):
            able = roster.eligible(line=line, roles=roles, requester=requester, now=now)
            if len(able) < count:
                yield (
                    f"approvals.{name}: {count} people must approve in the role "
                    f"{' or '.join(roles)}, but the roster has {len(able)} who may decide on "
                    f"{f'line {line}' if line else 'some line'} now (the requester never may). "
                    "Add people or valid keys to the roster, or lower the policy's demand."
                )


def _demands(gate: Gate) -> Iterator[tuple[tuple[str, ...], int]]:
    """How many people a gate needs, of which roles."""
    yield gate.roles, gate.quorum
    for role, count in gate.at_least.items():
        yield (role,), count
