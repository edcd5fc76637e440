"""Score, prune, evaluate and profile: the science, one command each."""

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

BaseOption = Annotated[
    str | None,
    typer.Option("--base", help="The model to compare with; sources as for --model.", metavar="B"),
]
RevisionOption = Annotated[
    str | None, typer.Option("--revision", help="Pinned commit of a hub id.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (score, prune, evaluate, profile):
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


def evaluate(
    model: ModelOption,
    kpis: Annotated[Path, typer.Option(help="The KPI file.", metavar="KPIS.yaml")],
    data: DataOption,
    base: BaseOption = None,
    confidence: Annotated[
        float, typer.Option(help="Confidence of the one-sided lower limits.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    format: FormatOption = Format.text,
) -> None:
    """Measure KPIs; with a base, retention with confidence limits, overall and per slice.

    Example: avss evaluate --model ./cut --base ./my-model --kpis kpis.yaml --data test.jsonl
    """
    from avss.comparing.retention import compare
    from avss.kpi_file.suite import load_kpis
    from avss.kpis import measure
    from avss.loading import load_model, load_tokenizer
    from flows.render import kpi_table

    suite = load_kpis(kpis)
    records = records_at(data)
    folders = [model_folder(one) for one in (model, base) if one is not None]
    outcomes = []
    for name, folder in zip(("the model", "the base"), folders, strict=False):
        with progress(f"Measuring {name}") as report:
            outcomes.append(
                measure(load_model(folder), load_tokenizer(folder), suite, records, progress=report)
            )
    comparison = compare(
        outcomes[0],
        outcomes[1] if base is not None else None,
        confidence=confidence,
        seed=seed,
    )
    if format is Format.json:
        print_json(comparison.to_json())
    else:
        out.print(kpi_table(comparison.to_json()["kpis"]))


def profile(
    model: ModelOption,
    base: BaseOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Measure size and speed: parameters, bytes, KV bytes a token, prefill and decode, cost.

    Example: avss profile --model ./cut --base ./my-model
    """
    from avss.profiling.profile import profile_model
    from flows.render import profile_table

    with progress("Profiling") as report:
        found = profile_model(
            model_folder(model), None if base is None else model_folder(base), progress=report
        )
    if format is Format.json:
        print_json(found.to_json())
    else:
        out.print(profile_table(found.to_json()))
