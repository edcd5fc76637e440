"""Find the next layer to go, take it out, heal the rest, and save what is left, proven."""

import shutil
import warnings
from pathlib import Path
from typing import Any

from avss.cutting.proof import prove
from avss.cutting.pruning import remove_layers, write_cut
from avss.digests import FolderDigest
from avss.errors import UnsupportedArchitectureError
from avss.healing.best import JUDGES, Training, first_tokens, heal, split_text
from avss.healing.checkpoint import ForeignCheckpointError
from avss.healing.closed_form import FewTokensWarning
from avss.healing.distillation import DistillationPlan
from avss.healing.own_text import kept_text
from avss.healing.report import HealingReport
from avss.kpis.asked import asked
from avss.kpis.subject import Subject
from avss.language_loss import require_causal
from avss.scoring.observations import Observations
from avss.scoring.observer import Source
from avss.selection import shortlist
from policies.entries import BaseMeasured, CandidateBuilt, LayersRanked, ShortlistProbed
from policies.lifecycle import (
    BuildCandidate,
    ChangeState,
    MeasureBase,
    ProbeShortlist,
    RankLayers,
    State,
    barred,
)
from policies.policy_sections import HealingMethod
from tasks.home import cache
from tasks.job import Job
from tasks.measuring.candidate import measure_kpis
from tasks.models.shelf import LoadedModel
from tasks.stages.now import change_of, pinned, step_of

_MAX_LENGTH = 512
_BOOTSTRAP = 200
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
    job.models.fetch_all({change.model, change.opened.base_model})  # both are needed for the step
    texts = job.texts(pinned(change).manifest)
    seen = _seen(
        job,
        change.model,
        texts,
        "contribution",
        policy.scored_tokens,
        min_texts=policy.calibration.min_records,
    )
    scores = seen.scores(bootstrap=_BOOTSTRAP)
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
        "published": _published(job, change.model, texts),
    }
    return LayersRanked(
        step=action.step,
        model=change.model,
        scores=job.documents.put(recorded),
        shortlist=proposed,
    )


def _published(job: Job, model: str, texts: list[str]) -> dict[str, Any]:
    """What AVSS as published ranks, on each layer's output: what it alone would have removed."""
    scores = _seen(job, model, texts, "output", job.policy.selection.probe_tokens).scores()
    return {
        "source": scores.source,
        "ranking": list(scores.ranking()),
        "tokens": scores.tokens,
    }


def _seen(
    job: Job, model: str, texts: list[str], source: Source, tokens: int, *, min_texts: int = 0
) -> Observations:
    return job.compute.score(
        model,
        texts,
        source=source,
        max_tokens=tokens,
        max_length=_MAX_LENGTH,
        min_texts=min_texts,
        progress=job.report,
    )


def try_shortlist(job: Job, state: State, action: ProbeShortlist) -> ShortlistProbed:
    """Measure the loss without each proposed layer: a score proposes, a measurement decides.

    The layer that AVSS as published would have removed is measured beside them and never chosen.
    """
    change = change_of(state)
    _, tokenizer = job.models.reader(change.model)
    published, scored = _scores(job, state, action.step)
    own_tokens = _own_tokens(job)
    budget = job.policy.selection.probe_tokens - own_tokens
    sequences = first_tokens(tokenizer, job.texts(pinned(change).manifest), budget)
    try:
        if own_tokens:
            sequences += _own_text(job, change, own_tokens)
        beside = set(published[:1]) - set(action.shortlist)
        layers = (*action.shortlist, *beside)
        found = job.compute.probe(change.model, sequences, layers, progress=job.report)
    except UnsupportedArchitectureError as error:
        document: dict[str, Any] = {"skipped": str(error), "order": list(action.shortlist)}
    else:
        order = [layer for layer in found.order if layer not in beside]
        document = found.to_json() | {
            "order": order,
            "scoring_forward_equivalents": scored / found.tokens,
            "own_tokens": own_tokens,
        }
    return ShortlistProbed(
        step=action.step, probe=job.documents.put(document), order=tuple(document["order"])
    )


def _own_tokens(job: Job) -> int:
    """How much of the probe's text the base writes; one token is no text."""
    selection = job.policy.selection
    tokens = round(selection.probe_tokens * selection.own_text_share)
    return tokens if tokens > 1 else 0


