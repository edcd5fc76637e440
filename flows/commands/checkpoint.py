"""Checkpoints: what holds a line's record to its history, kept by others."""

import json
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import LedgerOption, WorkOption, err, out, print_json, view_of

app = typer.Typer(
    help="Checkpoints hold a line's record to its history; they are worth most kept elsewhere.",
    no_args_is_help=True,
)
LineArgument = Annotated[str, typer.Argument(help="The model line.")]
EarlierArgument = Annotated[Path, typer.Argument(help="The checkpoint that was kept first.")]
LaterArgument = Annotated[Path, typer.Argument(help="The checkpoint that was kept later.")]


@app.command()
def sign(
    line: LineArgument,
    to: Annotated[
        str | None,
        typer.Option(help="A file, or an s3:// prefix that others keep; default: stdout."),
    ] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Sign the size and Merkle root of a line's record as it is now; needs the job's key.

    Example: avss checkpoint sign my-line --to s3://auditor-checkpoints/acme
    """
    from tasks.record.checkpoints import lay_down, sign_checkpoint
    from tasks.record.job_keys import read_job_key

    record = view_of(line, work, ledger).record
    note = sign_checkpoint(record, read_job_key())
    if to is None:
        typer.echo(note.decode("utf-8"), nl=False)
        return
    size = len(record.chain.sealed)
    err.print(f"{size} entries, at {lay_down(note, line, size, to)}", markup=False)


@app.command()
def prove(
    line: LineArgument,
    earlier: EarlierArgument,
    later: LaterArgument,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Print the proof that the later checkpoint only adds to the earlier; reads the record.

    Example: avss checkpoint prove my-line march april > growth.json
    """
    from dataclasses import asdict

    from tasks.record.checkpoints import prove as proven
    from tasks.record.checkpoints import read_note

    record = view_of(line, work, ledger).record
    print_json(asdict(proven(record, read_note(earlier), read_note(later))))


@app.command()
def check(
    earlier: EarlierArgument,
    later: LaterArgument,
    proof: Annotated[Path, typer.Option(help="What `avss checkpoint prove` printed.")],
    job_key: Annotated[
        list[Path],
        typer.Option(
            help="The job's public key file (OpenSSH) as you know it; repeat the option for a "
            "key that replaced another."
        ),
    ],
) -> None:
    """Check offline that two checkpoints are of one history. Exit code 5 where they are not.

    Example: avss checkpoint check march april --proof growth.json --job-key job.pub
    """
    from policies.errors import VerificationError
    from policies.keys import parse_public_key
    from tasks.record.checkpoints import check as checked
    from tasks.record.checkpoints import read_note

    try:
        hashes = tuple(str(one) for one in json.loads(read_note(proof))["proof"])
    except (ValueError, KeyError, TypeError):
        raise VerificationError(f"{proof} is no proof of `avss checkpoint prove`.") from None
    keys = [parse_public_key(read_note(one).decode("ascii", "replace")) for one in job_key]
    found = checked(read_note(earlier), read_note(later), hashes, keys)
    out.print(
        f"[green]✓ one history[/green]  line {found.line}: the first {found.earlier} of "
        f"{found.later} entries are the same"
    )
