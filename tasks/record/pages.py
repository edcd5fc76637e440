"""The dossier of a step, made from the record: when people are asked, and any time later."""

from collections.abc import Iterator
from typing import Any

from policies.approvals import read_decision
from policies.entries import DecisionRecorded
from policies.lifecycle import ChangeState, Request
from policies.schema import Step
from tasks.dossier import StepSource, Surroundings, gather, render
from tasks.dossier.facts.decision import AskFact, DecisionFact, LedgerFact
from tasks.record.line_view import LineView


def page_of(view: LineView, change: ChangeState, step: Step, language: str | None = None) -> str:
    """The dossier of a step, or of the promotion, as one self-contained HTML page.

    Args:
        view: the line.
        change: one of its changes.
        step: a step's number, or "promotion".
        language: "en" or "ja"; None takes the run file's.

    Raises:
        MissingError: nothing was judged there yet.
    """
    digest = view.evidence_digest(change, step)
    facts = gather(
        _source(view, digest),
        policy=view.policy_of(change),
        earlier=[_source(view, one) for one in _earlier(change, step)],
        refused=[_source(view, one) for one in _refused(change, step)],
        surroundings=_surroundings(view, change, step, digest),
    )
    return render(facts, language or view.documents.get(change.opened.run)["language"])


def _source(view: LineView, digest: str) -> StepSource:
    evidence: dict[str, Any] = view.documents.get(digest)
    return StepSource(evidence, view.named_documents(evidence))


def _earlier(change: ChangeState, step: Step) -> Iterator[str]:
    """Evidence of the approved steps before this one."""
    for one in change.approved_steps:
        chosen = one.chosen
        if one.number != step and chosen is not None and chosen.judged is not None:
            yield chosen.judged.evidence
        if one.number == step:
            return


def _refused(change: ChangeState, step: Step) -> Iterator[str]:
    """Evidence of the candidates that were refused after the last approved step: the end."""
    last = change.steps[-1] if change.steps and step == "promotion" else None
    if last is not None and not last.approved:
        yield from (one.judged.evidence for one in last.attempts if one.judged and one.failed_rules)


def _surroundings(view: LineView, change: ChangeState, step: Step, digest: str) -> Surroundings:
    last = view.record.chain.sealed[-1]
    environment = view.documents.get(change.opened.environment)
    return Surroundings(
        ask=_ask(change, change.request(step)),
        evidence=digest,
        ledger=LedgerFact(sequence=last.entry.sequence, digest=last.digest),
        environment=tuple(sorted(environment["packages"].items())),
        made=last.entry.time,
    )


def _ask(change: ChangeState, request: Request | None) -> AskFact:
    if request is None:
        return AskFact(requester=change.opened.requester)
    return AskFact(
        requester=change.opened.requester,
        requested=request.asked_at,
        expires=request.asked.expires,
        override=request.asked.override,
        decisions=tuple(_decision(one) for one in request.decisions),
    )


def _decision(recorded: DecisionRecorded) -> DecisionFact:
    """A decision as it came; its reason only where the signature holds."""
    withdrawn = recorded.decision == "withdraw"
    signed = None
    if recorded.valid and recorded.envelope is not None:
        signed, _ = read_decision(recorded.envelope.encode())
    return DecisionFact(
        approver=recorded.approver or "",
        decision=None if recorded.decision == "withdraw" else recorded.decision,
        role=", ".join(recorded.roles),
        reason=signed.reason if signed else "",
        time=signed.time if signed else None,
        fault="withdrawn" if withdrawn else recorded.fault or "",
    )
