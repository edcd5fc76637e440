"""The key that signs a line's record: which one is in force, and its replacement."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import (
    Format,
    FormatOption,
    LedgerOption,
    WorkOption,
    err,
    out,
    print_json,
    view_of,
)

app = typer.Typer(help="The key that signs a line's record.", no_args_is_help=True)
LineArgument = Annotated[str, typer.Argument(help="The model line.")]


@app.command()
def show(
    line: LineArgument,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Every key that signed a line's record, the first first; the last one is in force.

    Example: avss job-key show my-line
    """
    from tasks.record.key_rotation import key_history

    keys = key_history(view_of(line, work, ledger).record)
    if format is Format.json:
        print_json([one.to_json() for one in keys])
        return
    for one in keys:
        why = f", {one.reason}" if one.reason else ""
        out.print(f"{one.fingerprint}  signs from entry {one.first_entry}{why}", markup=False)
        if one.compromised_since:
            out.print(f"  COMPROMISED SINCE {one.compromised_since}", style="bold red")
        out.print(f"  {one.public_key}", markup=False, soft_wrap=True, style="dim")


@app.command()
def rotate(
    line: LineArgument,
    new_key: Annotated[
        Path, typer.Option(help="The new private key: Ed25519, OpenSSH form.", metavar="PATH")
    ],
    reason: Annotated[str, typer.Option(help="Why; it becomes part of the record.")],
    compromised_since: Annotated[
        datetime | None,
        typer.Option(
            help="Since when (UTC) somebody else may have had the old key; every report says so.",
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"],
        ),
    ] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Hand the record over to a new key; the old one, which must be in place, signs that last.

    Example: avss job-key rotate my-line --new-key .avss/keys/job_2027 --reason "yearly"
    """
    from policies.keys import fingerprint, read_private_key
    from tasks.places import places_of
    from tasks.record.keeper import Keeper
    from tasks.record.key_rotation import replace_key

    new = read_private_key(new_key)
    keeper = Keeper(line, places_of(line, work, ledger))
    since = compromised_since.replace(tzinfo=UTC) if compromised_since else None
    entry = replace_key(keeper.journal, new, reason, since)
    err.print(
        f"entry {entry.sequence}: from the next entry on only {fingerprint(new.public_key())} "
        f"signs. Put it in the old key's place, or: export AVSS_JOB_KEY={new_key}",
        markup=False,
    )
