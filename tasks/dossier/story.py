"""What the dossier says in sentences: the question, its consequences, the manager's page."""

from __future__ import annotations

import math
from dataclasses import dataclass

from markupsafe import Markup

from tasks.dossier.facts.choice import PlainChoiceFact
from tasks.dossier.facts.decision import PolicyPoint, UnknownFact
from tasks.dossier.facts.dossier import DossierFacts
from tasks.dossier.facts.quality import SliceFact, VerdictFact
from tasks.dossier.facts.resources import ProfileFact
from tasks.dossier.figures import UNKNOWN, Figures
from tasks.dossier.sentences import Sentences
from tasks.dossier.texts import Texts

_OF_KPIS = frozenset({"kpi", "slice", "drop", "report_only"})
_MOST_NATS = 50.0
_SIZES = ("bytes_on_disk", "parameters")


@dataclass(frozen=True)
class BigNumber:
    """One of the manager's three numbers."""

    label: Markup
    value: float
    text: str
    detail: Markup


@dataclass(frozen=True)
class Story:
    """Writes the sentences about `facts` in one language."""

    facts: DossierFacts
    t: Texts
    f: Figures

    def asked(self) -> Markup:
        """The question in one sentence."""
        facts, t = self.facts, self.t
        if facts.change is None:
            return t("asked.nothing", line=facts.line)
        if facts.step == "promotion":
            return t("asked.promotion", line=facts.line)
        if not facts.proposed:
            return t("asked.unknown", change=facts.change)
        n = len(facts.proposed)
        return t("asked.step", line=facts.line, layers=self.numbers(facts.proposed), n=n)

    def step_name(self) -> Markup:
        """How this step is called."""
        if self.facts.step == "promotion":
            return self.t("step.promotion")
        return self.t("step.number", number=self.facts.step)

    def consequence(self) -> tuple[Markup, ...]:
        """What follows from a yes: size, saving, the least that is kept."""
        said = (self.what(), self.saving(), self.losing())
        return tuple(sentence for sentence in said if sentence is not None)

    def what(self) -> Markup | None:
        """How much of the model would be gone."""
        facts = self.facts
        if not facts.original_layers or not facts.layers:
            return None
        share = self.f.percent(facts.gone / facts.original_layers)
        return self.t("story.gone", n=facts.gone, all=facts.original_layers, share=share)

    def saving(self) -> Markup | None:
        """What it saves: money where it is known, else size."""
        cost, size = self.facts.cost, self.size()
        if cost and cost.saved_month is not None:
            return self.t("story.saves", money=self.f.money(cost.saved_month, cost.currency))
        if size and size.ratio is not None:
            return self.t("story.smaller", change=self.f.percent(1 - size.ratio))
        return None

    def losing(self) -> Markup | None:
        """What the worst KPI keeps."""
        worst = self.facts.worst_kpi
        if worst is None:
            return None
        kept = self.f.percent(worst.retention, worst.limit)
        if worst.retention_low is None:
            return self.t("story.keeps_about", kpi=worst.name, kept=kept)
        low = self.f.percent(worst.retention_low, worst.limit)
        return self.t(
            "story.keeps", kpi=worst.name, kept=kept, low=low, confidence=self.confidence()
        )

    def hurting(self) -> Markup | None:
        """Where it hurts most."""
        worst = self.worst_slice()
        if worst is None:
            return None
        kept = self.f.percent(worst.retention, worst.limit)
        return self.t("story.hurts", slice=worst.slice, kpi=worst.kpi, kept=kept)

    def verdict(self) -> Markup:
        """What the rules say, and how much stays open."""
        facts, t = self.facts, self.t
        if not facts.verdicts:
            return t("story.unjudged")
        if facts.failed:
            return t("story.failed", n=len(facts.failed), all=len(facts.verdicts))
        return t("story.passed", n=len(facts.verdicts))

    def open_points(self) -> Markup:
        """How much we do not know, and by when to decide."""
        n, expires = len(self.facts.unknowns), self.facts.ask.expires
        open_points = self.t("story.open", n=n) if n else self.t("story.nothing_open")
        if expires is None:
            return open_points
        return open_points + self.t("word.gap") + self.t("story.until", date=self.f.date(expires))

    def sentences(self) -> tuple[Markup, ...]:
        """The manager's four sentences: what and saving, quality, where it hurts, verdict."""
        joint = self.t("word.gap")
        said = (
            joint.join(part for part in (self.what(), self.saving()) if part is not None) or None,
            self.losing(),
            self.hurting(),
            joint.join((self.verdict(), self.open_points())),
        )
        return tuple(sentence for sentence in said if sentence is not None)

    def big_numbers(self) -> tuple[BigNumber, ...]:
        """At most three: what it saves, how much is gone, what the worst KPI keeps."""
        facts, t, f = self.facts, self.t, self.f
        numbers = []
        if facts.cost and facts.cost.saved_month is not None:
            saved = facts.cost.saved_month
            text = f.money(saved, facts.cost.currency)
            numbers.append(BigNumber(t("card.saving"), saved, text, t("card.estimate")))
        elif (size := self.size()) and size.ratio is not None:
            detail = t.known(f"resource.{size.name}", size.name)
            numbers.append(BigNumber(t("card.size"), size.ratio, f.change(size.ratio), detail))
        if facts.original_layers and facts.layers:
            share = facts.gone / facts.original_layers
            detail = t("card.of_layers", n=facts.gone, all=facts.original_layers)
            numbers.append(BigNumber(t("card.gone"), share, f.percent(share), detail))
        worst = facts.worst_kpi
        if worst and worst.retention is not None:
            text = f.percent(worst.retention, worst.limit)
            kept = BigNumber(
                t("card.worst_kpi"), worst.retention, text, t("word.name", name=worst.name)
            )
            numbers.append(kept)
        return tuple(numbers)

    def numbers(self, layers: tuple[int, ...]) -> Markup:
        """Layer numbers as a list in the language's punctuation."""
        if not layers:
            return self.t("word.none")
        return self.t("word.comma").join(map(str, layers))

    def worst_slice(self) -> SliceFact | None:
        """The slice that keeps least, of those that were measured."""
        worst = next(iter(self.facts.worst_slices), None)
        return worst if worst and worst.retention is not None else None

    def size(self) -> ProfileFact | None:
        """The measure of size to name when no money is known."""
        return next((row for row in self.facts.profile if row.name in _SIZES), None)

    def confidence(self) -> str:
        """The confidence of lower limits, as percent without decimals."""
        known = self.facts.confidence
        return "95%" if known is None else self.f.percent(known).replace(".0%", "%")

    def unknown(self, item: UnknownFact) -> Markup:
        """One thing that we do not know."""
        n, needed = self.f.number(item.n), self.f.number(item.needed)
        key = f"unknown.{item.kind}"
        if item.kind == "cannot_tell" and item.needed is not None:
            key = "unknown.needed"
        subject = item.subject
        if item.kind == "drift":
            subject = self.t.known(f"drift_name.{item.subject}", item.subject)
        return self.t(key, subject=subject, n=n, needed=needed)

    def plain(self, choice: PlainChoiceFact) -> tuple[Markup, ...]:
        """What plain AVSS alone would have removed, what that costs, and what was chosen."""
        t = self.t
        by = t("plain.published" if choice.published else "plain.score")
        if choice.plain_layer == choice.chosen_layer:
            return (t("plain.same", by=by, layer=choice.plain_layer),)
        first = t("plain.another", by=by, layer=choice.plain_layer)
        if choice.plain_loss is None:
            return (first, t("plain.unmeasured"))
        losses = (
            (choice.plain_layer, choice.plain_loss),
            (choice.chosen_layer, choice.chosen_loss),
        )
        told = [
            t("plain.cost", layer=layer, loss=self.f.number(loss), times=self._times(loss))
            for layer, loss in losses
            if layer is not None and loss is not None
        ]
        return (first, *told)

    def _times(self, loss: float) -> str:
        """By how much perplexity grows against the model before this step."""
        choice = self.facts.plain_choice
        if choice is None or choice.base_loss is None or loss - choice.base_loss > _MOST_NATS:
            return UNKNOWN
        return self.f.number(math.exp(loss - choice.base_loss))

    def said(self, sentence: str) -> Markup | None:
        """A sentence of the record in the page's language; None where it is not known."""
        return Sentences(self.t)(sentence)

    def subject(self, verdict: VerdictFact) -> Markup:
        """What a verdict is about: a thing of ours by its name here, a KPI by its own."""
        subject, t = verdict.subject, self.t
        if verdict.rule == "worst_slice" and " on " in subject:
            kpi, _, part = subject.partition(" on ")
            return t("word.part", kpi=kpi, slice=part)
        if (
            verdict.rule == "output_drift"
            and f"drift_name.{subject.rpartition('.')[2]}" in t.entries
        ):
            kpi, _, measure = subject.rpartition(".")
            return t("word.of", kpi=kpi, measure=t(f"drift_name.{measure}"))
        if f"drift_name.{subject}" in t.entries:
            return t(f"drift_name.{subject}")
        return t.known(f"subject.{subject}", subject)

    def policy(self, point: PolicyPoint) -> Markup:
        """One point of the policy as a sentence."""
        f = self.f
        key = f"policy.{point.kind}"
        if point.kind in _OF_KPIS and not point.subject:
            key = f"policy.any_{point.kind}"
        return self.t(
            key,
            subject=point.subject,
            share=f.percent(point.share),
            confidence=f.percent(point.confidence).replace(".0%", "%"),
            n=f.number(point.count),
            other=f.number(point.other),
        )
