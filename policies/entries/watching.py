"""Entries about the model in use, watched on fresh data; they belong to the change that made it."""

from typing import Literal

from policies.entries.body import Body
from policies.rules.verdict import Verdict
from policies.schema import Digest, Name, Ordinal, Text

Closing = Literal["recovered", "replaced"]


class MonitorChecked(Body):
    """The model in use, measured on fresh data and judged by the policy it was promoted under."""

    kind = "monitor.checked"
    document_fields = ("manifest", "facts")

    model: Digest
    version: Name
    manifest: Digest
    """Of the fresh data's snapshot."""
    facts: Digest
    """What was measured (`policies.watching.WatchFacts`)."""
    passed: bool
    verdicts: tuple[Verdict, ...]


class IncidentOpened(Body):
    """The last check found the model below its floor."""

    kind = "incident.opened"

    number: Ordinal
    """Of the incident, from 1 for the life of the line."""
    model: Digest
    version: Name
    reason: Text


class IncidentClosed(Body):
    """The model is well again, or another one is in use."""

    kind = "incident.closed"

    number: Ordinal
    how: Closing
    reason: Text


WatchBody = MonitorChecked | IncidentOpened | IncidentClosed
