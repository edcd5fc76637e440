"""Run a change, see where it stands, read the page to decide on."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Group

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
from flows.commands.decide import ChangeArgument, StepOption
from flows.progress import progress


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (optimize, status, dossier):
        app.command()(command)


def optimize(
    config: Annotated[Path, typer.Option(help="The run file.", metavar="run.yaml")],
    format: FormatOption = Format.text,
) -> None:
    """Run a change, or go on with the open one; end at the next gate.

    Exit code 0: the model was promoted, or there was nothing to do. 3: a gate or a person said
    no. 4: it waits for a decision.

    Example: avss optimize --config run.yaml
    """
    from dataclasses import asdict

    from flows.optimize import run_change
    from flows.terminal import terminal

    ending = run_change(config, terminal(stderr=format is Format.json))
    if format is Format.json:
        print_json(asdict(ending))
    elif ending.waiting_for is not None:
        out.print(
            f"\nWaiting for a decision on {ending.change}, {ending.waiting_for}. "
            "Read the page, then sign:\n"
            f"  avss dossier {ending.change}\n"
            f"  avss approve {ending.change} --key PATH --reason TEXT    (or avss reject)\n"
            f"  avss optimize --config {config}",
            markup=False,
        )
    elif ending.outcome == "refused":
        out.print(f"\nThe page says why:\n  avss dossier {ending.change}", markup=False)
    raise typer.Exit(ending.exit_code)


def status(
    change: Annotated[str | None, typer.Argument(help="One change; default: all lines.")] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """What is going on: lines, versions in use, and what waits for whom until when.

    With a change, its whole story. Of each line: its open change, or the last one. Exit code 5: a
    line's record does not hold; the others are shown all the same.

    Example: avss status my-line-0001
    """
    from flows.status_view import status_view
    from tasks import clock
    from tasks.places import places_of
    from tasks.record.ledger_store import LedgerStore
    from tasks.record.line_view import LineView
    from tasks.record.standing import standing_of_line
    from tasks.reporting import told

    if change is not None:
        _tell_story(change, (work, ledger), format)
        return
    lines = LedgerStore(places_of(None, work, ledger).ledger).lines()
    with progress("Reading the lines") as report:
        standings = [
            standing_of_line(LineView(line, places_of(line, work, ledger)))
            for line in told(lines, len(lines), report)
        ]
    if format is Format.json:
        print_json([one.to_json() for one in standings])
    elif standings:
        out.print(status_view(standings, clock.now()))
    else:
        err.print("no line has a change yet; begin one: avss optimize --config run.yaml")
    if code := max((one.exit_code for one in standings), default=0):
        bad = ", ".join(one.line for one in standings if one.exit_code)
        err.print(f"Not every line can be told of: {bad}", markup=False, style="bold red")
        raise typer.Exit(code)


def _tell_story(change: str, buckets: tuple[str | None, str | None], format: Format) -> None:
    from flows.narrative import Narrator
    from flows.status_view import status_view
    from tasks import clock
    from tasks.record.line_view import line_of
    from tasks.record.standing import standing_of

    view = view_of(line_of(change), *buckets)
    found = standing_of(view, view.change(change))
    if format is Format.json:
        print_json(found.to_json())
        return
    story = [entry for entry in view.record.entries if entry.change == change]
    Narrator(out, view.documents.get).tell_all(story)
    out.print(Group("", status_view([found], clock.now())))


def dossier(
    change: ChangeArgument,
    step: StepOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write.", metavar="FILE")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or ja; default: the run file's.")] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Write the page to decide on, one self-contained HTML file.

    Example: avss dossier my-line-0001 --step 2
    """
    from tasks.record.deciding import parse_step, told_step
    from tasks.record.line_view import line_of
    from tasks.record.pages import page_of

    view = view_of(line_of(change), work, ledger)
    found = view.change(change)
    wanted: Any = parse_step(step) if step else told_step(found)
    page = page_of(view, found, wanted, language)
    target = out_file or Path(f"{change}-{wanted}.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    if format is Format.json:
        print_json({"change": change, "step": wanted, "file": str(target.resolve())})
    else:
        out.print(str(target.resolve()), markup=False, soft_wrap=True)
