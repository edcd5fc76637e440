"""Read a policy before a run does: does it fit, and what will it ask for?"""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import Format, FormatOption, out, print_json

app = typer.Typer(
    help="Read a policy before a run does: does it fit, and what will it ask for?",
    no_args_is_help=True,
)
PolicyArgument = Annotated[
    str,
    typer.Argument(
        help="A policy file, or a shipped policy: standard, strict, exploratory.", metavar="POLICY"
    ),
]


@app.command()
def check(
    policy: PolicyArgument,
    config: Annotated[
        Path | None,
        typer.Option(help="A run file: its line, requester, roster and KPIs.", metavar="run.yaml"),
    ] = None,
    approvers: Annotated[
        Path | None, typer.Option(help="A roster, instead of the run file's.", metavar="FILE")
    ] = None,
    kpis: Annotated[
        Path | None, typer.Option(help="A KPI file, instead of the run file's.", metavar="FILE")
    ] = None,
    layers: Annotated[int | None, typer.Option(help="Layers of the original model.", min=1)] = None,
    format: FormatOption = Format.text,
) -> None:
    """Find what contradicts: in the policy itself, and with roster, KPIs and model where given.

    Exit code 2 where anything does.

    Example: avss policy check policy.yaml --config run.yaml --layers 32
    """
    from policies.errors import PolicyError
    from policies.policy import load_policy
    from tasks.policy_check import check_policy, known_of

    found = check_policy(load_policy(policy), known_of(config, approvers, kpis, layers))
    if format is Format.json:
        print_json(found.to_json())
        raise typer.Exit(0 if found.fits else 2)
    if not found.fits:
        raise PolicyError(f"Policy {found.policy} cannot be met. {' '.join(found.contradictions)}")
    out.print(f"[green]✓ fits[/green]  policy {found.policy}, digest {found.digest}")
    for title, sentences in (("Checked", found.checked), ("Not checked", found.not_checked)):
        if sentences:
            out.print(f"\n[bold]{title}[/bold]")
            for sentence in sentences:
                out.print(f"  • {sentence}", markup=False)


@app.command()
def explain(policy: PolicyArgument, format: FormatOption = Format.text) -> None:
    """Say in plain sentences what a policy will require.

    Example: avss policy explain strict
    """
    from policies.explanation import explain as sentences_of
    from policies.policy import load_policy

    read = load_policy(policy)
    sentences = sentences_of(read)
    if format is Format.json:
        print_json({"policy": read.name, "digest": read.digest, "requires": sentences})
        return
    for sentence in sentences:
        out.print(f"• {sentence}", markup=False)
