"""Heal a cut in every way that is asked for, and keep what is best on held-out text."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from avss.architecture import find_stack
from avss.batching import tokenize
from avss.cutting.pruning import save_cut
from avss.digests import source_digest
from avss.errors import InputError
from avss.healing.closed_form import heal_closed_form
from avss.healing.distillation import DistillationPlan, distil
from avss.healing.own_text import kept_text
from avss.healing.report import HealingReport, Method, Tried
from avss.language_loss import mean_loss
from avss.loading import load_model, load_tokenizer, placement_of

_MAX_LENGTH = 512
"""Tokens of a text that heal; what is longer is cut."""
JUDGES = 5
"""One text in so many judges the healing, the others fit it."""

Progress = Callable[[int, int], None]
_Text = TypeVar("_Text")


@dataclass(frozen=True)
class Training:
    """How to distil: the plan, and the share of its text that the base writes itself.

    `own_share` of the distinct training tokens, 0 to below 1, are drawn from the base (`own_text`),
    so that what it knows beyond the data is kept; `checkpoint` is where a run goes on that was cut,
    and `own_text` the file that keeps what the base wrote, for the next healing on the same base.
    """

    plan: DistillationPlan = field(default_factory=DistillationPlan)
    own_share: float = 0.5
    checkpoint: Path | None = None
    own_text: Path | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.own_share < 1:
            raise InputError(f"own_share is {self.own_share}: expected 0 to below 1.")


def heal(
    candidate: Any,
    base: Any,
    tokenizer: Any,
    sequences: Sequence[Sequence[int]],
    held_out: Sequence[Sequence[int]],
    *,
    methods: Sequence[Method],
    prompts: Sequence[Sequence[int]] = (),
    training: Training = Training(),
    batch_tokens: int = 1024,
    progress: Progress | None = None,
) -> tuple[Any, HealingReport]:
    """Heal `candidate`, which is `base` without some layers, by the `methods`, one after the other.

    Each method starts from the best model so far and is judged on `held_out`; the cut itself always
    counts ("none"). Each also learns from `prompts`, what the model will be asked: the closed form
    from every other one, instead of as many texts. Distillation comes last, since it starts best
    from what is healed already; it learns from text of the base's own, too.
    The report holds every method with its loss. Neither model given is changed. `progress` is
    called with (done, in all): layers of the closed form, then tokens of the base's own text, then
    tokens trained on.

    Raises what `heal_closed_form` and `distil` raise.
    """
    best, reports = candidate, list[HealingReport]()
    if "closed_form" in methods:
        asked = prompts[1::2]
        texts = [one for at, one in enumerate(sequences) if at % 2 == 0 or at > 2 * len(asked)]
        best, report = heal_closed_form(
            best,
            base,
            texts,
            held_out,
            prompts=asked,
            batch_tokens=batch_tokens,
            progress=progress,
        )
        reports.append(replace(report, prompts=len(asked)))
    if "distilled" in methods:
        given = _within([*sequences, *prompts], training)
        text = [*given, *_own(base, tokenizer, given, training, progress)]
        best, report = distil(
            best,
            base,
            text,
            held_out,
            plan=training.plan,
            checkpoint=training.checkpoint,
            progress=None if progress is None else lambda at: progress(at.tokens, at.budget),
        )
        known = set(map(id, prompts))
        reports.append(replace(report, prompts=sum(id(one) in known for one in given)))
    if not reports:
        return candidate, _untouched(candidate, base, held_out, batch_tokens)
    return best, _joined(reports)


def heal_model(
    source: str | Path,
    base: str | Path,
    texts: Sequence[str],
    out: Path,
    *,
    methods: Sequence[Method],
    training: Training = Training(),
    max_tokens: int,
    device: str | None = None,
    progress: Progress | None = None,
) -> HealingReport:
    """Load both models, heal `source` on `texts`, prove the result and save it at `out`.

    One text in five judges, the others teach; together at most `max_tokens` tokens are read. The
    folder is written also where no method helped, then as the cut it was. Raises InputError where
    `out` exists, and what `placement_of`, `load_model`, `heal` and `save_cut` raise; `progress` is
    that of `heal`.
    """
    if out.exists():
        raise InputError(f"{out} already exists: give a new folder, or remove it first.")
    place, tokenizer = placement_of(device), load_tokenizer(source)
    candidate, teacher = (load_model(one, device_map=place) for one in (source, base))
    if len(find_stack(teacher).kept) == len(find_stack(candidate).kept):
        raise InputError(f"{source} has all layers of {base}: there is no gap to heal.")
    sequences = first_tokens(tokenizer, texts, max_tokens)
    fit, judge = split_text(sequences)
    healed, report = heal(
        candidate,
        teacher,
        tokenizer,
        fit,
        judge,
        methods=methods,
        training=training,
        progress=progress,
    )
    digest = source_digest(source)
    save_cut(healed, tokenizer, out, parent=None if digest is None else digest.digest)
    if training.checkpoint is not None:
        training.checkpoint.unlink(missing_ok=True)
    return report


def first_tokens(tokenizer: Any, texts: Sequence[str], budget: int) -> list[list[int]]:
    """Texts as tokens, each cut at 512, from the first on until `budget` tokens are spent."""
    chosen: list[list[int]] = []
    for tokens in tokenize(tokenizer, texts, max_length=_MAX_LENGTH):
        if budget <= 0:
            break
        if len(tokens) > 1:
            chosen.append(tokens[: max(budget, 2)])
            budget -= len(tokens)
    return chosen


def split_text(texts: Sequence[_Text]) -> tuple[list[_Text], list[_Text]]:
    """The texts (or tokens, or records) that teach and those that judge: every fifth."""
    teach = [text for at, text in enumerate(texts) if at % JUDGES]
    return teach, list(texts[::JUDGES])


def _within(texts: Sequence[Sequence[int]], training: Training) -> list[Sequence[int]]:
    """As many texts as the budget reads, but for the base's own; drawn where there are more."""
    budget = round(training.plan.tokens * (1 - training.own_share))
    if sum(map(len, texts)) <= budget:
        return list(texts)
    drawn = random.Random(training.plan.seed).sample(texts, len(texts))  # noqa: S311
    ends = accumulate(map(len, drawn))
    return [text for text, end in zip(drawn, ends, strict=True) if end - len(text) < budget]


