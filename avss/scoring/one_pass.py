"""Score every layer of a model from one forward pass over calibration text.

    sequences = calibration_tokens(tokenizer, texts, ...)
    observations = observe(model, sequences, ...)          # one pass, hooks on every layer
    scores = observations.scores(bootstrap=1000)

`score_layers` does all three. Observations of shards of the text merge to those of the whole.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from avss.architecture import LayerStack, Side, find_stack
from avss.batching import TokenBatch, token_batches
from avss.errors import InputError
from avss.memory import within_memory
from avss.placement import entry_device
from avss.scoring.calibration import calibration_tokens, longest_input
from avss.scoring.moments import Moments
from avss.scoring.observations import Observations
from avss.scoring.observer import ANGLE, INFLUENCE, M2, MEAN, NEAR_ZERO, Observer, Source
from avss.scoring.scores import LayerScores

Progress = Callable[[int, int], None]
Pass = Callable[[Any, Observer, Sequence[TokenBatch], Progress], None]
"""Runs a model over batches under an observer; reports (tokens done, tokens in all)."""

EPSILON: Mapping[str, float] = {"contribution": 1e-2, "output": 1e-2, "mlp": 1e-3}
"""Default "near zero" of each source; that of `contribution` is in units of the input's RMS."""


def score_layers(
    model: Any,
    tokenizer: Any,
    texts: Sequence[str],
    *,
    source: Source = "contribution",
    epsilon: float | None = None,
    stack: Side = "auto",
    max_tokens: int | None = None,
    max_length: int = 512,
    batch_tokens: int = 8192,
    bootstrap: int = 0,
    seed: int = 0,
    progress: Progress | None = None,
    run: Pass | None = None,
) -> LayerScores:
    """Rank the layers of `model` by one forward pass over `texts`.

    `source` says which values are scored: "contribution", `(output - input) / RMS(input)` of a
    layer, token by token; "output", the hidden state after the layer, as the paper and its code
    have it; "mlp", the input of the down projection. `epsilon` is what counts as near zero
    (default: EPSILON). Of each text at most `max_length` tokens are read, of all of them
    `max_tokens`. Where the model both encodes and decodes, the text is given to both sides.
    `progress(done, total)` is called in tokens. `run` is another way through the layers than the
    model's own forward pass: `layer_by_layer`.

    Raises InputError for unusable text or options, and for activations that are not finite (it
    names the first such layer); UnsupportedArchitectureError where the layers cannot be found.
    """
    limit = min(max_length, longest_input(model.config, tokenizer))
    sequences = calibration_tokens(tokenizer, texts, max_tokens=max_tokens, max_length=limit)
    observations = observe(
        model,
        sequences,
        source=source,
        epsilon=epsilon,
        stack=stack,
        batch_tokens=batch_tokens,
        progress=progress,
        run=run,
    )
    return observations.scores(bootstrap=bootstrap, seed=seed)


def observe(
    model: Any,
    sequences: Sequence[Sequence[int]],
    *,
    source: Source = "contribution",
    epsilon: float | None = None,
    stack: Side = "auto",
    batch_tokens: int = 8192,
    progress: Progress | None = None,
    run: Pass | None = None,
) -> Observations:
    """One forward pass over token sequences, every layer watched; parameters as `score_layers`."""
    if source not in EPSILON:
        raise InputError(f"There is no source {source!r}: expected {', '.join(EPSILON)}.")
    epsilon = EPSILON[source] if epsilon is None else epsilon
    if not epsilon > 0:
        raise InputError(f"epsilon is {epsilon}: expected a number above 0.")
    found = find_stack(model, stack)
    observer = Observer(found, len(sequences), source, epsilon)
    pad = getattr(model.config.get_text_config(), "pad_token_id", None)

    def watch(size: int) -> None:
        batches = list(token_batches(sequences, batch_tokens=size, pad_id=pad or 0))
        with torch.inference_mode():
            (run or _forward)(model, observer, batches, progress or _silent)

    within_memory(watch, batch_tokens, model)
    state = observer.collected()
    _check_finite(state, found)
    tokens = torch.tensor([len(sequence) for sequence in sequences], dtype=torch.float64)
    count = (tokens * observer.width).unsqueeze(1).repeat(1, len(found.layers))
    by_record = state.permute(1, 2, 0).contiguous()  # sums depend on how numbers lie
    moments = Moments(count, by_record[MEAN], by_record[M2], by_record[NEAR_ZERO])
    name = model.config.name_or_path or type(model).__name__
    return Observations(
        name, source, epsilon, found.kept, tokens, moments, by_record[INFLUENCE], by_record[ANGLE]
    )


def _forward(
    model: Any, observer: Observer, batches: Sequence[TokenBatch], progress: Progress
) -> None:
    """The model's own forward pass, batch after batch."""
    done, total = 0, sum(int(batch.attention_mask.sum()) for batch in batches)
    with observer.watching():
        for batch in batches:
            observer.begin(batch)
            run_layers(model, observer.stack, batch)
            done += int(batch.attention_mask.sum())
            progress(done, total)


def _silent(_done: int, _total: int) -> None:
    """Progress that nobody asked for."""


def run_layers(model: Any, stack: LayerStack, batch: TokenBatch) -> None:
    """Run the layers of `stack` over a batch: no head, no cache, nothing returned."""
    device = entry_device(model)
    ids, mask = batch.input_ids.to(device), batch.attention_mask.to(device)
    body = model.base_model
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if stack.side == "encoder":
        body = model.get_encoder()
    elif stack.side == "decoder":
        start = getattr(model.config, "decoder_start_token_id", None) or 0
        shifted = torch.cat([torch.full_like(ids[:, :1], start), ids[:, :-1]], 1)
        inputs |= {"decoder_input_ids": shifted, "decoder_attention_mask": mask}
    parameters = inspect.signature(body.forward).parameters
    if "use_cache" in parameters:
        inputs |= {"use_cache": False}
    body(**inputs)


def _check_finite(state: torch.Tensor, stack: LayerStack) -> None:
    bad = (~state.isfinite()).flatten(1).any(1).tolist()
    if any(bad):
        raise InputError(
            f"Layer {stack.kept[bad.index(True)]} gives activations that are NaN or infinite "
            f"({sum(bad)} of {len(bad)} layers do). Check the weights, or load the model in a "
            "wider dtype (float32 or bfloat16 for float16)."
        )
