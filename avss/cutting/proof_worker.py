"""The fresh process of a proof: load saved folders with transformers and say what they compute.

Run as `python -m avss.cutting.proof_worker job.json` by `avss.cutting.proof`. For each case it
writes `<result>.json` and `<result>.safetensors`; a folder that does not load gives
{"error": ...}.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from avss.cutting.behaviour import behaviour
from avss.cutting.portrait import portrait


def main(job: Path) -> None:
    """Prove every case of the job."""
    work = json.loads(job.read_text(encoding="utf-8"))
    torch.set_num_threads(work["threads"])
    for case in work["cases"]:
        result = Path(case["result"])
        try:
            found, tensors = _examine(case)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs in the report
            found, tensors = {"error": f"{type(error).__name__}: {error}"}, {}
        save_file(tensors, result.with_suffix(".safetensors"))
        result.with_suffix(".json").write_text(json.dumps(found), encoding="utf-8")


def _examine(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    folder = case["folder"]
    model = _class_of(folder).from_pretrained(
        folder,
        dtype="auto",
        attn_implementation=case["attention"],
        device_map=case["device_map"],
        use_safetensors=True,
    )
    tokenizer = AutoTokenizer.from_pretrained(folder) if case["tokenizer"] else None
    tensors = {name: tensor.contiguous() for name, tensor in behaviour(model).items()}
    return portrait(model, tokenizer), tensors


def _class_of(folder: str) -> Any:
    config = AutoConfig.from_pretrained(folder)
    if type(config) in AutoModelForCausalLM._model_mapping:
        causal = AutoModelForCausalLM._model_mapping[type(config)]
        if causal.__name__ in config.architectures:
            return AutoModelForCausalLM
    return getattr(transformers, config.architectures[0])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
