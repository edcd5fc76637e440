"""A policy in plain sentences: what it requires, for people who do not read YAML."""

from policies.policy import Policy
from policies.policy_sections import Gate
from policies.rules import RULES
from policies.watching import explain_watch

COURSE_FIELDS = (
    "format",
    "name",
    "limits.attempts_per_step",
    "selection.score",
    "selection.score_tokens",
    "selection.shortlist",
    "selection.probe_tokens",
    "selection.own_text_share",
    "calibration.max_tokens",
    "healing.methods",
    "healing.gated",
    "healing.training_tokens",
    "healing.learning_rate",
    "healing.own_text_share",
    "drift.data.confidence",
    *(
        f"approvals.{gate}.{name}"
        for gate in ("step", "promotion", "rollback", "override")
        for name in ("quorum", "roles", "at_least", "expires_hours")
    ),
    "approvals.override.rules",
    "promotion.alias",
    "dossier.examples",
    "monitoring.sample",
    "monitoring.on_breach",
    "storage.candidate_days",
    "storage.snapshot_days",
    "ledger.retention_days",
)
"""Fields that steer the course of a change and are read by no rule."""


_KEPT = {
    "best": "the best is kept",
    "each": "the best that passes is kept",
}


def explain(policy: Policy) -> list[str]:
    """What the policy requires, a sentence each, in the order in which it comes up."""
    return [
        f"This is policy {policy.name}, digest {policy.digest}.",
        *_course(policy),
        *(sentence for rule in RULES for sentence in rule.explain(policy)),
        "What could not be measured counts as failed.",
        _texts(policy.dossier.examples),
        *_people(policy),
        *explain_watch(policy),
        f"Models that became no version are deleted {policy.storage.candidate_days} days after "
        f"their change ended, records in a machine's cache {policy.storage.snapshot_days} days "
        "after it; evidence and record stay.",
        f"Entries of the record cannot be changed or deleted for {policy.ledger.retention_days} "
        "days.",
    ]


def _course(policy: Policy) -> list[str]:
    selection, methods = policy.selection, " and ".join(policy.healing.methods)
    return [
        f"At each step the {selection.shortlist} layers of lowest {selection.score} are proposed, "
        f"scored on {policy.scored_tokens:,} tokens or {policy.calibration.min_records:,} texts, "
        "whichever is more; each of them is measured on "
        f"{selection.probe_tokens:,} tokens{_own(selection.own_text_share)}.",
        f"The layers that cost least are removed, what is left is repaired by {methods} "
        f"({_KEPT[policy.healing.gated]}), and judged; after {policy.limits.attempts_per_step} "
        "refused layers no more steps are tried.",
        *_training(policy),
        "A check of drift raises a false alarm on unchanged data in at most "
        f"{1 - policy.drift.data.confidence:.0%} of the cases.",
    ]


def _own(share: float) -> str:
    return f", {share:.0%} of them the base model's own text" if share else ""


def _texts(examples: int) -> str:
    if examples == 0:
        return "No text of a record is shown to those who decide or kept as evidence."
    return (
        f"Those who decide are shown the text of up to {examples} records of each KPI with both "
        "models' answers; it is kept as evidence, and so it is in evidence packs."
    )


def _training(policy: Policy) -> list[str]:
    healing = policy.healing
    if "distilled" not in healing.methods:
        return []
    rate = healing.learning_rate
    return [
        f"Distillation trains each candidate on {healing.training_tokens:,} tokens"
        f"{'' if rate is None else f', at a learning rate of {rate:g}'}; "
        f"{healing.own_text_share:.0%} of the text is the base model's own."
    ]


def _people(policy: Policy) -> list[str]:
    approvals = policy.approvals
    override = approvals.override
    return [
        f"A step that passes the rules needs {_gate(approvals.step)}.",
        f"To become {policy.promotion.alias}, the model needs {_gate(approvals.promotion)}; "
        "before that, it is judged once on data that nothing else has seen.",
        f"To lead {policy.promotion.alias} back to the version before, somebody asks, and it needs "
        f"{_gate(policy.move_gate('rollback'))}; to put any other registered version in use by "
        f"hand, it needs {_gate(policy.move_gate('promote'))}.",
        "Nobody decides on what they asked for themselves, whatever keys and roles they have. "
        "One rejection ends a request.",
        "Nobody can override the rules."
        if override is None
        else f"A candidate that failed only {', '.join(override.rules)} may still pass: it needs "
        f"{_gate(override)}, and every report says so.",
    ]


def _gate(gate: Gate) -> str:
    people = f"{gate.quorum} different people" if gate.quorum > 1 else "one person"
    least = ", ".join(f"{count} of them {role}" for role, count in gate.at_least.items())
    return (
        f"the approval of {people} in the role {' or '.join(gate.roles)}"
        f"{f' ({least})' if least else ''} within {gate.expires_hours} hours"
    )
