"""docs/cli.md says what `--help` says, and every example is one that its command accepts."""

import shlex
from pathlib import Path

import pytest
import typer

from flows.cli import app
from flows.reference import commands, examples, reference

GROUP = typer.main.get_command(app)
COMMANDS = {" ".join(path): command for path, command in commands(GROUP)}
DOCS = Path(__file__).parent.parent.parent / "docs" / "cli.md"


def test_the_docs_are_the_help():
    assert DOCS.read_text(encoding="utf-8") == reference(GROUP), "write it again: make docs"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_what_it_does_and_shows_how(name):
    command = COMMANDS[name]
    assert len((command.help or "").splitlines()[0]) > 15
    assert examples(command), f"{name}: give an example in its help, as `Example: avss {name} ...`"
    for parameter in command.params:
        assert parameter.help, f"{name}: {parameter.name} has no help"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_example_is_accepted(name):
    for example in examples(COMMANDS[name]):
        call = example.removeprefix('eval "$(').removesuffix(')"').split(" > ")[0]
        words = shlex.split(call)
        path = name.split()
        assert words[: len(path) + 1] == ["avss", *path]
        COMMANDS[name].make_context(name, words[len(path) + 1 :])
