"""Approve or reject: sign a decision with one's own key, on exactly what was shown."""

import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flows.commands.common import LedgerOption, WorkOption, err, out

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KeyOption = Annotated[
    Path, typer.Option("--key", help="Your private key: Ed25519, OpenSSH form.", metavar="PATH")
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
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask before signing.")]
ChangeArgument = Annotated[str, typer.Argument(help="The change's id, such as my-line-0001.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(approve)
    app.command()(reject)


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
    """Sign an approval and drop it where the job looks.

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


def _decide(
    decision: Literal["approve", "reject"],
    change: str,
    key: Path,
    reason: str,
    step: str | None,
    evidence: str | None,
    yes: bool,
    buckets: tuple[str | None, str | None],
) -> None:
    from flows.waking import try_to_wake
    from tasks.places import places_of
    from tasks.record.deciding import open_question, sign
    from tasks.record.line_view import LineView, line_of

    view = LineView(line_of(change), places_of(line_of(change), *buckets))
    question = open_question(view, change, step, evidence)
    out.print(question.summary(), markup=False)
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Sign to {decision} this?", abort=True)
    signed = sign(question, decision, reason, _private_key(key), secrets.token_hex(16))
    where = view.approvals.drop(question.change, question.step, signed)
    err.print(f"signed and dropped at {where}", markup=False)
    err.print(try_to_wake(change), markup=False)


def _private_key(path: Path) -> "Ed25519PrivateKey":
    """The key, asking for its passphrase on a terminal where it has one."""
    from policies.errors import DecisionError
    from policies.keys import read_private_key

    try:
        return read_private_key(path)
    except DecisionError as error:
        if "passphrase" not in str(error) or not sys.stdin.isatty():
            raise
        passphrase: str = typer.prompt(f"Passphrase of {path}", hide_input=True, err=True)
        return read_private_key(path, passphrase.encode())
