"""Begin a line: a few questions, and the files that a first run needs."""

import getpass
import sys
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Format, FormatOption, out, print_json
from flows.questions import Questions


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(init)


def init(
    folder: Annotated[Path, typer.Argument(help="Where the files go.", metavar="DIR")] = Path(),
    line: Annotated[str | None, typer.Option(help="Name of the model line.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="A local folder, a .gguf file, an s3:// prefix or a hub id.", metavar="M"
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Business data: s3://bucket/prefix or local.", metavar="F")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(help="PART=FIELD where the guess is wrong; PART= for none.", metavar="P=F"),
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="Shipped policy to begin from: standard, strict, ...")
    ] = None,
    approver: Annotated[
        list[str] | None,
        typer.Option(help="NAME:ROLE[,ROLE]:PUBLIC_KEY_FILE; once a person.", metavar="A"),
    ] = None,
    requester: Annotated[str | None, typer.Option(help="Who asks; default: your login.")] = None,
    work: Annotated[str | None, typer.Option(help="The work bucket.")] = None,
    ledger: Annotated[str | None, typer.Option(help="The ledger's bucket.")] = None,
    language: Annotated[str, typer.Option(help="Of the dossier: en or ja.")] = "en",
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; take what was guessed.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace files that are there.")] = False,
    format: FormatOption = Format.text,
) -> None:
    """Write a run file, KPI file, policy and approvers for a line, and try them.

    Fields are detected from a sample of the data and KPIs proposed from them; what is not given
    is asked for on a terminal. Exit code 2: the files are written and something does not work yet.

    Example: avss init my-line --line my-line --model ./model --data s3://acme-reviews/2026/ --yes

    Example: avss init --approver "Ann:product:ann.pub" --approver "Ben:risk:ben.pub"
    """
    from dataclasses import asdict

    from flows.render import checks_table
    from tasks.starting.checking import check_beginning
    from tasks.starting.detecting import propose_kpis, sample_of
    from tasks.starting.writing import (
        Beginning,
        check_free,
        line_named,
        roles_asked,
        shipped,
        write,
    )

    if not force:
        check_free(folder)  # before anybody answers anything
    ask = Questions(quiet=yes or not sys.stdin.isatty())
    name = ask.good("Name of the line", "--line", line, line_named, _plain(folder.resolve().name))
    source = ask.text("Model (folder, .gguf, s3:// or hub id)", "--model", model)
    uri, records = ask.good(
        "Data (s3://bucket/prefix or local)", "--data", data, lambda it: (it, sample_of(it))
    )
    fields = ask.fields(records, field or [])
    kpis = propose_kpis(records, fields)
    rules = ask.good(
        "Policy (standard, strict, exploratory)", "--policy", policy, shipped, "standard"
    )
    beginning = Beginning(
        line=name,
        requester=ask.text("Who asks for changes", "--requester", requester, getpass.getuser()),
        model=_seen_from(folder, source),
        data=uri if "://" in uri else str(Path(uri).resolve()),
        fields=fields,
        kpis=kpis,
        policy=rules,
        work=ask.text("Work bucket", "--work", work, "avss-work"),
        ledger=ask.text("Ledger bucket", "--ledger", ledger, "avss-ledger"),
        language=language,
        approvers=ask.approvers(approver or [], roles_asked(rules)),
    )
    written = write(beginning, folder, force=force)
    checks = check_beginning(folder / "run.yaml", records)
    if format is Format.json:
        told = {"files": [str(it) for it in written], "fields": fields, "kpis": kpis["kpis"]}
        print_json(told | {"checks": [asdict(check) for check in checks]})
    else:
        out.print("Wrote " + ", ".join(str(it) for it in written), markup=False)
        out.print(checks_table(checks))
        out.print(f"\nNext: avss optimize --config {folder / 'run.yaml'}", markup=False)
    if not all(check.ok for check in checks):
        raise typer.Exit(2)


def _plain(name: str) -> str:
    """A folder's name as a line's."""
    kept = "".join(it if it.isascii() and it.isalnum() else "-" for it in name.lower()).strip("-")
    return kept or "my-line"


def _seen_from(folder: Path, source: str) -> str:
    """A local path as the run file in `folder` must write it; anything else as it is."""
    path = Path(source).resolve()
    if "://" in source or not path.exists():
        return source
    inside = path.is_relative_to(folder.resolve())
    return str(path.relative_to(folder.resolve()) if inside else path)
