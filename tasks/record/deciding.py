"""What people are asked right now, and their signed answer to exactly that."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from policies.approvals import (
    Decision,
    Expectation,
    sign_decision,
    standing,
    tally,
    verify_decision,
)
from policies.errors import DecisionError
from policies.evidence import StepEvidence
from policies.keys import Signer, fingerprint
from policies.lifecycle import ChangeState, expectation
from policies.schema import Step, plain, rfc3339
from tasks import clock
from tasks.record.line_view import LineView
from tasks.record.move_question import MoveQuestion, is_about_alias, open_move_question


@dataclass(frozen=True)
class Question:
    """An open request, the evidence behind it, and what an answer must fit."""

    change: str
    step: Step
    evidence: StepEvidence
    expected: Expectation
    approvals: tuple[str, ...]
    """Who has approved so far."""

    @property
    def asked_about(self) -> str:
        """Digest of the evidence."""
        return self.expected.subject.evidence

    def summary(self) -> str:
        """The facts to decide on, in some lines; the dossier has all of them."""
        return "\n".join([*self._asked(), *self._verdict(), *self._measured(), *self._signed()])

    def _asked(self) -> Iterator[str]:
        seen, gate = self.evidence, self.expected.gate
        what = "the promotion" if self.step == "promotion" else f"step {self.step}"
        proposed = f"removes layer {seen.proposed_layer}" if seen.proposed_layer is not None else ""
        proposed = proposed or "makes this model the one in use"
        layers = f"{len(seen.kept_layers)} of {seen.measurements.layers.original_layers} layers"
        yield f"{self.change}, {what}: {proposed}; {layers} left"
        least = "".join(f", {count} of them {role}" for role, count in gate.at_least.items())
        given = ", ".join(map(plain, self.approvals)) or "nobody"
        yield (
            f"asked for by {plain(self.expected.requester)}; needs {gate.quorum} of "
            f"{' or '.join(gate.roles)}{least}, until {rfc3339(self.expected.expires)}; "
            f"approved so far by {given}"
        )

    def _verdict(self) -> Iterator[str]:
        if self.evidence.passed:
            yield f"verdict of the rules: pass, all {len(self.evidence.verdicts)} hold"
            return
        yield "verdict of the rules: REFUSED. TO APPROVE THIS IS TO OVERRIDE THE RULES"
        for one in self.evidence.verdicts:
            if not one.passed:
                seen = "not measured" if one.observed is None else f"{one.observed:.4g}"
                limit = "" if one.limit is None else f", limit {one.limit:.4g}"
                yield plain(
                    f"  failed {one.rule} {one.subject}: {seen}{limit} {one.reason}".rstrip()
                )

    def _measured(self) -> Iterator[str]:
        measured = self.evidence.measurements
        for kpi in measured.kpis:
            worst = kpi.worst_slice
            part = f"; worst {plain(worst.slice)}: {_share(worst.retention_low)}" if worst else ""
            yield (
                f"  {kpi.name}: keeps {_share(kpi.retention)} of the base on {kpi.n} examples, "
                f"at least {_share(kpi.retention_low)}{part}"
            )
        needs = measured.resources
        yield (
            f"  needs {_share(needs.parameters.value)} of the base's parameters, "
            f"{_share(needs.decode_seconds.value)} of its time a token, "
            f"{_share(needs.money_per_month.value)} of its cost"
        )

    def _signed(self) -> Iterator[str]:
        subject = self.expected.subject
        yield f"evidence {subject.evidence}"
        yield f"candidate {subject.candidate}"
        yield f"policy {subject.policy}"


def _share(value: float | None) -> str:
    return "an unmeasured share" if value is None else f"{value:.1%}"


def open_question(
    view: LineView, change_id: str, step: str | None, evidence: str | None
) -> Question | MoveQuestion:
    """The request that an answer would be about.

    Args:
        view: the line.
        change_id: one of its changes.
        step: a step's number, "promotion", or "alias" for a move of the alias by hand; None: what
            is asked now.
        evidence: the digest that was shown; it must still be the one that is asked about.

    Raises:
        DecisionError: nothing is asked, it is over, or the evidence is another one.
    """
    change = view.change(change_id)
    if is_about_alias(view, change_id, step):
        return open_move_question(view, change_id, evidence)
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
    expected = expectation(change, asked, view.policy_of(change), view.roster_of(change))
    return Question(
        change_id,
        asked,
        view.documents.get_model(request.asked.evidence, StepEvidence),
        expected,
        tally(standing(request.decisions, expected, now=clock.now()), expected.gate).deciders,
    )


def sign(
    question: Question | MoveQuestion,
    decision: Literal["approve", "reject", "withdraw"],
    reason: str,
    key: Signer,
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


def told_step(change: ChangeState) -> Step:
    """The step judged last, whose page tells where the change stands, whoever was asked."""
    if change.holdout is not None:
        return "promotion"
    judged = (one.number for one in reversed(change.steps) if any(at.judged for at in one.attempts))
    return next(judged, 1)


def parse_step(text: str) -> Step:
    """A step from the command line. Raises DecisionError where it is none."""
    if text != "promotion" and not text.isdigit():
        raise DecisionError(f"{text!r} is no step; expected a number from 1, promotion or alias.")
    return "promotion" if text == "promotion" else int(text)
