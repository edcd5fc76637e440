"""The model in use, watched: checks, incidents, and when an incident rolls back by itself."""

from dataclasses import replace

from policies.entries import (
    Entry,
    IncidentClosed,
    IncidentOpened,
    MonitorChecked,
    Move,
    WatchBody,
)
from policies.errors import UnlawfulTransitionError
from policies.lifecycle.handling import check_verdicts, need
from policies.lifecycle.state import Incident, State
from policies.policy import Policy


def incident_due(state: State) -> IncidentOpened | None:
    """The incident that the last check asks for; None where it asks for none, or one is open."""
    last, live = state.last_check, state.live
    if last is None or last.passed or live is None or state.incident is not None:
        return None
    if live.registered is None or last.version != live.registered.version:
        return None
    failed = [one for one in last.verdicts if not one.passed]
    told = "; ".join(f"{one.rule} {one.subject}".strip() for one in failed)
    return IncidentOpened(
        number=state.incidents + 1, model=last.model, version=last.version, reason=told[:2000]
    )


def closing_due(state: State) -> IncidentClosed | None:
    """How the open incident ends now; None where it does not, or there is none."""
    incident, live, last = state.incident, state.live, state.last_check
    if incident is None:
        return None
    number = incident.opened.number
    if live is None or live.id != incident.change:
        return IncidentClosed(number=number, how="replaced", reason="another version is in use")
    if last is not None and last.passed and last.version == incident.opened.version:
        return IncidentClosed(number=number, how="recovered", reason="the last check passed")
    return None


def follow_watch(state: State, entry: Entry, body: WatchBody) -> State:
    """Fold one entry about the model in use. Raises UnlawfulTransitionError where it cannot be."""
    if isinstance(body, MonitorChecked):
        live = state.live
        made = live.registered if live else None
        if live is None or made is None:
            raise UnlawfulTransitionError(
                "no model is in use that could be watched.", entry.sequence
            )
        need(entry, entry.change == live.id, f"it should be recorded with change {live.id}.")
        seen = (body.model, body.version)
        need(
            entry, seen == (made.model, made.version), "it is of another model than the one in use."
        )
        check_verdicts(entry, body)
        return replace(state, last_check=body)
    if isinstance(body, IncidentOpened):
        need(entry, body == incident_due(state), "no check asks for such an incident.")
        need(entry, entry.change == (state.live.id if state.live else None), _OTHER)
        incident = Incident(entry.change or "", entry.sequence, body)
        return replace(state, incident=incident, incidents=body.number)
    need(entry, body == closing_due(state), "the incident does not end here.")
    made_by = state.incident.change if state.incident else None
    need(entry, entry.change == made_by, _OTHER)
    return replace(state, incident=None)


_OTHER = "it is recorded with another change than the model's."


def consented(state: State, move: Move, policy: Policy) -> bool:
    """Whether a rollback needs no further decision.

    The policy that the model was promoted under must say so, and the incident that gave the reason
    must be open: whoever approved the promotion agreed to it.
    """
    incident, live = state.incident, state.live
    return (
        move.action == "rollback"
        and incident is not None
        and incident.sequence == move.incident
        and live is not None
        and live.id == incident.change
        and live.opened.policy == move.policy
        and policy.monitoring.on_breach == "rollback"
    )
