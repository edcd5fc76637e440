"""What a model computes on fixed input: the ground on which two models are called the same."""

from typing import Any

import torch
from transformers import GenerationConfig

from avss.placement import entry_device

_ROWS, _TOKENS = 2, 12
NEW_TOKENS = 32
_ALIGNMENT = 64


def probe_inputs(model: Any) -> dict[str, torch.Tensor]:
    """Two rows of twelve fixed tokens, none of them special, as the model takes them."""
    config = model.config.get_text_config()
    special = {
        value
        for node in (model.config, config)
        for name, value in node.to_dict().items()
        if "_token_" in name and type(value) is int
    }
    draw = torch.Generator().manual_seed(0)
    usual = [token for token in range(min(config.vocab_size, 4096)) if token not in special]
    picks = torch.randint(len(usual), (_ROWS, _TOKENS), generator=draw)
    ids = torch.tensor(usual)[picks].to(entry_device(model))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    return inputs | ({"decoder_input_ids": ids} if model.config.is_encoder_decoder else {})


def logits_of(model: Any) -> torch.Tensor:
    """Logits (or the last hidden state, where there is no head) on the probe, on the CPU."""
    with torch.inference_mode():
        output = model(**probe_inputs(model))
    found = getattr(output, "logits", None)
    result: torch.Tensor = (output[0] if found is None else found).cpu()
    return result


def behaviour(model: Any) -> dict[str, torch.Tensor]:
    """Logits on the probe and, of a model that generates, 32 greedy tokens with their logits.

    Generation runs with and without the KV cache. Keys: `logits`, and for `cached` and `uncached`
    the generated `<name>_tokens` (1, T) and `<name>_logits` (T, V).
    """
    align(model)
    training = model.training
    model.eval()
    try:
        found = {"logits": logits_of(model)}
        if model.can_generate():
            for name, use_cache in (("cached", True), ("uncached", False)):
                tokens, logits = generated(model, tokens=NEW_TOKENS, use_cache=use_cache)
                found |= {f"{name}_tokens": tokens, f"{name}_logits": logits}
        return found
    finally:
        model.train(training)


def generated(model: Any, *, tokens: int, use_cache: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """`tokens` new tokens, greedily, after the probe's first row, on the CPU.

    All tokens (1, T), those that were given included where the model returns them, and the logits
    (`tokens`, V) that the new ones were chosen by.
    """
    inputs = probe_inputs(model)
    greedy = GenerationConfig(
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        do_sample=False,
        num_beams=1,
        use_cache=use_cache,
        output_logits=True,
        return_dict_in_generate=True,
        pad_token_id=0,
        decoder_start_token_id=0 if model.config.is_encoder_decoder else None,
    )
    with torch.inference_mode():
        result = model.generate(
            input_ids=inputs["input_ids"][:1],
            attention_mask=inputs["attention_mask"][:1],
            generation_config=greedy,
        )
    return result.sequences.cpu(), torch.cat(result.logits).cpu()


def align(model: Any) -> None:
    """Move CPU weights that lie at odd addresses, as in a mapped file, to where torch puts its own.

    Kernels take other paths, and round differently, for memory that is not aligned.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % _ALIGNMENT:
            tensor.data = tensor.data.clone()


def largest_difference(one: torch.Tensor, other: torch.Tensor) -> float:
    """Largest absolute difference; 0 only for tensors that are equal bit for bit."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return float("inf")
    if torch.equal(one, other):
        return 0.0
    return float((one.double() - other.double()).abs().nan_to_num(nan=torch.inf).max())


def last_place(tensor: torch.Tensor) -> float:
    """The weight of the last place of the largest value, in the tensor's dtype."""
    if not tensor.is_floating_point():
        return 0.0
    return float(tensor.abs().max()) * torch.finfo(tensor.dtype).eps
