"""Whether run, policy, KPIs, roster and model belong together, before anything is begun."""

from typing import TYPE_CHECKING

from policies.consistency import contradictions
from policies.errors import PolicyError
from policies.lifecycle import ChangeState
from tasks import clock
from tasks.errors import RunFileError

if TYPE_CHECKING:
    from tasks.job import Job


def check_fit(job: "Job", original_layers: int) -> None:
    """Refuse a run that could never end well.

    Raises:
        PolicyError: policy, KPIs, roster and model contradict each other; every fault is named.
    """
    found = contradictions(
        job.policy,
        job.roster,
        line=job.run.line,
        requester=job.run.requester,
        kpis=[f"{kpi.name}.{metric}" for kpi in job.suite.kpis for metric in kpi.metrics],
        original_layers=original_layers,
        now=clock.now(),
    )
    if found:
        raise PolicyError(f"Policy {job.policy.name} cannot be met. " + " ".join(found))


def check_same_rules(job: "Job", change: ChangeState) -> None:
    """Refuse to go on with a change under other rules than it was opened with.

    Both policies are read as this version reads them: a field that is new since then has the same
    default in both.

    Raises:
        RunFileError: the policy or the KPIs differ from the recorded ones.
    """
    kpis = job.documents.put(job.suite.model_dump(mode="json"))
    for what, now, then in (
        ("policy", job.policy.digest, job.policy_of(change).digest),
        ("KPI file", kpis, change.opened.kpis),
    ):
        if now != then:
            raise RunFileError(
                f"Change {change.id} was opened under another {what} ({then[:12]}, now "
                f"{now[:12]}). Put the old file back to go on with it, or reject its open step "
                "to close it; a new change takes the new file."
            )
