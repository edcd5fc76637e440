"""Text that the model itself writes: what it knows beyond the business's data, to heal with.

Healing on one kind of text alone lets a model forget the others. Nobody has to bring more text: a
model writes on from any word (LLM-QAT, arXiv 2305.17888), and one that is tuned to instructions
and handed an empty turn writes questions and answers (Magpie, arXiv 2406.08464).
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from transformers import GenerationConfig

from avss.errors import InputError
from avss.memory import within_memory
from avss.placement import entry_device

_ROWS = 64
"""Texts that are written at a time, where memory suffices."""
_MARK = "\N{OBJECT REPLACEMENT CHARACTER}"


def own_text(
    model: Any,
    tokenizer: Any,
    *,
    tokens: int,
    length: int = 192,
    rows: int = _ROWS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """Sequences of one length that `model` draws at temperature 1, `tokens` in all or few more.

    Each goes on from one token of the vocabulary drawn at random; where the tokenizer has a chat
    template, every other batch begins where a user's words would. A text that comes to its end is
    followed by whatever the model puts there: an answer after a question, or another text.
    `length` is the most, the model's positions allowing; `rows` are written at a time. What the
    model itself says of how it writes is left aside. The same model, seed and machine give the same
    text. `progress` is called with (tokens written, tokens asked for). Raises InputError for less
    than two tokens or a model that does not generate.
    """
    if not model.can_generate() or model.config.is_encoder_decoder:
        raise InputError(f"A {type(model).__name__} does not write text to heal with.")
    turn, start = _turn(tokenizer), _start(tokenizer)
    longest = max(len(turn), len(start) + 1)
    positions = getattr(model.config, "max_position_embeddings", None) or length + longest
    length = min(length, tokens, positions - longest)
    if length < 2:
        raise InputError(f"Text of {length} tokens teaches nothing: ask for 2 or more.")
    texts = -(-tokens // length)
    length = -(-tokens // texts)
    rows = min(rows, texts)
    sampling = GenerationConfig(
        do_sample=True,
        top_k=0,
        max_new_tokens=length,
        pad_token_id=0,
        use_cache=True,
    )
    written: list[list[int]] = []
    with torch.random.fork_rng(), torch.inference_mode(), _unguided(model):
        torch.manual_seed(seed)
        openings = _openings(turn, start, _words(model, tokenizer), rows)
        while len(written) * length < tokens:
            prompt = next(openings).to(entry_device(model))
            drawn = model.generate(
                input_ids=prompt,
                attention_mask=torch.ones_like(prompt),
                generation_config=sampling,
            )
            written += drawn[:, : prompt.shape[1] + length].tolist()
            if progress is not None:
                progress(min(len(written) * length, tokens), tokens)
    return written[:texts]


def kept_text(
    model: Any,
    tokenizer: Any,
    path: Path | None,
    *,
    tokens: int,
    progress: Callable[[int, int], None] | None = None,
) -> list[list[int]]:
    """`own_text`, from the file at `path`, or written, as many rows at a time as memory holds.

    Whose text it is, `path` says; what was written is kept there, and a file of another number of
    tokens is replaced. Raises what `own_text` raises, and InputError where memory does not suffice.
    """
    if path is not None and path.exists():
        found = json.loads(path.read_text())
        if found["tokens"] == tokens:
            return [list(map(int, row)) for row in found["rows"]]
    rows = within_memory(
        lambda rows: own_text(model, tokenizer, tokens=tokens, rows=rows, progress=progress),
        _ROWS,
        model,
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(".writing")
        draft.write_text(json.dumps({"tokens": tokens, "rows": rows}))
        draft.replace(path)
    return rows


@contextmanager
def _unguided(model: Any) -> Iterator[None]:
    """`model` without its own generation settings, which stand in where a call leaves some out.

    They name the tokens at which writing stops, and with many models a temperature below 1.
    """
    guided, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = guided


def _openings(
    turn: list[int], start: list[int], words: torch.Tensor, rows: int
) -> Iterator[torch.Tensor]:
    """Beginnings of `rows` texts, (rows, tokens): a turn and one word each, in turns."""
    while True:
        if turn:
            yield torch.tensor([turn]).repeat(rows, 1)
        drawn = words[torch.randint(len(words), (rows, 1))]
        yield torch.cat([torch.tensor([start] * rows, dtype=torch.long), drawn], dim=1)


def _turn(tokenizer: Any) -> list[int]:
    """What stands before a user's words in a chat; nothing without a chat template."""
    if not getattr(tokenizer, "chat_template", None):
        return []
    turn = tokenizer.apply_chat_template([{"role": "user", "content": _MARK}], tokenize=False)
    before = str(turn).partition(_MARK)[0]
    ids: list[int] = tokenizer(before, add_special_tokens=False)["input_ids"]
    return ids


def _start(tokenizer: Any) -> list[int]:
    """What the tokenizer puts before any text."""
    ids: list[int] = tokenizer("")["input_ids"]
    return ids if ids == [getattr(tokenizer, "bos_token_id", None)] else []


def _words(model: Any, tokenizer: Any) -> torch.Tensor:
    """The tokens that are text: all but the special ones."""
    known = min(len(tokenizer), model.get_input_embeddings().num_embeddings)
    special = set(tokenizer.all_special_ids)
    return torch.tensor([at for at in range(known) if at not in special])
