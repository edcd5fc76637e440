"""What makes a model folder one that MLflow loads: `MLmodel`, its tokenizer, an input example.

The card lies beside the model's files, which stay as they are:

MLmodel                  flavours `transformers` and `python_function`, with a signature
input_example.json       a neutral sentence; never business text
components/tokenizer/    the tokenizer again, where MLflow looks for it
model/                   the published model folder, file by file
"""

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from avss.loading import load_tokenizer

EXAMPLE = "This is a sentence without any meaning."
MODEL = "model/"
_TASKS = {
    "ForCausalLM": ("text-generation", "TextGenerationPipeline"),
    "ForConditionalGeneration": ("text-generation", "TextGenerationPipeline"),
    "ForSequenceClassification": ("text-classification", "TextClassificationPipeline"),
    "ForMaskedLM": ("fill-mask", "FillMaskPipeline"),
}
_OTHER = ("feature-extraction", "FeatureExtractionPipeline")


def write_card(model: Path, digest: str, out: Path) -> None:
    """Write the card of a model folder to `out`; the same bytes for the same model, always.

    Args:
        model: the published folder, on this machine.
        digest: its digest.
        out: an empty folder.
    """
    from mlflow.models import Model

    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    architecture, tokenizer = config["architectures"][0], load_tokenizer(model)
    task, pipeline = _task(architecture)
    card = Model(
        signature=_signature(task),
        saved_input_example_info={"artifact_path": "input_example.json", "type": "json_object"},
        model_uuid=digest[:32],
        utc_time_created="1970-01-01 00:00:00",  # so that the same model has the same card
    )
    card.add_flavor(
        "transformers",
        task=task,
        instance_type=pipeline,
        pipeline_model_type=architecture,
        torch_dtype=f"torch.{config['dtype']}" if config.get("dtype") else None,
        source_model_name=f"models/{digest}",
        model_binary=MODEL.rstrip("/"),
        tokenizer_type=type(tokenizer).__name__,
        tokenizer_name=f"models/{digest}",
        components=["tokenizer"],
        transformers_version=version("transformers"),
        code=None,
    )
    card.add_flavor("python_function", loader_module="mlflow.transformers")
    out.mkdir(parents=True, exist_ok=True)
    card.save(str(out / "MLmodel"))
    (out / "input_example.json").write_text(json.dumps(EXAMPLE), encoding="utf-8")
    tokenizer.save_pretrained(out / "components" / "tokenizer")


def auto_class(config: Any) -> Any:
    """The class of transformers that loads a model of this config, with no code of ours."""
    import transformers

    return getattr(transformers, config.architectures[0])


def _task(architecture: str) -> tuple[str, str]:
    known = (task for ending, task in _TASKS.items() if architecture.endswith(ending))
    return next(known, _OTHER)


def _signature(task: str) -> Any:
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    text = Schema([ColSpec("string")])
    if task == "text-classification":
        outputs = Schema([ColSpec("string", name="label"), ColSpec("double", name="score")])
        return ModelSignature(inputs=text, outputs=outputs)
    return ModelSignature(inputs=text, outputs=text)
