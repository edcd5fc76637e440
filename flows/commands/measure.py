"""Evaluate and profile: what a model does, and what it costs to run."""

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

BaseOption = Annotated[
    str | None,
    typer.Option("--base", help="The model to compare with; sources as for --model.", metavar="B"),
]
_REFUSED = 3


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (evaluate, profile):
        app.command()(command)


def evaluate(
    model: ModelOption,
    kpis: Annotated[Path, typer.Option(help="The KPI file.", metavar="KPIS.yaml")],
    data: DataOption,
    base: BaseOption = None,
    min_retention: Annotated[
        float | None,
        typer.Option(help="Judge: the least lower limit of every KPI; not reached: exit code 3."),
    ] = None,
    min_slice_retention: Annotated[
        float | None, typer.Option(help="Judge: the same on every slice.")
    ] = None,
    confidence: Annotated[
        float, typer.Option(help="Confidence of the one-sided lower limits.")
    ] = 0.95,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    device: DeviceOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew what was kept from an earlier run.")
    ] = False,
    format: FormatOption = Format.text,
) -> None:
    """Measure KPIs; with a base, retention with confidence limits, overall and per slice.

    Numbers are kept by the digests of model, data and KPI, so that a base is measured once.

    Example: avss evaluate --model ./cut --base ./my-model --kpis kpis.yaml --data test.jsonl
    """
    from avss.comparing.gate import judge_comparison
    from avss.comparing.retention import compare
    from avss.errors import InputError
    from avss.kpi_file.suite import load_kpis
    from flows.render import gate_table, kpi_table

    judged = min_retention is not None or min_slice_retention is not None
    if judged and base is None:
        raise InputError("--min-retention and --min-slice-retention compare with a --base.")
    suite, records = load_kpis(kpis), records_at(data)
    kept = [
        _measured(name, source, suite, records, device, again)
        for name, source in (("the model", model), ("the base", base))
        if source is not None
    ]
    comparison = compare(
        kept[0].outcomes,
        kept[1].outcomes if base is not None else None,
        confidence=confidence,
        seed=seed,
        min_retention=min_retention,
    )
    told = comparison.to_json() | {"reused": [list(one.reused) for one in kept]}
    gate = None
    if judged:
        gate = judge_comparison(
            comparison, min_retention=min_retention, min_slice_retention=min_slice_retention
        )
        told |= {"gate": gate.to_json()}
    if format is Format.json:
        print_json(told)
    else:
        out.print(kpi_table(told["kpis"]))
        if gate is not None:
            out.print(gate_table(told["gate"]))
    if gate is not None and not gate.passed:
        raise typer.Exit(_REFUSED)


def _measured(
    name: str, source: str, suite: Any, records: Any, device: str | None, again: bool
) -> Any:
    from avss.digests import source_digest
    from avss.loading import load_model, load_tokenizer, placement_of
    from tasks.home import cache
    from tasks.measuring.kept_outcomes import measure_or_recall

    folder, place = model_folder(source), placement_of(device)
    digest = source_digest(folder)
    with progress(f"Measuring {name}") as report:
        return measure_or_recall(
            lambda: (load_model(folder, device_map=place), load_tokenizer(folder)),
            suite,
            records,
            digest=digest and digest.digest,
            device=place if isinstance(place, str) else place[""].type,
            folder=lambda: cache("outcomes"),
            reuse=not again,
            progress=report,
        )


def profile(
    model: ModelOption,
    base: BaseOption = None,
    prompt_tokens: Annotated[int, typer.Option(help="Tokens of the prompt.")] = 256,
    decode_tokens: Annotated[int, typer.Option(help="Tokens decoded after it.")] = 32,
    batch_size: Annotated[
        int, typer.Option(help="Prompts at once, beside the runs of one alone.")
    ] = 4,
    repeats: Annotated[int, typer.Option(help="Times that each model is run.")] = 7,
    confidence: Annotated[float, typer.Option(help="Confidence of the ratios' limits.")] = 0.95,
    device: DeviceOption = None,
    price_per_hour: Annotated[
        float | None, typer.Option(help="Cost: the price of one machine like this one an hour.")
    ] = None,
    currency: Annotated[str, typer.Option(help="Cost: the price's currency.")] = "USD",
    prompt_tokens_per_month: Annotated[
        float, typer.Option(help="Cost: tokens that are read a month.")
    ] = 0.0,
    generated_tokens_per_month: Annotated[
        float, typer.Option(help="Cost: tokens that are written a month.")
    ] = 0.0,
    format: FormatOption = Format.text,
) -> None:
    """Measure size and speed: parameters, bytes, KV bytes a token, prefill and decode, cost.

    With a base, both run in turn in one process, and ratios come with their limits.

    Example: avss profile --model ./cut --price-per-hour 1.2 --prompt-tokens-per-month 2e9
    """
    from avss.profiling.costs import CostModel
    from avss.profiling.profile import profile_model
    from flows.render import profile_table

    tokens = (prompt_tokens_per_month, generated_tokens_per_month)
    cost = None if price_per_hour is None else CostModel(price_per_hour, currency, *tokens)
    with progress("Profiling") as report:
        found = profile_model(
            model_folder(model),
            None if base is None else model_folder(base),
            prompt_tokens=prompt_tokens,
            decode_tokens=decode_tokens,
            batch_size=batch_size,
            repeats=repeats,
            confidence=confidence,
            cost_model=cost,
            device=device,
            progress=report,
        )
    if format is Format.json:
        print_json(found.to_json())
    else:
        out.print(profile_table(found.to_json()))
