"""The index of a line: every change, what became of it, and what has been saved so far."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from tasks.dossier.facts import Facts, Number, Outcome
from tasks.dossier.figures import Figures
from tasks.dossier.render import MOST_ROWS, environment
from tasks.dossier.texts import load_texts

Ending = Literal[
    "open",
    "promoted",
    "refused",
    "rejected",
    "expired",
    "invalid_data",
    "nothing_to_do",
    "aborted",
]
_OUTCOMES: dict[str, Outcome] = {"promoted": "pass", "open": "unknown"}


class ChangeFact(Facts):
    """One change of a line; `page` is the dossier's place relative to the index."""

    change: str
    ending: Ending = "open"
    opened: AwareDatetime | None = None
    closed: AwareDatetime | None = None
    requester: str = ""
    deciders: tuple[str, ...] = ()
    layers_removed: int | None = None
    worst_kpi: str = ""
    worst_retention_low: Number | None = None
    saved_month: Number | None = None
    version: str = ""
    page: Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/?)*$")] = ""

    @property
    def outcome(self) -> Outcome:
        """How the page marks it: promoted is met, open cannot be told, the rest was not met."""
        return _OUTCOMES.get(self.ending, "fail")


class IndexFacts(Facts):
    """A line and its changes, in any order."""

    line: str
    made: AwareDatetime | None = None
    original_layers: int | None = None
    live_version: str = ""
    currency: str = ""
    changes: tuple[ChangeFact, ...] = ()

    @property
    def newest_first(self) -> tuple[ChangeFact, ...]:
        """Changes by their number; it grows within a line, and its digits may too."""
        return tuple(
            sorted(self.changes, key=lambda one: (len(one.change), one.change), reverse=True)
        )

    @property
    def promoted(self) -> tuple[ChangeFact, ...]:
        """The changes that went into production, newest first."""
        return tuple(one for one in self.newest_first if one.ending == "promoted")

    @property
    def saved_month(self) -> float | None:
        """Money a month saved by all promoted changes whose saving is known; None without any."""
        known = [one.saved_month for one in self.promoted if one.saved_month is not None]
        return sum(known) if known else None


def render_index(facts: IndexFacts, language: str = "en") -> str:
    """The index as one HTML file that asks nothing of any network.

    Raises TaskError for a language other than `en` and `ja`.
    """
    texts = load_texts(language)
    page = environment().get_template("index.html.j2")
    return page.render(facts=facts, t=texts, f=Figures(language), most=MOST_ROWS)
