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
)
from flows.commands.decide import ChangeArgument, StepOption


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
    raise typer.Exit(ending.exit_code)


def status(
    change: Annotated[str | None, typer.Argument(help="One change; default: all lines.")] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
    format: FormatOption = Format.text,
) -> None:
    """What is going on: lines, versions in use, and what waits for whom until when.

    With a change, its whole story. Of each line: its open change, or the last one.

    Example: avss status my-line-0001
    """
    from flows.narrative import Narrator
    from flows.status_view import status_view
    from tasks import clock
    from tasks.places import places_of
    from tasks.record.ledger_store import LedgerStore
    from tasks.record.line_view import LineView, line_of
    from tasks.record.standing import standing_of

    if change is not None:
        view = LineView(line_of(change), places_of(line_of(change), work, ledger))
        found = standing_of(view, view.change(change))
        if format is Format.text:
            told = [entry for entry in view.record.entries if entry.change == change]
            Narrator(out, view.documents.get).tell_all(told)
            out.print(Group("", status_view([found], clock.now())))
        else:
            print_json(found.to_json())
        return
    lines = LedgerStore(places_of(None, work, ledger).ledger).lines()
    standings = []
    for line in lines:
        view = LineView(line, places_of(line, work, ledger))
        standings.append(standing_of(view, view.state.change or view.state.closed[-1].change))
    if format is Format.json:
        print_json([one.to_json() for one in standings])
    elif standings:
        out.print(status_view(standings, clock.now()))
    else:
        err.print("no line has a change yet; begin one: avss optimize --config run.yaml")


def dossier(
    change: ChangeArgument,
    step: StepOption = None,
    out_file: Annotated[
        Path | None, typer.Option("--out", help="File to write.", metavar="FILE")
    ] = None,
    language: Annotated[str | None, typer.Option(help="en or ja; default: the run file's.")] = None,
    work: WorkOption = None,
    ledger: LedgerOption = None,
) -> None:
    """Write the page to decide on, one self-contained HTML file.

    Example: avss dossier my-line-0001 --step 2
    """
    from tasks.places import places_of
    from tasks.record.deciding import asked_step, parse_step
    from tasks.record.line_view import LineView, line_of
    from tasks.record.pages import page_of

    view = LineView(line_of(change), places_of(line_of(change), work, ledger))
    found = view.change(change)
    wanted: Any = parse_step(step) if step else asked_step(found) or max(len(found.steps), 1)
    page = page_of(view, found, wanted, language)
    target = out_file or Path(f"{change}-{wanted}.html")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page, encoding="utf-8")
    out.print(str(target.resolve()), markup=False, soft_wrap=True)
