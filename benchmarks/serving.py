"""Whether a model answers the same in llama.cpp, after conversion, as in transformers.

    python -m benchmarks.serving --model served/

Needs the extra `gguf`. Prints both greedy continuations; exit code 1 where they differ.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from avss.loading import load_model, load_tokenizer
from tasks.models.serving import converter_script, to_gguf

PROMPT = "The capital of France is"


def in_transformers(folder: Path, tokens: int) -> tuple[list[int], str]:
    """The prompt's token ids, and the greedy continuation's text, in float32."""
    model, tokenizer = load_model(folder, dtype=torch.float32), load_tokenizer(folder)
    asked = tokenizer(PROMPT, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        found = model.generate(
            input_ids=asked,
            attention_mask=torch.ones_like(asked),
            max_new_tokens=tokens,
            do_sample=False,
        )
    return asked[0].tolist(), tokenizer.decode(found[0, asked.shape[1] :])


def in_llama_cpp(file: Path, asked: list[int], tokens: int) -> str:
    """The same prompt's greedy continuation in llama.cpp."""
    import xllamacpp

    params: Any = xllamacpp.CommonParams()
    params.model.path, params.n_ctx = str(file), 512
    server: Any = xllamacpp.Server(params)
    asking = {"prompt": asked, "max_tokens": tokens, "temperature": 0}
    return str(server.handle_completions(asking)["choices"][0]["text"])


def main() -> int:
    """Convert, ask both, compare."""
    parser = argparse.ArgumentParser(description="llama.cpp against transformers")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "model.gguf"
        to_gguf(given.model, file, converter_script(), precision="f32")
        asked, plain = in_transformers(given.model, given.tokens)
        other = in_llama_cpp(file, asked, given.tokens)
    print(json.dumps({"transformers": plain, "llama.cpp": other, "same": plain == other}))
    return 0 if plain == other else 1


if __name__ == "__main__":
    sys.exit(main())
