"""Versions of a line, and the alias that says which one is in use."""

from typing import Annotated

import typer

from flows.commands.common import Format, FormatOption, out, print_json

app = typer.Typer(help="Versions and aliases of model lines.", no_args_is_help=True)
LineArgument = Annotated[str, typer.Argument(help="The model line.")]


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
