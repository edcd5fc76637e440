"""Business data before a change: is it what its contract says?"""

from enum import StrEnum
from typing import Annotated

import typer

from flows.commands.common import DataOption, Format, FormatOption, out, print_json, progress

app = typer.Typer(help="Business data: try a data contract.", no_args_is_help=True)


class Personal(StrEnum):
    """What is done about personal data."""

    ignore = "ignore"
    warn = "warn"
    mask = "mask"
    block = "block"


@app.command()
def check(
    data: DataOption,
    suite: Annotated[
        str,
        typer.Option(help="A contract that ships (text, reviews), or a YAML file.", metavar="S"),
    ],
    text_field: Annotated[
        str | None, typer.Option(help="The field that holds the text; default: text.")
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(
            help="Which field is which part, as label=rating; parts are id, text, label, "
            "timestamp, segment, answer, group. Fields that have these names need none.",
            metavar="PART=NAME",
        ),
    ] = None,
    min_records: Annotated[int, typer.Option(help="The policy's minimum of records.", min=1)] = 1,
    personal_data: Annotated[
        Personal, typer.Option(help="Search for personal data; block fails where any is found.")
    ] = Personal.ignore,
    format: FormatOption = Format.text,
) -> None:
    """Hold data against a data contract; nothing is recorded, nothing is kept.

    Exit code 0: no critical expectation failed. 3: one did. 2: the data or the contract cannot
    be read.

    Example: avss data check --data reviews.jsonl --suite reviews --field label=rating
    """
    from flows.render import contract_table
    from tasks.data.trial import check_data

    named = dict(_pair(one) for one in field or ())
    named |= {"text": text_field} if text_field else {}
    with progress("Checking") as report:
        found = check_data(
            data,
            suite,
            named,
            min_records=min_records,
            personal=personal_data.value,
            progress=lambda _stage, done, total: report(done, total),
        )
    if format is Format.json:
        print_json({"data": data} | found.to_json())
    else:
        out.print(contract_table(found))
    if not found.passed:
        raise typer.Exit(3)


def _pair(option: str) -> tuple[str, str]:
    part, given, name = option.partition("=")
    if not given or not part or not name:
        raise typer.BadParameter(f"--field {option}: expected PART=NAME, as label=rating.")
    return part.strip(), name.strip()
