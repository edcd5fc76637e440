"""Text that the model itself writes: what it knows beyond the business's data, to heal with.

Healing on one kind of text alone lets a model forget the others. Nobody has to bring more text: an
instruction-tuned model that is handed an empty turn writes questions and answers (Magpie, arXiv
2406.08464), any other writes from its first token on (LLM-QAT, arXiv 2305.17888).
"""

from collections.abc import Callable
from typing import Any

import torch
from transformers import GenerationConfig

from avss.errors import InputError
from avss.placement import entry_device

_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"


def own_text(
    model: Any,
    tokenizer: Any,
    *,
    tokens: int,
    length: int = 192,
    rows: int = 32,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Sequences of `length` tokens that `model` draws at temperature 1, `tokens` in all or more.

    They are shorter where the model has fewer positions or fewer tokens are asked for. `rows` are
    written at a time. The same model, seed and machine give the same text. `progress` is called
    with (tokens written, tokens asked for). Raises InputError for less than two tokens or a model
    that does not generate.
    """
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise InputError(f"A {type(model).__name__} does not write text to heal with.")
    opening = _opening(tokenizer)
    positions = getattr(model.config, "max_position_embeddings", None) or length + len(opening)
    length = min(length, tokens, positions - len(opening))
    if length < 2:
        raise InputError(f"Text of {length} tokens teaches nothing: ask for 2 or more.")
    rows = min(rows, -(-tokens // length))
    sampling = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=length,
        min_new_tokens=length,
        eos_token_id=None,
        pad_token_id=0,
        use_cache=True,
    )
    written: list[list[int]] = []
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(seed)
        while len(written) * length < tokens:
            prompt = torch.tensor([opening], device=entry_device(model)).repeat(rows, 1)
            drawn = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=sampling,
            )
            written += drawn[:, : len(opening) + length].tolist()
            if progress is not None:
                progress(min(len(written) * length, tokens), tokens)
    return written[: -(-tokens // length)]


def _opening(tokenizer: Any) -> list[int]:
    """Where a user's words would begin in a chat; without a chat, the first token of any text."""
    if getattr(tokenizer, "chat_template", None):
        turn = tokenizer.apply_chat_template([{"role": "user", "content": _MARK}], tokenize=False)
        before = str(turn).partition(_MARK)[0]
        ids: list[int] = tokenizer(before, add_special_tokens=False)["input_ids"]
        if ids:
            return ids
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        token = getattr(tokenizer, name, None)
        if token is not None:
            return [int(token)]
    raise InputError("The tokenizer has neither a chat template nor a token that begins a text.")
