"""What several commands share: output format, progress, sources of models and data."""

import json
import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.progress import progress
from flows.terminal import terminal

if TYPE_CHECKING:
    from tasks.record.line_view import LineView

out = terminal()
err = terminal(stderr=True)

_UNSEEN = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")


class Format(StrEnum):
    """How a command reports."""

    text = "text"
    json = "json"


FormatOption = Annotated[
    Format, typer.Option("--format", help="text for people, json for programs.")
]
ModelOption = Annotated[
    str,
    typer.Option(
        "--model", help="A local folder, a .gguf file, an s3:// prefix or a hub id.", metavar="M"
    ),
]
DataOption = Annotated[
    str,
    typer.Option("--data", help="JSONL, CSV, TSV or Parquet; a local path or s3://.", metavar="F"),
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, cuda:1, mps ...; auto spreads a model over all devices. "
        "Default: the accelerator, where there is one."
    ),
]
WorkOption = Annotated[
    str | None,
    typer.Option("--work", help="Work bucket; default: remembered, or AVSS_WORK_BUCKET."),
]
LedgerOption = Annotated[
    str | None,
    typer.Option("--ledger", help="Ledger bucket; default: remembered, or AVSS_LEDGER_BUCKET."),
]


def print_json(value: Any) -> None:
    """Print one JSON document on stdout; NaN and infinity are refused, not printed.

    What a terminal would obey (control and direction marks) is escaped, as JSON allows.
    """
    told = json.dumps(value, ensure_ascii=False, indent=2, allow_nan=False)
    typer.echo(_UNSEEN.sub(_escaped, told))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found[0])[1:-1]


def model_folder(source: str) -> str:
    """A source that `avss` can load: an s3:// prefix is fetched and verified first."""
    if not source.startswith("s3://"):
        return source
    from tasks.models.folders import fetch_model

    with progress(f"Fetching {source}") as report:
        return str(fetch_model(source, report=report).folder)


def records_at(source: str, text_field: str | None = None) -> list[dict[str, Any]]:
    """The records of `--data`; with a text field, each is checked to have text there."""
    from tasks.data.pull import read_source
    from tasks.home import cache

    where = cache("data") if source.startswith("s3://") else Path()
    with progress(f"Reading {source}") as report:
        return read_source(source, text_field, cache=where, report=report)


def view_of(line: str, work: str | None, ledger: str | None) -> "LineView":
    """A line as its record says; a long record is read with progress."""
    from tasks.places import places_of
    from tasks.record.line_view import LineView

    with progress(f"Reading the record of {line}") as report:
        return LineView(line, places_of(line, work, ledger)).read(report)
