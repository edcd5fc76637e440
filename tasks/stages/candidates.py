"""Find the next layer to go, take it out, heal the rest, and save what is left, proven."""

import warnings
from typing import Any

from avss.batching import tokenize
from avss.cutting.pruning import remove_layers, save_cut
from avss.digests import FolderDigest, folder_digest
from avss.errors import UnsupportedArchitectureError
from avss.healing.closed_form import FewTokensWarning, heal_closed_form
from avss.scoring.one_pass import score_layers
from avss.selection import probe, shortlist
from policies.entries import BaseMeasured, CandidateBuilt, LayersRanked, ShortlistProbed
from policies.lifecycle import (
    BuildCandidate,
    MeasureBase,
    ProbeShortlist,
    RankLayers,
    State,
    barred,
)
from tasks.job import Job
from tasks.measuring.candidate import measure_kpis
from tasks.models.shelf import LoadedModel
from tasks.stages.now import change_of, pinned, step_of

_MAX_LENGTH = 512
_BOOTSTRAP = 200
_HELD_OUT = 5
"""One calibration text in so many judges the healing, the others fit it."""
_SCORES = {"fusion": "avss+block_influence"}


def measure_base(job: Job, state: State, action: MeasureBase) -> BaseMeasured:
    """Measure the base's KPIs once; every candidate is compared with them.

    Also those of the model that the first step starts from, where it is another one.
    """
    change = change_of(state)

    def measured(model: str) -> str:
        outcomes = measure_kpis(job, model, pinned(change).manifest, "validation")
        return job.documents.put(outcomes.to_json())

    base, start = change.opened.base_model, change.start_model
    return BaseMeasured(report=measured(base), start=measured(start) if start != base else None)


def rank(job: Job, state: State, action: RankLayers) -> LayersRanked:
    """Score the current model's layers on calibration text and propose the least important."""
    change, policy = change_of(state), job.policy
    current = job.models.load(change.model)
    texts = job.texts(pinned(change).manifest)
    scores = score_layers(
        current.model,
        current.tokenizer,
        texts,
        max_tokens=policy.calibration.max_tokens,
        max_length=_MAX_LENGTH,
        bootstrap=_BOOTSTRAP,
    )
    protected = policy.limits.protected(change.original_layers) | barred(state, change)
    free = len([layer for layer in change.kept if layer not in protected])
    proposed = shortlist(
        scores,
        size=min(policy.selection.shortlist, max(free, 1)),
        protected=protected,
        by=_SCORES.get(policy.selection.score, policy.selection.score),
    )
    recorded = scores.to_json() | {
        "model": change.model,
        "published": _published(job, current, texts),
    }
    return LayersRanked(
        step=action.step,
        model=change.model,
        scores=job.documents.put(recorded),
        shortlist=proposed,
    )


def _published(job: Job, current: LoadedModel, texts: list[str]) -> dict[str, Any]:
    """What AVSS as published ranks, on each layer's output: what it alone would have removed."""
    scores = score_layers(
        current.model,
        current.tokenizer,
        texts,
        source="output",
        max_tokens=job.policy.calibration.max_tokens,
        max_length=_MAX_LENGTH,
    )
    return {"source": scores.source, "ranking": list(scores.ranking())}


def try_shortlist(job: Job, state: State, action: ProbeShortlist) -> ShortlistProbed:
    """Measure the loss without each proposed layer: a score proposes, a measurement decides.

    The layer that AVSS as published would have removed is measured beside them and never chosen.
    """
    change = change_of(state)
    current = job.models.load(change.model)
    budget = job.policy.selection.probe_tokens
    sequences = _sequences(job, current, pinned(change).manifest, budget)
    try:
        plain = _plain_choice(job, state, action.step)
        beside = {plain} - {None, *action.shortlist}
        found = probe(current.model, sequences, (*action.shortlist, *beside))
    except UnsupportedArchitectureError as error:
        document: dict[str, Any] = {"skipped": str(error), "order": list(action.shortlist)}
    else:
        order = [layer for layer in found.order if layer not in beside]
        document = found.to_json() | {"order": order}
    return ShortlistProbed(
        step=action.step, probe=job.documents.put(document), order=tuple(document["order"])
    )


def _plain_choice(job: Job, state: State, step: int) -> int | None:
    ranked = step_of(change_of(state), step).ranked
    published = job.documents.get(ranked.scores).get("published") if ranked else None
    return published["ranking"][0] if published else None


def build(job: Job, state: State, action: BuildCandidate) -> CandidateBuilt:
    """Cut the layer out, heal, keep what has the lower held-out loss, save it with its proof."""
    change = change_of(state)
    parent = step_of(change, action.step).parent
    current, base = job.models.load(parent), job.models.load(change.opened.base_model)
    cut = remove_layers(current.model, [action.layer])
    healed, healing = _heal(job, cut, base, pinned(change).manifest)
    digest = folder_digest(job.models.folder(parent))
    model = job.models.add(lambda out: _save(healed, current, out, digest))
    return CandidateBuilt(
        step=action.step,
        attempt=action.attempt,
        layer=action.layer,
        parent=parent,
        model=model,
        healing=healing["method"],
        build=job.documents.put(healing),
    )


def _save(model: Any, parent: LoadedModel, out: Any, digest: FolderDigest) -> None:
    save_cut(model, parent.tokenizer, out, parent=digest)


def _heal(job: Job, cut: Any, base: LoadedModel, manifest: str) -> tuple[Any, dict[str, Any]]:
    if "closed_form" not in job.policy.healing.methods:
        return cut, {"method": "none", "reason": "the policy asks for no healing"}
    sequences = _sequences(job, base, manifest, job.policy.calibration.max_tokens)
    judge, fit = sequences[::_HELD_OUT], [one for at, one in enumerate(sequences) if at % _HELD_OUT]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewTokensWarning)  # the report holds it
            healed, report = heal_closed_form(cut, base.model, fit, judge)
    except UnsupportedArchitectureError as error:
        return cut, {"method": "none", "reason": str(error)}
    return healed, report.to_json()


def _sequences(job: Job, loaded: LoadedModel, manifest: str, budget: int) -> list[list[int]]:
    """Calibration texts as tokens, from the first on, until the budget is spent."""
    chosen: list[list[int]] = []
    for tokens in tokenize(loaded.tokenizer, job.texts(manifest), max_length=_MAX_LENGTH):
        if budget <= 0:
            break
        if len(tokens) > 1:
            chosen.append(tokens[: max(budget, 2)])
            budget -= len(tokens)
    return chosen