def _own_text(job: Job, change: ChangeState, tokens: int) -> list[list[int]]:
    """What the base wrote to choose layers on: once a change, the same for every step."""
    base, path = job.models.load(change.opened.base_model), _kept(change) / "probe.json"
    require_causal(base.model)
    return kept_text(base.model, base.tokenizer, path, tokens=tokens, progress=job.report)


def _scores(job: Job, state: State, step: int) -> tuple[list[int], int]:
    """The ranking as published (records of older versions have none), and the tokens scored."""
    ranked = step_of(change_of(state), step).ranked
    scores = job.documents.get(ranked.scores) if ranked else {}
    published = scores.get("published", {})
    return published.get("ranking", []), scores.get("tokens", 0) + published.get("tokens", 0)


def build(job: Job, state: State, action: BuildCandidate) -> CandidateBuilt:
    """Cut the layer out, heal, keep what has the lower held-out loss, save it with its proof."""
    change = change_of(state)
    parent = step_of(change, action.step).parent
    current, base = job.models.load(parent), job.models.load(change.opened.base_model)
    cut = remove_layers(current.model, [action.layer])
    healed, healing = _heal(job, cut, base, action, change)

    def write(out: Path) -> FolderDigest:
        written = write_cut(healed, current.tokenizer, out, parent=current.digest)
        return FolderDigest(written.files, written.digest)

    model = job.models.add(write, lambda out: prove(out, healed, current.tokenizer), job.report)
    _checkpoint(change, action).unlink(missing_ok=True)
    return CandidateBuilt(
        step=action.step,
        attempt=action.attempt,
        layer=action.layer,
        parent=parent,
        model=model,
        healing=healing["method"],
        build=job.documents.put(healing),
    )


def forget_healing(change: ChangeState) -> None:
    """Remove what healing kept on this machine for the rest of the change."""
    shutil.rmtree(_kept(change), ignore_errors=True)


def _kept(change: ChangeState) -> Path:
    return cache("healing") / change.id


def _checkpoint(change: ChangeState, action: BuildCandidate) -> Path:
    return _kept(change) / f"{action.step}-{action.attempt}.safetensors"


def _heal(
    job: Job, cut: Any, base: LoadedModel, action: BuildCandidate, change: ChangeState
) -> tuple[Any, dict[str, Any]]:
    """Healed and reported; a training that died half way goes on from its checkpoint."""
    healing, checkpoint = job.policy.healing, _checkpoint(change, action)
    fit, judge, prompts = _lessons(job, base, action.methods, pinned(change).manifest)
    training = Training(
        DistillationPlan(tokens=healing.training_tokens, learning_rate=healing.learning_rate),
        healing.own_text_share,
        checkpoint,
        _kept(change) / "own.json",
    )

    def healed() -> tuple[Any, HealingReport]:
        return heal(
            cut,
            base.model,
            base.tokenizer,
            fit,
            judge,
            methods=action.methods,
            prompts=prompts,
            training=training,
            progress=job.report,
        )

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FewTokensWarning)  # the report holds it
            try:
                model, report = healed()
            except ForeignCheckpointError:  # of other library versions: they round differently
                checkpoint.unlink()
                model, report = healed()
    except UnsupportedArchitectureError as error:
        return cut, {"method": "none", "reason": str(error)}
    return model, report.to_json()


def _lessons(
    job: Job, base: LoadedModel, methods: tuple[HealingMethod, ...], manifest: str
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """Tokens of calibration text to fit and to judge on; what the KPIs ask of the former.

    The last is empty where nothing is healed.
    """
    budget = job.policy.calibration.max_tokens
    teach, judge = split_text(job.calibration(manifest))
    fit, held_out = (
        first_tokens(base.tokenizer, [record["text"] for record in records], tokens)
        for records, tokens in ((teach, budget - budget // JUDGES), (judge, budget // JUDGES))
    )
    if methods == ("none",):
        return fit, held_out, []
    subject = Subject(base.model, base.tokenizer, batch_tokens=_MAX_LENGTH)
    return fit, held_out, asked(subject, job.suite, teach[: len(fit)], max_length=_MAX_LENGTH)
