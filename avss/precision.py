"""Where bfloat16 is computed by the machine itself, and so costs less than float32."""

import torch


def has_bfloat16(device: torch.device) -> bool:
    """Whether `device` multiplies bfloat16 matrices faster than float32.

    A CPU does with matrix tiles (AMX); with AVX-512's bfloat16 alone it was slower
    (`benchmarks/precision.py`).
    """
    if device.type == "cpu":
        return bool(torch.cpu._is_amx_tile_supported())
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return False


def fast_matrices(device: torch.device) -> torch.autocast:
    """A context in which matrix products run in bfloat16 where that is fast; sums stay float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))
