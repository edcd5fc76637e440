"""Where bfloat16 is computed by the machine itself, and so costs less than float32."""

import time
from functools import cache

import torch

_TURNS = 7
_GAIN = 0.7


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices faster than float32.

    A CPU with matrix tiles (AMX) does. With AVX-512's bfloat16 some do and some are slower
    (0.35 and 1.5 of float32's time, `benchmarks/precision.py`), so there a race of some
    milliseconds decides, once a process; less than 30 % won is not enough, so that noise
    does not change the answer between runs.
    """
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported()) or (
            bool(torch.cpu._is_avx512_bf16_supported()) and _wins_race()
        )
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def fast_matrices(device: torch.device) -> torch.autocast:
    """A context in which matrix products run in bfloat16 where that is fast; sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


@cache
def _wins_race() -> bool:
    inputs, weights = torch.ones(256, 576), torch.ones(576, 576)
    runners = ((inputs, weights), (inputs.bfloat16(), weights.bfloat16()))
    best = [float("inf")] * len(runners)
    for _ in range(_TURNS):
        for at, (left, right) in enumerate(runners):
            began = time.perf_counter()
            torch.nn.functional.linear(left, right)
            best[at] = min(best[at], time.perf_counter() - began)
    wide, narrow = best
    return narrow < _GAIN * wide
