"""One candidate against the change's base: KPIs, answers, resources and drift."""

from collections.abc import Mapping
from typing import Any

from avss.comparing.comparison import Comparison
from avss.comparing.outcomes import Outcomes
from avss.comparing.output_drift import OutputDrift, compare_outputs
from avss.comparing.retention import compare
from avss.errors import InputError
from avss.profiling.costs import CostModel
from avss.profiling.profile import profile_model
from policies.lifecycle import ChangeState, State, StepState, layer_facts
from policies.measurements import Measured, Measurements, ProofFact, ResourceFacts
from policies.schema import Step
from tasks.data.source import Split
from tasks.drift.scores import score_drift
from tasks.job import Job
from tasks.measuring.examples import examples_of
from tasks.measuring.facts import (
    calibration_facts,
    data_facts,
    drift_facts,
    kpi_facts,
    output_drift_facts,
    rare_case_facts,
    retention_of,
)
from tasks.measuring.resources import resource_facts, unmeasured_resources
from tasks.stages.now import change_of

_PROVEN = ProofFact(passed=True, reason="reloaded in a fresh process before it was saved")


def measure_kpis(job: Job, model: str, manifest: str, split: Split) -> Outcomes:
    """One outcome per example for every KPI of the run, of the model with this digest."""
    records = job.records(manifest, split)
    return job.compute.measure(model, job.suite, records, progress=job.report)


def measure_against_base(
    job: Job, state: State, step: StepState, asked: Step, attempt: int
) -> tuple[Measurements, dict[str, str]]:
    """Measure the step's last candidate on validation, or for the promotion the whole on holdout.

    Args:
        job: the run.
        state: of the line; its open change's base was measured.
        step: the step whose ranking and calibration stand behind the candidate.
        asked: the step's number, or "promotion".
        attempt: of the step.

    Returns:
        The measurements, and the digests of the documents behind them by name.
    """
    whole, change = asked == "promotion", change_of(state)
    model = change.model if whole else step.attempts[attempt - 1].built.model
    split: Split = "holdout" if whole else "validation"
    comparison, outputs, shown = _against_base(job, change, model, split)
    profile, resources = _resources(job, change.opened.base_model, model)
    ranking = _ranking_drift(job, state, step)
    reports = {"kpis": comparison.to_json(), "outputs": outputs.to_json(), "score_drift": ranking}
    if profile:
        reports["profile"] = profile
    if shown:
        reports["examples"] = shown
    measurements = Measurements(
        step=asked,
        attempt=attempt,
        split=split,
        layers=layer_facts(change, asked),
        calibration=calibration_facts(_recorded(job, step.ranked and step.ranked.scores)),
        data=data_facts(_recorded(job, change.data and change.data.report)),
        data_drift=drift_facts(_recorded(job, change.drift and change.drift.report)),
        score_drift=drift_facts(ranking),
        output_drift=output_drift_facts(outputs),
        kpis=kpi_facts(comparison, None if whole else _retention_before(job, change)),
        rare_cases=rare_case_facts(comparison.rare_cases),
        resources=resources,
        proof=_PROVEN,
    )
    return measurements, {name: job.documents.put(report) for name, report in reports.items()}


def _against_base(
    job: Job, change: ChangeState, model: str, split: Split
) -> tuple[Comparison, OutputDrift, dict[str, Any] | None]:
    if change.snapshot is None or change.base is None:
        raise ValueError("the base is measured before any candidate")
    manifest = change.snapshot.manifest
    if split == "validation":
        base = Outcomes.from_json(job.documents.get(change.base.report))
    else:
        base = measure_kpis(job, change.opened.base_model, manifest, split)
    found = measure_kpis(job, model, manifest, split)
    gates = {
        f"{kpi.name}.{metric}": job.policy.gate_of(f"{kpi.name}.{metric}")
        for kpi in found.kpis
        for metric in kpi.metrics
    }
    comparison = compare(
        found,
        base,
        confidence=job.policy.confidence,
        min_retention={name: gate.min_retention for name, gate in gates.items()},
    )
    models = change.opened.base_model, model
    shown = examples_of(job, models, manifest, split, (base, found))
    return comparison, compare_outputs(found, base), shown


def _resources(job: Job, base: str, model: str) -> tuple[dict[str, Any], ResourceFacts]:
    folders = job.models.folder(model), job.models.folder(base)
    try:
        profile = profile_model(
            *folders,
            prompt_tokens=64,
            decode_tokens=6,
            batch_size=1,
            cost_model=_prices(job),
            progress=job.report,
        )
    except InputError as error:
        return {}, unmeasured_resources(str(error).replace(str(folders[0].parent), "models"))
    return profile.to_json(), resource_facts(profile)


def _prices(job: Job) -> CostModel | None:
    """The run's prices, as the profile takes them."""
    return CostModel(**job.run.cost.model_dump()) if job.run.cost else None


def _ranking_drift(job: Job, state: State, step: StepState) -> dict[str, Any]:
    """This step's ranking against the one before it; the first against that of the model in use.

    So a new snapshot that ranks the same layers otherwise is seen.
    """
    before, against = change_of(state).step(step.number - 1), f"step {step.number - 1}"
    earlier = state.promoted
    if before is None and earlier is not None and earlier.change.approved_steps:
        before = earlier.change.approved_steps[-1]
        against = f"{earlier.change.id}, step {before.number}"
    reference = before and before.ranked and before.ranked.scores
    current = _recorded(job, step.ranked and step.ranked.scores)
    return score_drift(
        _avss(current),
        _avss(job.documents.get(reference)) if reference else None,
        lowest=job.policy.selection.shortlist,
        against=against if reference else None,
        limits=job.drift_limits(),
    ).to_json()


def _avss(scores: Mapping[str, Any]) -> dict[int, float]:
    return {layer["index"]: layer["avss"] for layer in scores["layers"]}


def _recorded(job: Job, digest: str | None) -> Any:
    if not digest:
        raise ValueError("this is recorded before any candidate is measured")
    return job.documents.get(digest)


def _retention_before(job: Job, change: ChangeState) -> dict[str, Measured] | None:
    """What the current model kept of the base; None where it is the base."""
    earlier = change.approved_steps
    if not earlier:
        return _retention_of_start(job, change)
    chosen = earlier[-1].chosen
    if chosen is None or chosen.measured is None:
        raise ValueError("an approved candidate was measured")
    measured = job.documents.get_model(chosen.measured.measurements, Measurements)
    return {kpi.name: retention_of(kpi) for kpi in measured.kpis}


def _retention_of_start(job: Job, change: ChangeState) -> dict[str, Measured] | None:
    """What the model that the change started from keeps of the base; None where it is the base."""
    if change.base is None or change.base.start is None:
        return None
    base, start = (
        Outcomes.from_json(job.documents.get(one))
        for one in (change.base.report, change.base.start)
    )
    kept = compare(start, base, confidence=job.policy.confidence)
    return {kpi.name: retention_of(kpi) for kpi in kpi_facts(kept, None)}
