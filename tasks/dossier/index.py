"""The index of a line: every change, what became of it, and what has been saved so far."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from tasks.dossier.facts.base import Facts, Number, Outcome
from tasks.dossier.figures import Figures
from tasks.dossier.pictures.timeline import BASE, Moment, timeline
from tasks.dossier.render import MOST_ROWS, environment
from tasks.dossier.sentences import Sentences
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
_OUTCOMES: dict[str, Outcome | Literal["none"]] = {
    "promoted": "pass",
    "open": "unknown",
    "nothing_to_do": "none",
}


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
    """Against this change's own base."""
    version: str = ""
    page: Annotated[str, Field(pattern=r"^(?:[A-Za-z0-9_-][A-Za-z0-9._-]*/?)*$")] = ""

    @property
    def outcome(self) -> Outcome | Literal["none"]:
        """How the page marks it: promoted is met, open cannot be told, the rest was not met."""
        return _OUTCOMES.get(self.ending, "fail")


class EventFact(Facts):
    """What happened to the version in use beside the changes."""

    kind: Literal["rollback", "promote", "kept", "incident", "recovered", "replaced"]
    """The alias led back or put on a version by hand, such a move asked for and not made; an
    incident of the monitor, and how it ended."""
    at: AwareDatetime
    version: str = ""
    requester: str = ""
    deciders: tuple[str, ...] = ()
    reason: str = ""

    @property
    def moved(self) -> bool:
        """Whether another version is in use since."""
        return self.kind in ("rollback", "promote")


class IndexFacts(Facts):
    """A line and its changes, in any order."""

    line: str
    made: AwareDatetime | None = None
    original_layers: int | None = None
    live_version: str = ""
    currency: str = ""
    saved_month: Number | None = None
    """What the version in use saves a month against the original model, where it is known."""
    saved_so_far: Number | None = None
    """What all versions have saved while each was in use, until `made`."""
    changes: tuple[ChangeFact, ...] = ()
    events: tuple[EventFact, ...] = ()
    """The oldest first."""

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
    def live(self) -> ChangeFact | None:
        """The change whose version is in use."""
        made = (one for one in self.newest_first if one.version == self.live_version)
        return next(made, None) if self.live_version else None


def render_index(facts: IndexFacts, language: str = "en") -> str:
    """The index as one HTML file that asks nothing of any network.

    Raises TaskError for a language other than `en` and `ja`.
    """
    texts = load_texts(language)
    page = environment().get_template("index.html.j2")
    return page.render(
        facts=facts,
        t=texts,
        f=Figures(language),
        story=SimpleNamespace(said=Sentences(texts)),
        most=MOST_ROWS,
        timeline=timeline(_moments(facts)),
        timeline_base=BASE,
    )


def _moments(facts: IndexFacts) -> list[Moment]:
    """Each change with a known beginning and each move by hand, the oldest first."""
    changes = [
        Moment(
            name=one.change,
            at=(one.closed or one.opened).timestamp(),
            removed=one.layers_removed,
            outcome=one.outcome,
            ending=f"ending.{one.ending}",
            in_use=one.ending == "promoted",
        )
        for one in reversed(facts.newest_first)
        if one.opened is not None
    ]
    removed = {one.version: one.layers_removed for one in facts.changes if one.version}
    moves = [
        Moment(
            name=one.version,
            at=one.at.timestamp(),
            removed=removed.get(one.version),
            outcome="moved",
            ending=f"event.{one.kind}",
            in_use=True,
        )
        for one in facts.events
        if one.moved
    ]
    return sorted((*changes, *moves), key=lambda one: one.at)
