"""What happened to the version in use beside the changes: moves by hand, and incidents."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from policies.entries import (
    AliasKept,
    AliasMoved,
    AliasRequested,
    Entry,
    IncidentClosed,
    IncidentOpened,
)
from tasks.dossier import EventFact


def events_of(entries: Iterable[Entry]) -> Iterator[EventFact]:
    """Each with who asked, who decided and why, as the record has them, the oldest first."""
    asked: dict[int, AliasRequested] = {}
    watched: dict[int, IncidentOpened] = {}
    for entry in entries:
        body = entry.body
        if isinstance(body, AliasRequested):
            asked[body.number] = body
        elif isinstance(body, AliasMoved):
            yield _moved(body, asked.get(body.number), entry.time)
        elif isinstance(body, AliasKept):
            yield _kept(body, asked.get(body.number), entry.time)
        elif isinstance(body, IncidentOpened):
            watched[body.number] = body
            yield EventFact(
                kind="incident", at=entry.time, version=body.version, reason=body.reason
            )
        elif isinstance(body, IncidentClosed):
            opened = watched.get(body.number)
            yield EventFact(
                kind=body.how,
                at=entry.time,
                version=opened.version if opened else "",
                reason=body.reason,
            )


def _moved(body: AliasMoved, asked: AliasRequested | None, at: datetime) -> EventFact:
    return EventFact(
        kind=asked.move.action if asked else "promote",
        at=at,
        version=body.version,
        requester=asked.move.requester if asked else "",
        deciders=body.deciders,
        reason=asked.move.reason if asked else body.reason,
    )


def _kept(body: AliasKept, asked: AliasRequested | None, at: datetime) -> EventFact:
    return EventFact(
        kind="kept",
        at=at,
        version=asked.move.version if asked else "",
        requester=asked.move.requester if asked else "",
        deciders=body.deciders,
        reason=body.reason,
    )
