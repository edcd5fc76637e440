"""Register a line's flows on Prefect: schedules, work pool, alarms."""

from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.common import Format, FormatOption, out, print_json


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command()(deploy)


def deploy(
    config: Annotated[Path, typer.Option(help="The run file.", metavar="run.yaml")],
    pool: Annotated[
        str, typer.Option(help="Work pool; one that is missing is made, for processes.")
    ] = "avss",
    timezone: Annotated[
        str, typer.Option(help="IANA time zone of the schedules.", metavar="ZONE")
    ] = "Etc/UTC",
    seen_at: Annotated[
        str | None,
        typer.Option("--worker-config", help="The run file's path where the worker sees it."),
    ] = None,
    cron: Annotated[
        list[str] | None,
        typer.Option(
            help="Another schedule for a flow, repeatable; empty for none: monitor='0 */6 * * *'.",
            metavar="FLOW=CRON",
        ),
    ] = None,
    job_variables: Annotated[
        Path | None,
        typer.Option(help="YAML of the pool's job variables; see deployments/pools/."),
    ] = None,
    notify: Annotated[
        list[str] | None,
        typer.Option(help="Notification block (type/name) told of failed and late runs."),
    ] = None,
    format: FormatOption = Format.text,
) -> None:
    """Register optimize, monitor, attend, clean and rollback for a line, or bring them up to date.

    Example: avss deploy --config run.yaml --pool lines --timezone Asia/Tokyo
    """
    from dataclasses import asdict

    from flows.deploying import Wanted, deploy
    from flows.render import deployments_table

    wanted = Wanted(
        config=config,
        seen_at=seen_at or str(config.resolve()),
        pool=pool,
        timezone=timezone,
        crons=dict(_flow_and_cron(one) for one in cron or ()),
        job_variables=_variables(job_variables),
        notify=tuple(notify or ()),
    )
    made = deploy(wanted)
    if format is Format.json:
        print_json([asdict(one) for one in made])
        return
    out.print(deployments_table(made))
    out.print(f"\nStart a worker:  prefect worker start --pool {pool}", markup=False)


def _flow_and_cron(given: str) -> tuple[str, str]:
    flow, equals, cron = given.partition("=")
    if not equals:
        raise typer.BadParameter(f"--cron {given}: expected FLOW=CRON, as in monitor='0 5 * * *'")
    return flow, cron.strip()


def _variables(path: Path | None) -> dict[str, Any]:
    import yaml

    from tasks.errors import DeployError

    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DeployError(f"{path}: {error.strerror}. Name a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise DeployError(f"{path}: expected a YAML mapping of job variables such as image, env.")
    return found
