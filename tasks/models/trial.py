"""The fresh process of a registration: fetch a version as a serving system would, load it, answer.

Run as `python -m tasks.models.trial` by `tasks.models.registering`, which writes `[line, version,
folder]` to it as JSON once the version is there. It downloads the version through MLflow into the
folder, loads it with plain transformers and with MLflow, lets both continue the card's example
greedily, and prints what they said as JSON.
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import torch
from transformers import AutoConfig, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from tasks.models.card import EXAMPLE, MODEL, auto_class

_NEW_TOKENS = 16


def main(line: str, number: str, folder: str) -> None:
    """Fetch, load twice, answer."""
    torch.set_num_threads(1)
    mlflow.artifacts.download_artifacts(f"models:/{line}/{number}", dst_path=folder)
    plain = Path(folder) / MODEL
    config = AutoConfig.from_pretrained(plain)
    model = auto_class(config).from_pretrained(plain, dtype="auto", use_safetensors=True)
    tokenizer = AutoTokenizer.from_pretrained(plain)
    loaded = mlflow.transformers.load_model(folder, return_type="components")
    with ThreadPoolExecutor() as both:
        plain_said, mlflow_said = both.map(
            _answer, (model, loaded["model"]), (tokenizer, loaded["tokenizer"])
        )
    print(
        json.dumps(
            {
                "transformers": plain_said,
                "mlflow": mlflow_said,
                "packages": {name: version(name) for name in ("mlflow", "torch", "transformers")},
            }
        )
    )


@torch.inference_mode()
def _answer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """Token ids of the example and its greedy continuation; logits where none can be written."""
    asked = tokenizer(EXAMPLE, return_tensors="pt")["input_ids"]
    if not model.can_generate():
        values = model(input_ids=asked)[0].flatten()[:_NEW_TOKENS]
        return {"asked": asked[0].tolist(), "values": [round(float(one), 4) for one in values]}
    found = model.eval().generate(
        input_ids=asked,
        attention_mask=torch.ones_like(asked),
        max_new_tokens=_NEW_TOKENS,
        do_sample=False,
        pad_token_id=model.config.eos_token_id or 0,
    )
    return {"asked": asked[0].tolist(), "answered": found[0, asked.shape[1] :].tolist()}


if __name__ == "__main__":
    main(*json.load(sys.stdin))