def _own(
    base: Any,
    tokenizer: Any,
    sequences: Sequence[Sequence[int]],
    training: Training,
    progress: Progress | None,
) -> list[list[int]]:
    theirs = sum(map(len, sequences))
    tokens = round(theirs * training.own_share / (1 - training.own_share))
    if tokens < 2:
        return []
    return kept_text(base, tokenizer, training.own_text, tokens=tokens, progress=progress)


def _joined(reports: Sequence[HealingReport]) -> HealingReport:
    """One report of healings that followed one another."""
    first, last = reports[0], reports[-1]
    kept = [report.method for report in reports if report.method != "none"]
    later = tuple(one for report in reports[1:] for one in report.tried if one.method != "none")
    return replace(
        last,
        method=kept[-1] if kept else "none",
        loss_before=first.loss_before,
        tried=first.tried + later,
        fits=first.fits,
        skipped=first.skipped,
        warnings=tuple(warning for report in reports for warning in report.warnings),
    )


def _untouched(
    candidate: Any, base: Any, held_out: Sequence[Sequence[int]], batch_tokens: int
) -> HealingReport:
    loss = mean_loss(candidate, held_out, batch_tokens=batch_tokens)
    return HealingReport(
        method="none",
        loss_before=loss.mean,
        loss_after=loss.mean,
        loss_of_base=mean_loss(base, held_out, batch_tokens=batch_tokens).mean,
        tokens=0,
        held_out_tokens=sum(map(len, held_out)),
        tried=(Tried("none", loss.mean),),
    )
