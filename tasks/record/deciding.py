"""What people are asked right now, and their signed answer to exactly that."""

from dataclasses import dataclass
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from policies.approvals import Decision, Expectation, sign_decision, verify_decision
from policies.errors import DecisionError
from policies.evidence import StepEvidence
from policies.keys import fingerprint
from policies.lifecycle import ChangeState, expectation
from policies.schema import Step
from tasks import clock
from tasks.record.line_view import LineView


@dataclass(frozen=True)
class Question:
    """An open request, the evidence behind it, and what an answer must fit."""

    change: str
    step: Step
    evidence: StepEvidence
    expected: Expectation

    def summary(self) -> str:
        """The facts to decide on, in a few lines; the dossier has all of them."""
        seen, subject = self.evidence, self.expected.subject
        what = "the promotion" if self.step == "promotion" else f"step {self.step}"
        proposed = f"removes layer {seen.proposed_layer}" if seen.proposed_layer is not None else ""
        proposed = proposed or "makes this model the one in use"
        layers = f"{len(seen.kept_layers)} of {seen.measurements.layers.original_layers} layers"
        lines = [
            f"{self.change}, {what}: {proposed}; {layers} left",
            f"verdict of the rules: {'pass' if seen.passed else 'REFUSED, this would override it'}",
        ]
        for kpi in seen.measurements.kpis:
            kept = "not measured" if kpi.retention is None else f"{kpi.retention:.1%}"
            low = "–" if kpi.retention_low is None else f"{kpi.retention_low:.1%}"
            lines.append(f"  {kpi.name}: keeps {kept} of the base, at least {low}")
        lines += [f"evidence {subject.evidence}", f"candidate {subject.candidate}"]
        return "\n".join(lines)


def open_question(
    view: LineView, change_id: str, step: str | None, evidence: str | None
) -> Question:
    """The request that an answer would be about.

    Args:
        view: the line.
        change_id: one of its changes.
        step: a step's number, or "promotion"; None: what is asked now.
        evidence: the digest that was shown; it must still be the one that is asked about.

    Raises:
        DecisionError: nothing is asked, it is over, or the evidence is another one.
    """
    change = view.change(change_id)
    asked = asked_step(change) if step is None else parse_step(step)
    request = change.request(asked) if asked is not None else None
    if asked is None or request is None:
        raise DecisionError(f"Change {change_id} asks for no decision there now.", "nothing_asked")
    if request.settled is not None or view.state.change is None:
        over = request.settled.reason if request.settled else "the change is closed"
        raise DecisionError(f"Step {asked} of {change_id} is over: {over}.", "late")
    if evidence is not None and evidence != request.asked.evidence:
        raise DecisionError(
            f"The evidence is now {request.asked.evidence}, not {evidence}. Read the page again.",
            "wrong_evidence",
        )
    return Question(
        change_id,
        asked,
        view.documents.get_model(request.asked.evidence, StepEvidence),
        expectation(change, asked, view.policy_of(change), view.roster_of(change)),
    )


def sign(
    question: Question,
    decision: Literal["approve", "reject", "withdraw"],
    reason: str,
    key: Ed25519PrivateKey,
    nonce: str,
) -> bytes:
    """A signed decision that would count if it were collected now.

    Raises:
        DecisionError: it would not count; the message says why, before anything is sent.
    """
    expected, now = question.expected, clock.now()
    holder = expected.roster.holder(fingerprint(key.public_key()))
    if holder is None:
        raise DecisionError(
            f"The key {fingerprint(key.public_key())} is not in the roster of this change. Use the "
            "key that the roster names for you, or have yours added.",
            "unknown_key",
        )
    said = Decision(
        subject=expected.subject,
        decision=decision,
        reason=reason,
        approver=holder.person.name,
        time=now,
        expires=expected.expires,
        nonce=nonce,
    )
    envelope = sign_decision(said, key)
    verify_decision(envelope, expected, now=now)
    return envelope


def asked_step(change: ChangeState) -> Step | None:
    """What people were asked last; None where nothing was."""
    if change.promotion is not None:
        return "promotion"
    return next((one.number for one in reversed(change.steps) if one.request is not None), None)


def parse_step(text: str) -> Step:
    """A step from the command line. Raises DecisionError where it is none."""
    if text != "promotion" and not text.isdigit():
        raise DecisionError(f"{text!r} is no step; expected a number from 1, or promotion.")
    return "promotion" if text == "promotion" else int(text)
