"""What a model costs to run: size, memory a token, speed; candidate against base in one run."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from avss.errors import InputError
from avss.loading import Source, load_model, placement_of
from avss.placement import entry_device
from avss.profiling.costs import Cost, CostModel
from avss.profiling.stopwatch import Reading, cache_of, read_speed

CACHE_TOKENS = 16


@dataclass(frozen=True)
class Measured:
    """Medians of one quantity over the repeats, and their ratio.

    `ratio` is the median of candidate / base in the same repeat, `ratio_low` and `ratio_high` its
    distribution-free limits, None where there are too few repeats for the confidence.
    """

    name: str
    unit: str
    higher_is_better: bool
    value: float
    base_value: float | None
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None


@dataclass(frozen=True)
class Size:
    """`parameters` counts shared weights once; `resident_bytes`: weights and buffers in memory.

    `kv_bytes_per_token` is what each token adds to the cache of keys and values, in layers of a
    sliding window up to that window; 0 where a model keeps a state of fixed size instead.
    """

    parameters: int
    resident_bytes: int
    bytes_on_disk: int
    kv_bytes_per_token: int


@dataclass(frozen=True)
class Profile:
    """A profile with the settings under which it holds. Energy is joules a repeat, where read."""

    device: str
    dtype: str
    threads: int
    prompt_tokens: int
    decode_tokens: int
    batch_size: int
    repeats: int
    confidence: float
    size: Size
    base_size: Size | None
    speeds: tuple[Measured, ...]
    energy_reason: str | None
    cost: Cost | None

    def to_json(self) -> dict[str, Any]:
        """JSON values; never NaN."""
        return asdict(self)


def profile_model(
    source: Source,
    base: Source | None = None,
    *,
    prompt_tokens: int = 256,
    decode_tokens: int = 32,
    batch_size: int = 4,
    repeats: int = 7,
    confidence: float = 0.95,
    cost_model: CostModel | None = None,
    device: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """Profile a causal model, and its base beside it.

    Each repeat runs both, in turn first, so that whatever else the machine does falls on both. A
    first run of each is thrown away. Raises InputError for a model that cannot generate and for
    settings below 1.
    """
    if min(prompt_tokens, decode_tokens, batch_size, repeats) < 1 or not 0 < confidence < 1:
        raise InputError(
            "Expected tokens, batch size and repeats of at least 1, confidence below 1."
        )
    models = [_load(one, device) for one in (source, base) if one is not None]
    readings = _interleave(models, (prompt_tokens, decode_tokens, batch_size), repeats, progress)
    sizes = [_size(model, one) for model, one in zip(models, (source, base), strict=False) if one]
    speeds = tuple(_measured(name, readings, confidence) for name in readings[0][0].values)
    return Profile(
        device=str(entry_device(models[0])),
        dtype=str(models[0].dtype).removeprefix("torch."),
        threads=torch.get_num_threads(),
        prompt_tokens=prompt_tokens,
        decode_tokens=decode_tokens,
        batch_size=batch_size,
        repeats=repeats,
        confidence=confidence,
        size=sizes[0],
        base_size=sizes[1] if base is not None else None,
        speeds=speeds,
        energy_reason=readings[0][0].energy_reason,
        cost=cost_model.of({one.name: one for one in speeds}) if cost_model else None,
    )


def _load(source: Source, device: str | None) -> Any:
    model = load_model(source, device_map=placement_of(device))
    if model.config.is_encoder_decoder or not model.can_generate():
        raise InputError(f"{source}: a {type(model).__name__} does not decode; nothing to profile.")
    return model


def _interleave(
    models: Sequence[Any],
    shape: tuple[int, int, int],
    repeats: int,
    progress: Callable[[int, int], None] | None,
) -> list[list[Reading]]:
    """Readings by model, then by repeat; the order of the models turns with every repeat."""
    readings: list[list[Reading]] = [[] for _ in models]
    for model in models:
        read_speed(model, *shape)
    for repeat in range(repeats):
        order = range(len(models)) if repeat % 2 == 0 else reversed(range(len(models)))
        for at in order:
            readings[at].append(read_speed(models[at], *shape))
        if progress is not None:
            progress(repeat + 1, repeats)
    return readings


def _measured(name: str, readings: Sequence[Sequence[Reading]], confidence: float) -> Measured:
    unit, higher = readings[0][0].units[name]
    series = [[reading.values[name] for reading in one] for one in readings]
    if len(series) == 1:
        return Measured(name, unit, higher, statistics.median(series[0]), None, None, None, None)
    ratios = [mine / other for mine, other in zip(*series, strict=True)]
    limits: Any = stats.quantile_test(ratios, p=0.5).confidence_interval(confidence)
    return Measured(
        name,
        unit,
        higher,
        statistics.median(series[0]),
        statistics.median(series[1]),
        statistics.median(ratios),
        *(float(limit) if limit == limit else None for limit in (limits.low, limits.high)),
    )


@torch.inference_mode()
def _size(model: Any, source: Source) -> Size:
    weights = list(model.parameters())
    held = [*weights, *model.buffers()]
    ids = torch.zeros((1, CACHE_TOKENS), dtype=torch.int64, device=entry_device(model))
    caches = cache_of(model(input_ids=ids, use_cache=True)).values()
    states = [
        state
        for cache in caches
        for layer in cache.layers
        for state in (getattr(layer, "keys", None), getattr(layer, "values", None))
        if state is not None
    ]
    return Size(
        parameters=sum(weight.numel() for weight in weights),
        resident_bytes=sum(tensor.nbytes for tensor in held),
        bytes_on_disk=_bytes_on_disk(Path(source)),
        kv_bytes_per_token=sum(state.nbytes // state.shape[-2] for state in states),
    )


def _bytes_on_disk(path: Path) -> int:
    """Bytes of the weight files alone; a hub id was loaded from a cache that is not looked into."""
    files = path.glob("*.safetensors") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
