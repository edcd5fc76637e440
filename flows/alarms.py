"""Prefect automations of a line: people hear of bad and late runs, and dead ones are found."""

from collections.abc import Sequence
from datetime import timedelta

from prefect.automations import AutomationCore, EventTrigger, Posture
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState, SendNotification
from prefect.events.schemas.events import ResourceSpecification
from prefect.exceptions import ObjectNotFound

from tasks.errors import DeployError

_BAD = {"Failed", "Crashed", "TimedOut", "Late"}
_OVER = {"Completed", "Failed", "Crashed", "Cancelled", "Cancelling", "Suspended", "Paused"}
SILENCE = timedelta(minutes=3)
"""Without a heartbeat (every 30 s, see `deployments/prefect.yaml`) for so long, a run is dead."""


def register_alarms(client: SyncPrefectClient, line: str, notify: Sequence[str]) -> None:
    """Make the line's automations, or bring them up to date; safe to repeat.

    Raises:
        DeployError: there is no such notification block.
    """
    blocks = [_block_id(client, slug) for slug in notify]
    automations = [_silent(line), *([_told(line, blocks)] if blocks else [])]
    for automation in automations:
        existing = client.read_automations_by_name(automation.name)
        if existing:
            client.update_automation(existing[0].id, automation)
        else:
            client.create_automation(automation)


def block_of(slug: str) -> tuple[str, str]:
    """`type/name` of a Prefect block in two parts. Raises DeployError where it is no such thing."""
    kind, _, name = slug.partition("/")
    if not kind or not name or "/" in name:
        raise DeployError(
            f"{slug!r} names no notification block; expected type/name, such as "
            "slack-webhook/approvals. See: prefect block ls"
        )
    return kind, name


def _block_id(client: SyncPrefectClient, slug: str):  # type: ignore[no-untyped-def]
    kind, name = block_of(slug)
    try:
        return client.read_block_document_by_name(name, kind).id
    except ObjectNotFound:
        raise DeployError(
            f"Prefect has no block {slug}. Make it there first; see: prefect block ls"
        ) from None


def _of_line(line: str) -> ResourceSpecification:
    return ResourceSpecification(
        {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.line:{line}"}
    )


def _told(line: str, blocks: Sequence) -> AutomationCore:  # type: ignore[type-arg]
    """Tell people of runs that failed, crashed or are late: by name and state, nothing else."""
    body = (
        "Run {{ flow_run.name }} of line " + line + " is {{ flow_run.state.name }}. "
        "What was recorded is kept; the next run goes on from there. See docs/operations.md."
    )
    return AutomationCore(
        name=f"avss {line}: tell of runs that fail or are late",
        trigger=EventTrigger(
            expect={f"prefect.flow-run.{state}" for state in _BAD},
            match_related=_of_line(line),
            posture=Posture.Reactive,
            threshold=1,
        ),
        actions=[
            SendNotification(
                block_document_id=block, subject=f"avss {line}: a run needs a look", body=body
            )
            for block in blocks
        ],
    )


def _silent(line: str) -> AutomationCore:
    """A run whose process died says nothing any more: mark it, so that its place is free."""
    return AutomationCore(
        name=f"avss {line}: find runs that died",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.heartbeat", *(f"prefect.flow-run.{one}" for one in _OVER)},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            match_related=_of_line(line),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=SILENCE,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"nothing was heard of it for {SILENCE}"
            )
        ],
    )
