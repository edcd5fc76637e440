"""Make the confirmed model a version of its line, and point the alias to it once people agreed."""

from policies.entries import ModelPromoted, ModelRegistered
from policies.lifecycle import ChangeState, PromoteModel, RegisterModel, State
from tasks.job import Job
from tasks.models.registry import Registry
from tasks.stages.now import change_of


def register(job: Job, state: State, action: RegisterModel) -> ModelRegistered:
    """Register the model's folder with what it is; again, where a run died half way."""
    change = change_of(state)
    version = Registry().register(
        job.run.line,
        digest=change.model,
        uri=job.models.uri(change.model),
        tags=_tags(change),
    )
    return ModelRegistered(
        model=change.model, name=version.line, version=version.version, uri=version.uri
    )


def promote(job: Job, state: State, action: PromoteModel) -> ModelPromoted:
    """Move the alias, in the name of those who decided."""
    change = change_of(state)
    if change.registered is None or change.promotion is None or change.promotion.settled is None:
        raise ValueError("a model is registered and approved before it is promoted")
    moved = Registry().promote(job.run.line, change.registered.version)
    return ModelPromoted(
        model=change.model,
        version=moved.version,
        alias=job.policy.promotion.alias,
        previous_version=moved.previous_version,
        deciders=change.promotion.settled.deciders,
    )


def _tags(change: ChangeState) -> dict[str, str]:
    kept = ",".join(str(layer) for layer in change.kept)
    holdout = change.holdout
    return {
        "avss.change": change.id,
        "avss.base": change.opened.base_model,
        "avss.evidence": holdout.evidence if holdout else "",
        "avss.kept_layers": kept,
        "avss.layers": f"{len(change.kept)} of {change.original_layers}",
    }
