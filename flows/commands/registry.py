"""Versions of a line, and the alias that says which one is in use."""

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
from flows.progress import progress

app = typer.Typer(help="Versions and aliases of model lines.", no_args_is_help=True)
LineArgument = Annotated[str, typer.Argument(help="The model line.")]
ReasonOption = Annotated[str, typer.Option(help="Why; it becomes part of the record.")]
RequesterOption = Annotated[
    str | None,
    typer.Option(help="Who asks, and so cannot approve; default: who asked for the last change."),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        help="A run file whose policy and roster decide; default: those of the last change.",
        metavar="run.yaml",
    ),
]


@app.command("list")
def list_versions(
    line: Annotated[str | None, typer.Argument(help="One line; default: all.")] = None,
    format: FormatOption = Format.text,
) -> None:
    """Every registered version, the oldest first.

    Example: avss registry list my-line
    """
    from flows.render import versions_table
    from tasks.models.registry import Registry

    registry = Registry()
    lines = [line] if line else registry.lines()
    versions = [version for one in lines for version in registry.versions(one)]
    if format is Format.json:
        print_json([one.to_json() for one in versions])
    else:
        out.print(versions_table(versions))


@app.command()
def show(line: LineArgument, format: FormatOption = Format.text) -> None:
    """The version in use: where it lies, its digest, what it was made by.

    Example: avss registry show my-line
    """
    from flows.render import version_facts
    from tasks.errors import RegistryError
    from tasks.models.registry import Registry

    found = Registry().current(line)
    if found is None:
        raise RegistryError(f"Line {line} has no version in use. See: avss registry list {line}")
    if format is Format.json:
        print_json(found.to_json())
    else:
        out.print(version_facts(found))


@app.command()
def rollback(
    line: LineArgument,
    reason: ReasonOption = "asked for by hand",
    requester: RequesterOption = None,
    config: ConfigOption = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Lead the alias back to the version before; asks first, moves once people have signed.

    Exit code 4: it waits for a decision; run the same command again after it. 3: people said no.

    Example: avss registry rollback my-line --reason "answers are wrong since Monday"
    """
    _move(line, None, reason, requester, config, (work, ledger), format)


@app.command()
def promote(
    line: LineArgument,
    version: Annotated[str, typer.Argument(help="A registered version of the line.")],
    reason: ReasonOption = "asked for by hand",
    requester: RequesterOption = None,
    config: ConfigOption = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Put a registered version in use; asks first, moves once people have signed.

    A change asks for the promotion of its own version by itself: this is for any other version.

    Example: avss registry promote my-line 2 --reason "the fault was elsewhere"
    """
    _move(line, version, reason, requester, config, (work, ledger), format)


@app.command()
def audit(
    line: LineArgument,
    restore: Annotated[
        bool,
        typer.Option(
            help="Lead the aliases back to where the record says, before looking; a version that "
            "was deleted from MLflow is only named: it comes back with MLflow's back-up."
        ),
    ] = False,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Compare MLflow and every file in S3 with the record; exit code 5 where something differs.

    Example: avss registry audit my-line
    """
    from flows.render import audit_table
    from tasks.models.aliases import expected_aliases, is_moving
    from tasks.models.audit import audit_line
    from tasks.models.registry import Registry

    view, registry = view_of(line, work, ledger), Registry()
    state = view.state
    if restore and not is_moving(state):
        there = {None, *(one.version for one in registry.versions(line))}  # some may be deleted
        wanted = expected_aliases(state).items()
        registry.point(line, {alias: version for alias, version in wanted if version in there})
    with progress("Reading every file of every version") as told:
        report = audit_line(view, registry, told)
    if format is Format.json:
        print_json(report.to_json())
    else:
        out.print(audit_table(report))
    raise typer.Exit(0 if report.clean else 5)


@app.command()
def export(
    line: LineArgument,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    version: Annotated[
        str | None, typer.Option(help="A registered version; default: the one in use.")
    ] = None,
    gguf: Annotated[
        Path | None,
        typer.Option(help="Also write a GGUF file; needs the extra `gguf`.", metavar="FILE"),
    ] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Write a version's model folder, verified by its digest, for whatever serves it.

    Example: avss registry export my-line --out served/
    """
    from tasks.models.serving import export_version

    view = view_of(line, work, ledger)
    with progress("Fetching the model") as report:
        found = export_version(view, version, out_dir, gguf=gguf, report=report)
    if format is Format.json:
        print_json(found.to_json())
    else:
        out.print(f"{found.folder}: version {found.version}, {found.digest}", markup=False)
        if found.gguf:
            out.print(f"{found.gguf}: the same for llama.cpp", markup=False)


def _move(
    line: str,
    version: str | None,
    reason: str,
    requester: str | None,
    config: Path | None,
    buckets: tuple[str | None, str | None],
    format: Format,
) -> None:
    from dataclasses import asdict

    from flows.narrative import Narrator
    from flows.terminal import terminal
    from policies.lifecycle import Wish
    from tasks.models.moving import move_alias
    from tasks.places import Places, places_of
    from tasks.record.keeper import Keeper
    from tasks.run_file import RunFile

    run = RunFile.load(config) if config else None
    named = Places.of(run.buckets.work, run.buckets.ledger) if run else None
    places = named or places_of(line, *buckets)
    keeper = Keeper(line, places, run)
    narrator = Narrator(terminal(stderr=format is Format.json), keeper.documents.get)
    wish = Wish(requester or keeper.requester, reason, version)
    ending = move_alias(keeper, wish, narrator.tell)
    if format is Format.json:
        print_json(asdict(ending))
    elif ending.state == "waiting":
        out.print(
            "\nWaiting for a decision. To answer, then to go on:\n"
            f"  avss approve {ending.change} --step alias --evidence {ending.evidence} "
            "--key PATH --reason TEXT    (or avss reject)\n"
            "  and the same avss registry command again",
            markup=False,
        )
    raise typer.Exit(ending.exit_code)
