"""Approve or reject: sign a decision with one's own key, on exactly what was shown."""

import secrets
import sys
from typing import Annotated, Literal

import typer

from flows.commands.common import LedgerOption, WorkOption, err, out, view_of

KeyOption = Annotated[
    str,
    typer.Option(
        "--key",
        help="Your private key: Ed25519, OpenSSH form. For a key that an ssh-agent holds: its "
        "public key file (.pub) or its fingerprint (SHA256:...).",
        metavar="PATH",
    ),
]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; it becomes part of the record.")]
StepOption = Annotated[
    str | None,
    typer.Option("--step", help="A step's number, or promotion; default: what is asked now."),
]
EvidenceOption = Annotated[
    str | None,
    typer.Option(help="Sign only if the evidence still has this digest, as the dossier shows it."),
]
YesOption = Annotated[
    bool,
    typer.Option(
        "--yes", help="Do not ask before signing. Without a terminal nobody is asked either."
    ),
]
ChangeArgument = Annotated[str, typer.Argument(help="The change's id, such as my-line-0001.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (approve, reject, withdraw):
        app.command()(command)


def approve(
    change: ChangeArgument,
    key: KeyOption,
    reason: ReasonOption,
    step: StepOption = None,
    evidence: EvidenceOption = None,
    yes: YesOption = False,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Sign an approval of what is shown and drop it where the job looks.

    On a terminal it asks before it signs, and signs only what is still asked then. An encrypted
    key's passphrase is asked for, or read from AVSS_KEY_PASSPHRASE.

    Example: avss approve my-line-0001 --key ~/.ssh/id_ed25519 --reason "KPIs hold"
    """
    _decide("approve", change, key, reason, step, evidence, yes, (work, ledger))


def reject(
    change: ChangeArgument,
    key: KeyOption,
    reason: ReasonOption,
    step: StepOption = None,
    evidence: EvidenceOption = None,
    yes: YesOption = False,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Sign a rejection; the first valid one ends the request.

    Example: avss reject my-line-0001 --key ~/.ssh/id_ed25519 --reason "too risky before the audit"
    """
    _decide("reject", change, key, reason, step, evidence, yes, (work, ledger))


def withdraw(
    change: ChangeArgument,
    key: KeyOption,
    reason: ReasonOption,
    step: StepOption = None,
    evidence: EvidenceOption = None,
    yes: YesOption = False,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Take your own approval back while the request is open. A rejection cannot be taken back.

    Example: avss withdraw my-line-0001 --key ~/.ssh/id_ed25519 --reason "a complaint came in"
    """
    _decide("withdraw", change, key, reason, step, evidence, yes, (work, ledger))


def _decide(
    decision: Literal["approve", "reject", "withdraw"],
    change: str,
    key: str,
    reason: str,
    step: str | None,
    evidence: str | None,
    yes: bool,
    buckets: tuple[str | None, str | None],
) -> None:
    from flows.waking import try_to_wake
    from tasks.record.deciding import open_question, sign
    from tasks.record.line_view import line_of
    from tasks.record.signers import signer_at

    view = view_of(line_of(change), *buckets)
    question = open_question(view, change, step, evidence)
    out.print(question.summary(), markup=False)
    signer = signer_at(key, _passphrase)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Sign to {decision} this?", abort=True)
        view.record.refresh()  # the person may have taken an hour; what was shown must still be so
        question = open_question(view, change, str(question.step), question.asked_about)
    signed = sign(question, decision, reason, signer, secrets.token_hex(16))
    where = view.approvals.drop(question.change, question.step, signed)
    err.print(f"signed and dropped at {where}", markup=False)
    err.print(try_to_wake(question.change, question.step), markup=False)


def _passphrase(named: str) -> str | None:
    """Asked for on a terminal; None where there is nobody to ask."""
    if not sys.stdin.isatty():
        return None
    given: str = typer.prompt(f"Passphrase of {named}", hide_input=True, err=True)
    return given
