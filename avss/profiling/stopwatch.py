"""One timed run of a causal model: prefill, first token, decoding."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from avss.placement import entry_device
from avss.profiling.energy import EnergyMeter


@dataclass(frozen=True)
class Reading:
    """One repeat's values by name, in `units`; energy is absent where it cannot be read."""

    values: Mapping[str, float]
    energy_reason: str | None
    units: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "prefill_tokens_per_second": ("tokens/s", True),
        "time_to_first_token": ("s", False),
        "decode_tokens_per_second": ("tokens/s", True),
        "batched_decode_tokens_per_second": ("tokens/s", True),
        "energy": ("J", False),
    }


@torch.inference_mode()
def read_speed(model: Any, prompt_tokens: int, decode_tokens: int, batch_size: int) -> Reading:
    """Run a prompt and decode after it, at batch 1 and at `batch_size`.

    The token ids are fixed: what is said does not change how long it takes. The time to the first
    token is that of the prompt and of choosing one token after it.
    """
    meter = EnergyMeter()
    meter.start()
    first, single = _run(model, 1, prompt_tokens, decode_tokens)
    values = {
        "prefill_tokens_per_second": prompt_tokens / first,
        "time_to_first_token": first,
        "decode_tokens_per_second": decode_tokens / single,
    }
    batched = single
    if batch_size > 1:
        _, batched = _run(model, batch_size, prompt_tokens, decode_tokens)
    values["batched_decode_tokens_per_second"] = batch_size * decode_tokens / batched
    joules = meter.stop()
    if joules is not None:
        values["energy"] = joules
    return Reading(values, meter.reason)


def cache_of(out: Any) -> dict[str, Any]:
    """A model's cache by the name under which it takes it; state space models have their own."""
    names = (name for name in ("past_key_values", "cache_params") if name in out)
    return {name: out[name] for name in names}


def _run(model: Any, batch: int, prompt_tokens: int, decode_tokens: int) -> tuple[float, float]:
    """Seconds of the prompt with its first token, and of the tokens after it."""
    vocabulary = model.config.get_text_config().vocab_size
    ids = torch.arange(prompt_tokens, device=entry_device(model)).repeat(batch, 1) % vocabulary
    state: dict[str, Any] = {}

    def prefill() -> None:
        out = model(input_ids=ids, use_cache=True, logits_to_keep=1)
        state.update(cache=cache_of(out), token=out.logits[:, -1:].argmax(dim=-1))

    def decode() -> None:
        for _ in range(decode_tokens):
            out = model(input_ids=state["token"], use_cache=True, **state["cache"])
            state["token"] = out.logits[:, -1:].argmax(dim=-1)

    return _seconds(prefill, entry_device(model)), _seconds(decode, entry_device(model))


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    start = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
