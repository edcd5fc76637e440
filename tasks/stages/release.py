"""Make the confirmed model a version of its line, and point the alias to it once people agreed."""

from policies.entries import ModelPromoted, ModelRegistered
from policies.lifecycle import ChangeState, PromoteModel, RegisterModel, State
from tasks.job import Job
from tasks.models.aliases import version_tags
from tasks.models.registering import register_model
from tasks.models.registry import CANDIDATE, PREVIOUS, Registry
from tasks.models.signature import sign_model
from tasks.stages.now import change_of


def register(job: Job, state: State, action: RegisterModel) -> ModelRegistered:
    """Register the model with what it is, and try it; again, where a run died half way."""
    change, registry = change_of(state), Registry()
    tags = version_tags(job.documents, change)
    model = job.models.fetched(change.model)
    found = register_model(registry, job.work, job.run.line, model, tags)
    number = found.version.version
    if number != _version(state.live):
        registry.point(job.run.line, {CANDIDATE: number})
    return ModelRegistered(
        model=change.model,
        name=found.version.line,
        version=number,
        uri=found.version.uri,
        files=dict(found.files),
        serving=job.documents.put(found.trial),
        signature=job.documents.put(sign_model(model.folder)),
    )


def promote(job: Job, state: State, action: PromoteModel) -> ModelPromoted:
    """Move the alias, in the name of those who decided."""
    change = change_of(state)
    if change.registered is None or change.promotion is None or change.promotion.settled is None:
        raise ValueError("a model is registered and approved before it is promoted")
    version, before, alias = (
        change.registered.version,
        _version(state.live),
        job.policy.promotion.alias,
    )
    Registry().point(job.run.line, {alias: version, PREVIOUS: before, CANDIDATE: None})
    return ModelPromoted(
        model=change.model,
        version=version,
        alias=alias,
        previous_version=before,
        deciders=change.promotion.settled.deciders,
    )


def withdraw(job: Job, change: ChangeState) -> None:
    """A version that nobody is asked about any more is no candidate."""
    if change.registered is not None and change.promoted is None:
        Registry().point(job.run.line, {CANDIDATE: None})


def _version(change: ChangeState | None) -> str | None:
    return change.registered.version if change and change.registered else None
