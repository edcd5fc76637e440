"""The local stack, the self-check and the demo."""

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Format, FormatOption, err, out, print_json
from flows.progress import progress

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", help="Folder of the stack; default $AVSS_HOME or ./.avss", metavar="DIR"
    ),
]

stack = typer.Typer(
    help="A real S3 server, Prefect server and MLflow server on this machine, for trying things.",
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (doctor, schema, demo):
        app.command()(command)


@stack.command()
def up(home: HomeOption = None) -> None:
    """Start the servers, wait until they are well, make the buckets. Safe to repeat.

    Example: avss stack up
    """
    from flows.render import services_table

    found = _stack(home)
    out.print(services_table(found.up(report=_say)))
    where = f" --home {shlex.quote(str(home))}" if home else ""
    out.print(f'\nLead this shell to it:  eval "$(avss stack env{where})"', markup=False)


@stack.command()
def down(home: HomeOption = None) -> None:
    """End what `up` started and nothing else; the data stays.

    Example: avss stack down
    """
    if not _stack(home).down(report=_say):
        _say("nothing was running")


@stack.command()
def status(home: HomeOption = None, format: FormatOption = Format.text) -> None:
    """How each server is, and where.

    Example: avss stack status --format json
    """
    from flows.render import services_table

    services = _stack(home).status()
    if format is Format.json:
        print_json(
            [
                {"name": it.name, "health": it.health, "url": it.url, "pid": it.pid}
                for it in services
            ]
        )
    else:
        out.print(services_table(services))


@stack.command()
def env(home: HomeOption = None) -> None:
    """Print the shell lines that lead clients to this stack; they hold its S3 credentials.

    Example: eval "$(avss stack env)"
    """
    for name, value in sorted(_stack(home).environment().items()):
        typer.echo(f"export {name}={shlex.quote(value)}")


def doctor(
    work: Annotated[str, typer.Option(help="The work bucket.")] = "avss-work",
    ledger: Annotated[str, typer.Option(help="The ledger's bucket.")] = "avss-ledger",
    data: Annotated[str | None, typer.Option(help="The business-data bucket.")] = None,
    format: FormatOption = Format.text,
) -> None:
    """Try everything that a run relies on, and say what to do where it fails.

    Example: avss doctor --work acme-avss-work --ledger acme-avss-ledger
    """
    from dataclasses import asdict

    from flows.render import checks_table
    from tasks.doctor import diagnose

    with progress("Checking") as report:
        checks = diagnose(work=work, ledger=ledger, data=data, report=report)
    if format is Format.json:
        print_json([asdict(check) for check in checks])
    else:
        out.print(checks_table(checks))
    if not all(check.ok for check in checks):
        raise typer.Exit(2)


class SchemaName(StrEnum):
    """The files that users write."""

    run = "run"
    kpis = "kpis"
    policy = "policy"


def schema(
    name: Annotated[SchemaName, typer.Argument(help="Which file's schema.")],
) -> None:
    """Print the JSON Schema of a run file, KPI file or policy: every field, documented.

    Example: avss schema run > run.schema.json
    """
    from avss.kpi_file.suite import KpiSuite
    from policies.policy import Policy
    from tasks.run_file import RunFile

    models = {SchemaName.run: RunFile, SchemaName.kpis: KpiSuite, SchemaName.policy: Policy}
    print_json(models[name].model_json_schema())


def demo(
    folder: Annotated[Path, typer.Option(help="Folder that the demo writes.")] = Path("demo"),
) -> None:
    """Start a local stack, run one whole change on a real model and real reviews, stop.

    Two approvers' keys are made for the demo and sign every step. Never do that with real keys:
    an approval is worth something because a person gave it.

    Example: avss demo --folder demo
    """
    from flows.demo import run_demo

    raise typer.Exit(run_demo(folder.resolve()))


def _stack(home: Path | None):  # type: ignore[no-untyped-def]
    from deployments.stack import Stack
    from tasks.home import home as default

    return Stack(home or default())


def _say(message: str) -> None:
    err.print(message, markup=False, highlight=False)
