"""The page that people decide on: facts in, one self-contained HTML file out."""

from tasks.dossier.facts.dossier import DossierFacts
from tasks.dossier.gather import StepSource, Surroundings, gather
from tasks.dossier.index import ChangeFact, EventFact, IndexFacts, render_index
from tasks.dossier.render import render

__all__ = [
    "ChangeFact",
    "DossierFacts",
    "EventFact",
    "IndexFacts",
    "StepSource",
    "Surroundings",
    "gather",
    "render",
    "render_index",
]
