"""The evidence pack: export it, and verify it offline."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import (
    Format,
    FormatOption,
    LedgerOption,
    WorkOption,
    out,
    print_json,
    view_of,
)
from flows.commands.decide import ChangeArgument
from flows.progress import progress


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command()(export)
    app.command()(verify)


def export(
    change: ChangeArgument,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Write the evidence pack of a change: record, documents, dossiers, signed by the job's key.

    Example: avss export my-line-0001 --out pack/
    """
    from tasks.record.export import export_pack
    from tasks.record.line_view import line_of

    view = view_of(line_of(change), work, ledger)
    with progress("Collecting the evidence") as report:
        files = export_pack(view, change, out_dir, report)
    if format is Format.json:
        print_json({"change": change, "folder": str(out_dir.resolve()), "files": files})
    else:
        out.print(f"{out_dir}: {files} files. Check them with: avss verify {out_dir}", markup=False)


def verify(
    pack: Annotated[Path, typer.Argument(help="The evidence pack's folder.", metavar="DIR")],
    job_key: Annotated[
        str | None,
        typer.Option(help="The job's key as you know it: SHA256:... or an OpenSSH public key."),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="An earlier checkpoint that you kept.", metavar="FILE")
    ] = None,
    format: FormatOption = Format.text,
) -> None:
    """Verify an evidence pack: offline, with public keys only. Exit code 5 where it does not hold.

    Example: avss verify pack/ --job-key SHA256:...
    """
    from policies.errors import PolicyError
    from policies.verification import verify_folder

    try:
        earlier = checkpoint.read_bytes() if checkpoint else None
    except OSError as error:
        raise PolicyError(f"{checkpoint}: {error.strerror}. Name a checkpoint file.") from None
    with progress("Verifying") as told:
        report = verify_folder(pack, job_key=job_key, earlier=earlier, progress=told)
    if format is Format.json:
        print_json(report.to_json())
        return
    out.print(f"[green]✓ valid[/green]  change {report.change}, {report.entries} entries")
    for title, sentences in (
        ("Checked", report.checked),
        ("Worth a look", report.notices),
        ("Not established by this pack alone", report.not_established),
    ):
        if sentences:
            out.print(f"\n[bold]{title}[/bold]")
            for sentence in sentences:
                out.print(f"  • {sentence}", markup=False)
