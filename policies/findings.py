"""What a verification says, in plain sentences."""

from collections.abc import Iterator, Sequence

from policies.approvals import read_decision
from policies.entries import (
    AliasMoved,
    AliasRequested,
    Answer,
    ChangeOpened,
    Entry,
    FaultRecorded,
    IncidentClosed,
    IncidentOpened,
    JobKeyChanged,
    RosterChanged,
    RunResumed,
)
from policies.lifecycle.state import ChangeState, Request
from policies.rejudging import Rejudge
from policies.schema import Step, plain, rfc3339


def checked(entries: int, files: int, judge: Rejudge) -> tuple[str, ...]:
    """What was checked and held."""
    return (
        f"All {files} files are those that the signed manifest names; none is missing or added.",
        f"All {entries} entries of the record are there, in order, each signed by the job's key "
        "and chained to the one before.",
        "The pack's checkpoint fits this record.",
        f"All {len(judge.documents)} documents that change {judge.change} rests on are the "
        "recorded ones.",
        f"Every one of its {judge.verdicts} verdicts follows again from the measurements "
        "and the policy.",
        f"Each of its {judge.decisions} recorded decisions was checked again: signature, roster, "
        "role, time, subject and policy.",
        "Every entry of the change is what its policy let follow, from opening to the last.",
        *(
            ["The OpenSSF signature of the registered model's files holds, and is of this model."]
            if judge.signed
            else []
        ),
    )


def notices(change: ChangeState, entries: Sequence[Entry]) -> tuple[str, ...]:
    """What is lawful and yet worth a look."""
    requests: list[tuple[Step, Request | None]] = [
        *((step.number, step.request) for step in change.steps),
        ("promotion", change.promotion),
    ]
    return (
        *(
            sentence
            for number, request in requests
            if request is not None and request.asked.override
            for sentence in _override(number, request)
        ),
        *_other_rules(change, entries),
        *(sentence for entry in entries if (sentence := _notice(entry, change))),
    )


def _override(step: Step, request: Request) -> list[str]:
    how = _ENDS[request.settled.kind] if request.settled else "not decided yet"
    reasons = [
        plain(f"{one.approver}: {read_decision(one.envelope.encode())[0].reason}")
        for one in request.decisions
        if one.valid and one.envelope
    ]
    said = "; ".join(reasons) or "nobody answered"
    return [f"OVERRIDE asked for at step {step}: the rules had refused it ({how}). {said}."]


def _notice(entry: Entry, change: ChangeState) -> str | None:
    body = entry.body
    at = f"Entry {entry.sequence}"
    if isinstance(body, JobKeyChanged):
        told = f"{at}: the job's key was replaced ({plain(body.reason)})."
        return told if body.compromised_since is None else f"{told} {_compromised(body)}"
    if entry.change != change.id:
        return None
    match body:
        case RosterChanged():
            return f"{at}: the roster of approvers was replaced by {body.roster}."
        case FaultRecorded():
            return f"{at}: {plain(body.error)} in {plain(body.stage)}."
        case RunResumed():
            return f"{at}: a run went on at {plain(body.at)}, {rfc3339(entry.time)}."
        case AliasRequested():
            other = body.move.policy != change.opened.policy or body.move.roster != change.roster
            under = ", under another policy or roster than the change's" if other else ""
            return (
                f"{at}: {body.move.action} to version {plain(body.move.version)} was "
                f"asked for by {plain(body.move.requester)}{under}."
            )
        case AliasMoved():
            return (
                f"{at}: {plain(body.alias)} was moved {'by hand' if body.deciders else 'at once'} "
                f"to version {plain(body.version)}, {plain(body.reason)}."
            )
        case IncidentOpened():
            return (
                f"Entry {entry.sequence}: incident {body.number}, in use the model was below its "
                f"floor ({body.reason})."
            )
        case IncidentClosed():
            return f"Entry {entry.sequence}: incident {body.number} ended, {body.reason}."
        case Answer(valid=False):
            return f"{at}: an answer did not count ({plain(body.fault or '')})."
        case Answer(decision="withdraw"):
            return f"{at}: {plain(body.approver or '')} took an approval back."
        case _:
            return None


_ENDS = {
    "step.approved": "approved all the same",
    "step.rejected": "rejected",
    "step.expired": "expired",
}


def _compromised(body: JobKeyChanged) -> str:
    since = rfc3339(body.compromised_since) if body.compromised_since else ""
    return (
        f"THE KEY BEFORE IT IS DECLARED COMPROMISED SINCE {since}: whoever had it may have written "
        "the entries from then on; compare them with a checkpoint of before."
    )


def _other_rules(change: ChangeState, entries: Sequence[Entry]) -> Iterator[str]:
    """What differs from the rules of the change before."""
    opened = [entry.body for entry in entries if isinstance(entry.body, ChangeOpened)]
    at = int(change.id.rpartition("-")[2]) - 1
    if at == 0:
        return
    before, now = opened[at - 1], opened[at]
    if before.policy != now.policy:
        yield f"The policy is another one than the change before was opened under: {now.policy}."
    if before.roster != now.roster:
        yield f"The roster is another one than the change before was opened under: {now.roster}."


def not_established(change: ChangeState, *, pinned: bool, kept: bool) -> tuple[str, ...]:
    """What the pack alone cannot show."""
    sentences = (
        []
        if pinned
        else [
            "Whose key signed: the pack brings its own. Compare its fingerprint with one that you "
            "have from elsewhere, and give it."
        ]
    )
    if not kept:
        sentences.append(
            "That nothing was cut off after the last entry, or rewritten with the right key: for "
            "that, give a checkpoint that you kept or that was published."
        )
    return (
        *sentences,
        f"That the roster {change.roster} names the right people: compare it with your own.",
        "That the measurements are true: only that the verdicts follow from them.",
        "That every answer was recorded: whoever answered can look for the digest of theirs.",
        "That the pages in extra/ say the same as the record: they are for reading, and signed "
        "with the rest.",
        "Other changes of the line: only their order and signatures were checked.",
    )
