"""Score and prune: which layers do little, and a model without them."""

from pathlib import Path
from typing import Annotated

import typer

from flows.commands.common import (
    DataOption,
    Format,
    FormatOption,
    ModelOption,
    model_folder,
    out,
    print_json,
    progress,
    records_at,
)

RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Pinned commit of a hub id.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (score, prune):
        app.command()(command)


def score(
    model: ModelOption,
    data: DataOption,
    text_field: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    source: Annotated[
        str,
        typer.Option(
            help="contribution: what a layer adds, relative to its input (default); "
            "output: the hidden state after it, as published; mlp: the down projection's input."
        ),
    ] = "contribution",
    epsilon: Annotated[
        float | None, typer.Option(help="|a| below this counts as zero; default per source.")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(help="Read at most this many tokens of text.", min=1)
    ] = None,
    revision: RevisionOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Rank the layers of a model by AVSS, least important first.

    Example: avss score --model ./my-model --data reviews.jsonl --text-field text
    """
    from avss.loading import load_model, load_tokenizer
    from avss.scoring.one_pass import score_layers
    from flows.render import ranking_table

    texts = [record[text_field] for record in records_at(data, text_field)]
    folder = model_folder(model)
    loaded = load_model(folder, revision=revision)
    with progress("Scoring") as report:
        scores = score_layers(
            loaded,
            load_tokenizer(folder, revision=revision),
            texts,
            source=source,
            epsilon=epsilon,
            max_tokens=max_tokens,
            progress=report,
        )
    result = scores.to_json() | {"model": model}
    if format is Format.json:
        print_json(result)
    else:
        out.print(ranking_table(result))


def prune(
    model: ModelOption,
    drop: Annotated[str, typer.Option(help="Original layer numbers, as 3,17.", metavar="3,17")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    revision: RevisionOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Remove layers, save, reload in a fresh process and prove that it is the same model.

    Example: avss prune --model ./my-model --drop 3,17 --out ./my-model-28
    """
    from avss.cutting.pruning import parse_drop, prune_model

    result = prune_model(model_folder(model), parse_drop(drop), out_dir, revision=revision)
    if format is Format.json:
        print_json(result.to_json())
    else:
        out.print(result.summary())
