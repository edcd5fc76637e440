"""Facts in, one self-contained HTML page out."""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from tasks.dossier.facts.dossier import DossierFacts
from tasks.dossier.facts.quality import VerdictFact
from tasks.dossier.figures import Figures, visible
from tasks.dossier.pictures.balance import balance
from tasks.dossier.pictures.forest import forest
from tasks.dossier.pictures.strip import BASE, strip
from tasks.dossier.pictures.tradeoff import gain_tradeoff, kpi_tradeoff
from tasks.dossier.story import Story
from tasks.dossier.texts import Texts, load_texts, shown

MOST_ROWS = 400
MOST_OPEN = 12
MOST_EXAMPLES = 40
LONGEST_ANSWER = 1_200
"""Characters of a text of the business's own that people are to read, not only to recognize."""
_ORDER = {"fail": 0, "unknown": 1, "pass": 2, None: 3}
_PARTS: dict[str, Callable[[DossierFacts], object]] = {
    "model": lambda facts: facts.layers,
    "tradeoff": lambda facts: len(facts.tradeoff) > 1,
    "kpis": lambda facts: facts.kpis,
    "slices": lambda facts: facts.slices,
    "rare": lambda facts: facts.rare_cases,
    "rules": lambda facts: facts.verdicts,
    "gain": lambda facts: facts.profile or facts.cost,
    "outputs": lambda facts: facts.outputs or facts.examples,
    "drift": lambda facts: facts.drift,
    "contract": lambda facts: facts.data,
    "tried": lambda facts: facts.candidates or facts.probes or facts.healing or facts.plain_choice,
}
_SHARES = frozenset({"kpi_retention", "worst_slice", "drop_per_step", "saving", "latency"})
_OPTIONAL = frozenset({"rare", "tried", "tradeoff"})


def render(facts: DossierFacts, language: str = "en") -> str:
    """The dossier of `facts` as one HTML file that asks nothing of any network.

    Raises TaskError for a language other than `en` and `ja`.
    """
    texts = load_texts(language)
    return environment().get_template("page.html.j2").render(**_context(facts, texts))


@cache
def environment() -> Environment:
    """Templates that escape everything and let nothing hidden through."""
    made = Environment(
        loader=PackageLoader("tasks.dossier"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(_assets())
    made.filters["whole"] = _whole
    return made


def _whole(text: str) -> Markup:
    """A text to read: longer than a name may be, and as harmless."""
    return escape(visible(text, LONGEST_ANSWER)[: 2 * LONGEST_ANSWER])


def _assets() -> dict[str, Markup]:
    """Our own style and script, and the hashes by which the page allows these two alone."""
    assets: dict[str, Markup] = {}
    for name, file in (("style", "style.css"), ("script", "page.js")):
        text = (files("tasks.dossier") / file).read_text(encoding="utf-8")
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assets[name] = Markup(text)  # noqa: S704 - a file of this package
        assets[f"{name}_hash"] = escape(f"sha256-{digest}")
    return assets


def _context(facts: DossierFacts, t: Texts) -> dict[str, Any]:
    figures = Figures(t.language)
    story = Story(facts, t, figures)
    present = [part for part, known in _PARTS.items() if known(facts)]
    return {
        "facts": facts,
        "t": t,
        "f": figures,
        "story": story,
        "sections": [*present, "unknown", "manager", "provenance"],
        "missing": [part for part in _PARTS if part not in present and part not in _OPTIONAL],
        "shares": _SHARES,
        "most": MOST_ROWS,
        "most_open": MOST_OPEN,
        "most_examples": MOST_EXAMPLES,
        "resource": lambda name, value: _resource(figures, name, value),
        **_commands(facts, t),
        **_pictures(facts),
        **_ordered(facts, t),
    }


def _commands(facts: DossierFacts, t: Texts) -> dict[str, Markup]:
    change = shlex.quote(visible(facts.change or ""))
    step = "" if facts.step is None else f" --step {facts.step}"
    reason = f' --key PATH --reason "{t("decide.reason")}"'
    if facts.evidence:  # what changed since the page was read is then not signed
        reason += f" \\\n  --evidence {shlex.quote(visible(facts.evidence))}"
    return {
        "approve": escape(f"avss approve {change}{step}{reason}"),
        "reject": escape(f"avss reject {change}{step}{reason}"),
        "verify": escape(f"avss export {change} --out pack\navss verify pack"),
    }


def _pictures(facts: DossierFacts) -> dict[str, Any]:
    limits = frozenset(kpi.limit for kpi in facts.kpis if kpi.limit is not None)
    return {
        "strip": strip(facts.layers),
        "strip_base": BASE,
        "kept": kpi_tradeoff(facts.tradeoff, facts.kpis),
        "gain": gain_tradeoff(facts.tradeoff),
        "balance": balance(facts.tradeoff, limits),
        "kpi_forest": forest(facts.kpis),
        "slice_forest": forest(facts.worst_slices[:MOST_ROWS]),
    }


def _ordered(facts: DossierFacts, t: Texts) -> dict[str, Any]:
    def against_first(verdict: VerdictFact) -> int:
        return _ORDER[verdict.outcome]

    return {
        "verdicts": sorted(facts.verdicts, key=against_first),
        "slices": facts.worst_slices,
        "drift": sorted(facts.drift, key=lambda check: _ORDER[check.outcome]),
        "approvals": len(_approvers(facts)),
        "roles": t("word.comma").join(
            t.known(f"role.{visible(role)}", role) for role in facts.ask.roles
        ),
    }


def _approvers(facts: DossierFacts) -> set[str]:
    """Different people whose approval counts."""
    return {
        decision.approver
        for decision in facts.ask.decisions
        if decision.decision == "approve" and not decision.fault
    }


def _resource(figures: Figures, name: str, value: float | None) -> str:
    write = figures.size if "bytes" in name else figures.large
    return write(value)
