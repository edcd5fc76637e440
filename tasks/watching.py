"""The model in use on fresh data: contract, drift, KPIs against base and promise."""

from datetime import date

from avss.comparing.comparison import MetricComparison
from avss.comparing.retention import compare
from avss.errors import InputError
from avss.kpi_file.suite import KpiSuite, load_kpis
from policies.entries import MonitorChecked
from policies.lifecycle import ChangeState
from policies.measurements import DataFacts, DriftFacts, Measured, Measurements
from policies.policy import Policy
from policies.watching import WatchedKpi, WatchFacts, judge_watch
from tasks import clock
from tasks.data.snapshot import Snapshot, pin_snapshot, read_split
from tasks.data.validation import validate
from tasks.drift.data import data_drift
from tasks.home import cache
from tasks.job import Job, drift_limits
from tasks.measuring.facts import data_facts, drift_facts, retention_of
from tasks.models.runs import log_step
from tasks.stages.data import eyes
from tasks.stages.now import pinned


def check_in_use(job: Job, live: ChangeState) -> MonitorChecked:
    """Pin fresh data, measure the model in use on a sample of it, and judge it.

    KPIs, policy and base are those that `live`, the change that made the model, was recorded with;
    only the data is new. Nothing of a record is stored, only the snapshot's manifest and numbers.

    Raises:
        DataError, StorageError: there is no fresh data, or it cannot be read.
    """
    if live.registered is None:
        raise ValueError("a model in use is registered")
    policy = job.policy_of(live)
    fresh = pin_snapshot(job.run.data, cache=cache("snapshots"), personal=policy.data.personal_data)
    manifest = job.keep_snapshot(fresh)
    records = job.records(manifest, "validation")[: policy.monitoring.sample]
    kpis, notes = _kpis(job, live, policy, records)
    facts = WatchFacts(
        change=live.id,
        model=live.model,
        base_model=live.opened.base_model,
        sampled=len(records),
        data=_contract(job, fresh, policy, pinned(live).manifest),
        data_drift=_drift(job, fresh, policy, live),
        kpis=kpis,
        notes=notes,
    )
    verdicts = judge_watch(facts, policy)
    return MonitorChecked(
        model=live.model,
        version=live.registered.version,
        manifest=manifest,
        facts=job.documents.put_model(facts),
        passed=all(one.passed for one in verdicts),
        verdicts=verdicts,
    )


def log_check(job: Job, live: ChangeState, body: MonitorChecked, day: date) -> None:
    """The check as an MLflow run beside those of the change, for people to compare over time."""
    facts = job.documents.get_model(body.facts, WatchFacts)
    metrics: dict[str, float | None] = {"sampled": float(facts.sampled)}
    for kpi in facts.kpis:
        metrics[f"{kpi.name}.value"] = kpi.value
        metrics[f"{kpi.name}.retention"] = kpi.retention.value
        metrics[f"{kpi.name}.of_promised"] = kpi.of_promised.value
    tags = {
        "avss.model": body.model,
        "avss.version": body.version,
        "avss.facts": body.facts,
        "avss.verdict": "pass" if body.passed else "below its floor",
    }
    log_step(
        job.run.line, live.id, f"monitor {day.isoformat()} {body.facts[:8]}", metrics, tags=tags
    )


def _kpis(
    job: Job, live: ChangeState, policy: Policy, records: list[dict[str, object]]
) -> tuple[tuple[WatchedKpi, ...], tuple[str, ...]]:
    suite = load_kpis(job.documents.get(live.opened.kpis))
    promised = _promised(job, live)
    try:
        found = _compared(job, live, policy, suite, records)
    except InputError as error:
        return (), (str(error)[:2000],)
    return tuple(_kpi(one, promised) for one in found), ()


def _compared(
    job: Job, live: ChangeState, policy: Policy, suite: KpiSuite, records: list[dict[str, object]]
) -> tuple[MetricComparison, ...]:
    outcomes = []
    for model in (live.model, live.opened.base_model):
        outcomes.append(job.compute.measure(model, suite, records, progress=job.report))
    return compare(*outcomes, confidence=policy.confidence).kpis


def _kpi(found: MetricComparison, promised: dict[str, Measured]) -> WatchedKpi:
    return WatchedKpi(
        name=found.name,
        n=found.n,
        value=found.value,
        base_value=found.base_value,
        retention=Measured(
            value=found.retention,
            reason="" if found.retention is not None else found.reason or "it was not measured",
        ),
        retention_low=found.retention_low,
        promised=promised.get(found.name, Measured(value=None, reason="nothing was promised")),
    )


def _promised(job: Job, live: ChangeState) -> dict[str, Measured]:
    """What the model kept of the base on the holdout that its promotion rests on."""
    if live.holdout is None:
        return {}
    confirmed = job.documents.get_model(live.holdout.measurements, Measurements)
    return {kpi.name: retention_of(kpi) for kpi in confirmed.kpis}


def _contract(job: Job, fresh: Snapshot, policy: Policy, before: str) -> DataFacts:
    report = validate(
        fresh,
        policy.data.suite,
        now=clock.now(),
        min_records=policy.data.min_records,
        previous=job.manifest(before),
        personal=policy.data.personal_data,
    )
    return data_facts(report.to_json())


def _drift(job: Job, fresh: Snapshot, policy: Policy, live: ChangeState) -> DriftFacts:
    before = pinned(live).manifest
    report = data_drift(
        read_split(fresh, "calibration"),
        read_split(job.snapshot(before), "calibration"),
        against=before,
        limits=drift_limits(policy),
        states=eyes(job, live),
    )
    return drift_facts(report.to_json())
