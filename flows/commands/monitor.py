"""Look at the model in use: fresh data, KPIs, registry."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Format, FormatOption, out, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(monitor)


def monitor(
    config: Annotated[Path, typer.Option(help="The run file.", metavar="run.yaml")],
    format: FormatOption = Format.text,
) -> None:
    """Measure the model in use on fresh data and compare registry and files with the record.

    Exit code 0: all is well, or nothing is in use yet. 3: it was found below its floor, whether or
    not that led to a rollback. 5: something moved behind our back.

    Example: avss monitor --config run.yaml
    """
    from dataclasses import asdict

    from flows.monitor import run_monitor
    from flows.terminal import terminal

    found = run_monitor(config, terminal(stderr=format is Format.json))
    if format is Format.json:
        print_json(asdict(found))
    else:
        if found.version is None:
            out.print(f"Line {found.line} has no version in use yet; there is nothing to watch.")
        for finding in found.findings:
            out.print(f"[red]✗[/red] {finding}")
        if found.fault:
            out.print(f"Not measured: {found.fault}", markup=False)
        if found.incident is not None:
            led = f"; rollback {found.rollback}" if found.rollback else ""
            out.print(f"Incident {found.incident} is open{led}.", markup=False)
        elif found.rollback == "moved":
            out.print(f"Version {found.version} was below its floor; the version before is in use.")
    raise typer.Exit(found.exit_code)
