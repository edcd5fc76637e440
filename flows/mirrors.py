"""What Prefect and MLflow show of a change: pictures of the record, made again at no harm."""

from collections.abc import Callable
from typing import Any

from prefect import get_run_logger
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
)
from prefect.runtime import deployment

from flows.notices import asked, tell
from flows.pictures import ranking_picture
from policies import entries as said
from policies.entries import Entry
from policies.lifecycle import ChangeState, State
from policies.schema import Step
from tasks.job import Job
from tasks.models.runs import log_step
from tasks.record.deciding import told_step
from tasks.record.pages import page_of
from tasks.record.site import address_of, page_name, publish, publish_index
from tasks.stages.now import change_of, step_of


def mirror(job: Job, state: State, entry: Entry) -> None:
    """Show an entry where people look: the log, artifacts, MLflow, the dossier, notifications."""
    get_run_logger().info("%s recorded as entry %d of %s", entry.type, entry.sequence, entry.line)
    show = _MIRRORS.get(type(entry.body))
    if show is not None:
        show(job, state, entry.body)


def _ranking(job: Job, state: State, body: said.LayersRanked) -> None:
    scores = job.documents.get(body.scores)
    layers = {layer["index"]: layer for layer in scores["layers"]}
    rows = [
        f"| {place['index']} | {layers[place['index']]['avss']:.4g} | {place['share']:.2%} "
        f"| {place['cumulative_share']:.2%} | {layers[place['index']]['block_influence']:.4g} "
        f"| {'yes' if place['index'] in body.shortlist else ''} |"
        for place in scores["ranking"]
    ]
    head = "| layer | AVSS | share | cumulative | block influence | short-listed |"
    create_markdown_artifact(
        markdown="\n".join(
            [
                f"# Step {body.step}: layers, least important first\n",
                head,
                "|--:|--:|--:|--:|--:|---|",
                *rows,
            ]
        ),
        key=_key(state, f"step-{body.step}-ranking"),
        description=f"AVSS of every layer before step {body.step}",
    )
    create_image_artifact(
        ranking_picture(scores, body.shortlist),
        key=_key(state, f"step-{body.step}-picture"),
        description=f"AVSS by layer before step {body.step}; the short list is marked",
    )


def _kpis(job: Job, state: State, body: said.CandidateJudged) -> None:
    change = change_of(state)
    attempt = step_of(change, body.step).attempts[body.attempt - 1]
    measurements = job.documents.get(attempt.measured.measurements) if attempt.measured else {}
    columns = ("name", "n", "base_value", "value", "retention", "retention_low")
    create_table_artifact(
        table=[{column: kpi[column] for column in columns} for kpi in measurements["kpis"]],
        key=_key(state, f"step-{body.step}-kpis"),
        description=f"Step {body.step}, attempt {body.attempt}, without layer "
        f"{attempt.built.layer}: {'passes' if body.passed else 'refused'}",
    )
    removed = change.original_layers - len(attempt.kept)
    create_progress_artifact(
        progress=100 * removed / job.policy.limits.layers_allowed(change.original_layers),
        key=_key(state, "layers-removed"),
        description=f"{removed} layers removed, of those the policy allows",
    )
    log_step(
        job.run.line,
        change.id,
        f"step {body.step} attempt {body.attempt}",
        step_metrics(measurements, removed),
        tags={
            "avss.layer": str(attempt.built.layer),
            "avss.model": attempt.built.model,
            "avss.evidence": body.evidence,
            "avss.verdict": "pass" if body.passed else "refused",
            "avss.healing": attempt.built.healing,
        }
        | _page(job, body.passed, change.id, body.step),
    )


def _holdout(job: Job, state: State, body: said.HoldoutConfirmed) -> None:
    change = change_of(state)
    measurements = job.documents.get(body.measurements)
    removed = change.original_layers - len(change.kept)
    log_step(
        job.run.line,
        change.id,
        "holdout",
        step_metrics(measurements, removed),
        tags={
            "avss.model": change.model,
            "avss.evidence": body.evidence,
            "avss.verdict": "pass" if body.passed else "refused",
        }
        | _page(job, body.passed, change.id, "promotion"),
    )


def _page(job: Job, passed: bool, change: str, step: Step) -> dict[str, str]:
    """The dossier's address; people are asked about what passed, and then it is there."""
    return {"avss.dossier": address_of(job, page_name(change, step))} if passed else {}


def step_metrics(measurements: dict[str, Any], removed: int) -> dict[str, float | None]:
    """A candidate's figures by the names that MLflow shows."""
    found: dict[str, float | None] = {"layers_removed": float(removed)}
    for kpi in measurements["kpis"]:
        for part in ("value", "retention", "retention_low"):
            found[f"{kpi['name']}.{part}"] = kpi[part]
    for name, ratio in measurements["resources"].items():
        found[f"ratio.{name}"] = ratio["value"]
    return found


def _dossier(job: Job, state: State, body: said.DecisionRequested) -> None:
    change = change_of(state)
    _publish(job, change, body.step)
    publish_index(job)
    tell(job, job.run, asked(job.run, change, body.step))


def _closed(job: Job, state: State, body: said.ChangeClosed) -> None:
    """Nobody was asked about what the rules refused, but its page says why."""
    if body.outcome == "refused":
        change = state.closed[-1].change
        _publish(job, change, told_step(change))
    publish_index(job)


def _publish(job: Job, change: ChangeState, step: Step) -> None:
    path, address = publish(job, page_name(change.id, step), page_of(job, change, step))
    create_link_artifact(
        link=address if deployment.id else path.as_uri(),  # a worker's disk is nobody else's
        link_text=f"Dossier of {change.id}, {step}",
        key=f"{change.id}-dossier-{step}",
        description=f"At {address}",
    )


def _key(state: State, name: str) -> str:
    return f"{change_of(state).id}-{name}"


_MIRRORS: dict[type[said.Body], Callable[[Job, State, Any], None]] = {
    said.LayersRanked: _ranking,
    said.CandidateJudged: _kpis,
    said.HoldoutConfirmed: _holdout,
    said.DecisionRequested: _dossier,
    said.ChangeClosed: _closed,
}
