"""The command line as a page: docs/cli.md, made from the commands' own help.

`python -m flows.reference docs/cli.md` writes it again; a test compares.
"""

import sys
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer

_TITLE = """# The command line

Made from the commands' own help by `make docs`; a test keeps the two equal, and holds every
example to what its command accepts.

Before the command's name: `--debug` shows the traceback of an error. Shell completion for bash,
zsh, fish and PowerShell: `avss --install-completion`. Colours follow the terminal; `NO_COLOR=1`
takes them away. Progress is drawn on stderr and only on a terminal: pipes and logs stay clean.

| exit code | means |
|---|---|
| 0 | done |
| 1 | a fault of ours |
| 2 | bad input or usage |
| 3 | a gate or a decision said no |
| 4 | waiting for a decision |
| 5 | verification failed |
| 130 | interrupted |
"""
EXAMPLE = "Example: "


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command below a group with the words that call it, in the order of the help."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        elif not command.hidden:
            yield (*path, name), command


def examples(command: Any) -> list[str]:
    """The calls that a command's help gives as examples."""
    lines = cleandoc(command.help or "").splitlines()
    return [line.removeprefix(EXAMPLE) for line in lines if line.startswith(EXAMPLE)]


def reference(group: Any) -> str:
    """The whole page."""
    return "\n".join([_TITLE, *(_section(path, it) for path, it in commands(group))])


def _section(path: tuple[str, ...], command: Any) -> str:
    help_text = cleandoc(command.help or "")
    prose = "\n".join(line for line in help_text.splitlines() if not line.startswith(EXAMPLE))
    name = " ".join(("avss", *path))
    rows = [_row(parameter) for parameter in command.params if parameter.name != "help"]
    table = ["| | default | |", "|---|---|---|", *rows, ""] if rows else []
    shown = ["```", *examples(command), "```", ""]
    return "\n".join([f"## {name}", "", prose.strip(), "", *shown, *table])


def _row(parameter: Any) -> str:
    named = parameter.param_type_name == "argument"
    form = f"{parameter.metavar or parameter.name.upper()}" if named else ", ".join(parameter.opts)
    help_text = " ".join((parameter.help or "").split())
    return f"| `{form}` | {_default(parameter)} | {_cell(help_text)} |"


def _default(parameter: Any) -> str:
    if parameter.required:
        return "needed"
    value = parameter.default
    if value is None or value is False or value == ():
        return ""
    return f"`{getattr(value, 'value', value)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    from flows.cli import app

    page = reference(typer.main.get_command(app))
    Path(sys.argv[1]).write_text(page, encoding="utf-8")
