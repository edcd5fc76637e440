"""Score, prune, heal: which layers do little, and a model without them, repaired."""

from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.commands.common import (
    DataOption,
    DeviceOption,
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


class Side(StrEnum):
    """Which layers of a model that encodes and decodes."""

    auto = "auto"
    encoder = "encoder"
    decoder = "decoder"


class Precision(StrEnum):
    """Number formats to compute in."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


StackOption = Annotated[
    Side,
    typer.Option(help="Of a model that encodes and decodes, whose layers; auto: the decoder's."),
]


class HealingMethod(StrEnum):
    """Ways to repair a cut model."""

    closed_form = "closed_form"
    distilled = "distilled"


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (score, prune, heal):
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
    by: Annotated[
        str,
        typer.Option(
            help="avss, block_influence or angular_distance; joined by + their ranks add up."
        ),
    ] = "avss",
    bootstrap: Annotated[
        int,
        typer.Option(help="Resamples of the records for rank intervals, as 1000; 0: none.", min=0),
    ] = 0,
    stack: StackOption = Side.auto,
    dtype: Annotated[
        Precision, typer.Option(help="What to compute in; auto: as the model is saved.")
    ] = Precision.auto,
    device: DeviceOption = None,
    layer_by_layer: Annotated[
        bool,
        typer.Option(
            "--layer-by-layer",
            help="For a model larger than memory: hold one layer at a time, read from disk; the "
            "scores are the same. Hidden states wait in files under TMPDIR.",
        ),
    ] = False,
    revision: RevisionOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Rank the layers of a model by AVSS, least important first.

    Example: avss score --model ./my-model --data reviews.jsonl --text-field text
    """
    from avss.loading import load_tokenizer
    from avss.scoring.layer_by_layer import layer_by_layer as by_layer
    from avss.scoring.one_pass import score_layers
    from flows.render import ranking_table

    texts = [record[text_field] for record in records_at(data, text_field)]
    folder = model_folder(model)
    loading = {"revision": revision, "dtype": dtype.value}
    with (
        _loaded(folder, device, stack.value, loading, layer_by_layer) as loaded,
        progress("Scoring") as report,
    ):
        scores = score_layers(
            loaded,
            load_tokenizer(folder, revision=revision),
            texts,
            source=source,
            epsilon=epsilon,
            stack=stack.value,
            max_tokens=max_tokens,
            bootstrap=bootstrap,
            progress=report,
            run=by_layer if layer_by_layer else None,
        )
    result = scores.to_json(by) | {"model": model}
    if format is Format.json:
        print_json(result)
    else:
        out.print(ranking_table(result))


def _loaded(
    folder: str, device: str | None, stack: Any, loading: dict[str, Any], on_disk: bool
) -> AbstractContextManager[Any]:
    """The model for scoring: in memory, or with its layers left on disk."""
    from avss.errors import InputError
    from avss.loading import device_of, load_model, placement_of
    from avss.offloading import layers_on_disk

    if on_disk:
        if device == "auto":
            raise InputError(
                "--layer-by-layer runs on one device: name it, or leave --device auto out."
            )
        return layers_on_disk(folder, device=device_of(device), stack=stack, **loading)
    return nullcontext(load_model(folder, device_map=placement_of(device), **loading))


def prune(
    model: ModelOption,
    drop: Annotated[str, typer.Option(help="Original layer numbers, as 3,17.", metavar="3,17")],
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    stack: StackOption = Side.auto,
    device: Annotated[
        str,
        typer.Option(
            help="Where the cut is tried and proven: cpu, cuda ..., or auto: all devices."
        ),
    ] = "cpu",
    revision: RevisionOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Remove layers, save, reload in a fresh process and prove that it is the same model.

    Example: avss prune --model ./my-model --drop 3,17 --out ./my-model-28
    """
    from avss.cutting.pruning import parse_drop, prune_model

    layers, folder = parse_drop(drop), model_folder(model)
    with progress("Cutting, saving, loading again"):
        result = prune_model(
            folder, layers, out_dir, revision=revision, stack=stack.value, device=device
        )
    if format is Format.json:
        print_json(result.to_json())
    else:
        out.print(result.summary())


def heal(
    model: ModelOption,
    base: Annotated[
        str, typer.Option("--base", help="The model that it was cut from.", metavar="B")
    ],
    data: DataOption,
    out_dir: Annotated[Path, typer.Option("--out", help="Folder to write.", metavar="DIR")],
    text_field: Annotated[str, typer.Option(help="The field that holds the text.")] = "text",
    method: Annotated[
        list[HealingMethod] | None,
        typer.Option(help="May be repeated; the best one is kept. Default: closed_form."),
    ] = None,
    max_tokens: Annotated[
        int, typer.Option(help="Read at most this many tokens of text.", min=10)
    ] = 100_000,
    device: DeviceOption = None,
    training_tokens: Annotated[
        int, typer.Option(help="Tokens that distillation trains on, repeats included.", min=1)
    ] = 250_000,
    learning_rate: Annotated[
        float | None,
        typer.Option(help="Of distillation, at its highest. Default: by the model's size."),
    ] = None,
    own_text_share: Annotated[
        float, typer.Option(help="Share of the training text that the base writes itself.")
    ] = 0.5,
    format: FormatOption = Format.text,
) -> None:
    """Repair a cut model towards the model it was cut from; keep what helps on held-out text.

    Closed form takes seconds to minutes and no training; distillation trains the layers, those of
    large models through adapters that are merged. No parameter is added either way. A distillation
    that was cut off goes on where it was.

    Example: avss heal --model ./cut --base ./my-model --data reviews.jsonl --out ./healed
    """
    from avss.healing.best import Training, heal_model
    from avss.healing.distillation import DistillationPlan
    from flows.render import healing_table

    texts = [record[text_field] for record in records_at(data, text_field)]
    training = Training(
        DistillationPlan(tokens=training_tokens, learning_rate=learning_rate),
        own_text_share,
        out_dir.with_name(f".{out_dir.name}.training.safetensors"),
    )
    with progress("Healing") as report:
        found = heal_model(
            model_folder(model),
            model_folder(base),
            texts,
            out_dir,
            methods=[one.value for one in method or [HealingMethod.closed_form]],
            training=training,
            max_tokens=max_tokens,
            device=device,
            progress=report,
        )
    if format is Format.json:
        print_json(found.to_json())
    else:
        out.print(healing_table(found.to_json()))
