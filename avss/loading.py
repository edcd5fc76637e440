"""Models from where they lie: a safetensors folder, a GGUF file or a hub id. Never a pickle."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoTokenizer

from avss.errors import InputError
from avss.folders import whole_folder

Source = str | Path


def load_model(
    source: Source,
    *,
    revision: str | None = None,
    dtype: str | torch.dtype = "auto",
    device_map: Any = None,
    offload_folder: Path | None = None,
) -> Any:
    """Load a model for inference, as the class that its config names.

    `source` is a folder with safetensors weights, a `.gguf` file (dequantized), or a hub id, for
    which `revision` pins a commit. `dtype="auto"` takes the checkpoint's own dtype, float32 for
    GGUF. `device_map` and `offload_folder` are passed on to transformers.

    Raises InputError for weights that are pickled, truncated, incomplete, or that disagree with
    the config: a layer without weights would be a random layer.
    """
    where: dict[str, Any] = _location(source) | ({"revision": revision} if revision else {})
    config = _config(source, where)
    if where.get("gguf_file") and dtype == "auto":
        dtype = torch.float32
    try:
        model, report = _model_class(config).from_pretrained(
            **where,
            dtype=dtype,
            device_map=device_map,
            offload_folder=offload_folder,
            use_safetensors=None if where.get("gguf_file") else True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise InputError(_load_failure(source, error)) from error
    except Exception as error:  # safetensors' own error derives from Exception alone
        if type(error).__name__ != "SafetensorError":
            raise
        raise InputError(_load_failure(source, error)) from error
    _check_complete(source, report)
    if where.get("gguf_file"):
        model = _dequantized(model)
    return model.eval()


def outline(source: Source, *, revision: str | None = None) -> Any:
    """The model that `source`'s config describes, on the meta device: no weight is read."""
    where: dict[str, Any] = _location(source) | ({"revision": revision} if revision else {})
    config = _config(source, where)
    with torch.device("meta"):
        found = _model_class(config)
        return found(config) if hasattr(found, "config_class") else found.from_config(config)


def load_config(source: Source) -> Any:
    """A model's config, without its weights. Raises InputError where it cannot be read."""
    return _config(source, _location(source))


def load_tokenizer(source: Source, *, revision: str | None = None) -> Any:
    """The tokenizer that travels with a model. Raises InputError where there is none."""
    where: dict[str, Any] = _location(source) | ({"revision": revision} if revision else {})
    try:
        return AutoTokenizer.from_pretrained(**where)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"{source}: no tokenizer could be read ({_first_line(error)}). "
            "Put tokenizer.json and tokenizer_config.json beside the weights."
        ) from error


def device_of(name: str | None) -> torch.device:
    """The device of this name; None is the accelerator, or the CPU where there is none.

    Apple's mps must be named: it knows no float64, in which statistics are summed.

    Raises InputError for a device that this machine does not have.
    """
    if name is None:
        found = torch.accelerator.current_accelerator(check_available=True)
        return torch.device("cpu") if found is None or found.type == "mps" else found
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InputError(
            f"Device {name}: this machine has none; use cpu, or leave it out."
        ) from None
    if device.type == "meta":
        raise InputError("Device meta: it computes nothing; use cpu, or leave it out.")
    return device


def placement_of(device: str | None) -> Any:
    """The `device_map` of a device by its name (see `device_of`); "auto" spreads over all devices.

    What fits on no accelerator then waits in main memory, and at last on disk.
    """
    return "auto" if device == "auto" else {"": device_of(device)}


def materialize(
    source: Source, out: Path, *, revision: str | None = None, dtype: torch.dtype = torch.float32
) -> Path:
    """Write any source as a safetensors folder at `out`, whole or not at all; returns `out`.

    A folder is copied as it is, hidden files left out; a hub id is downloaded and copied; a GGUF
    file is dequantized to `dtype` and saved with its tokenizer.
    """
    where = _location(source)
    with whole_folder(out) as draft:
        if where.get("gguf_file"):
            load_model(source, dtype=dtype).save_pretrained(draft)
            load_tokenizer(source).save_pretrained(draft)
        else:
            folder = Path(source) if Path(source).is_dir() else _download(str(source), revision)
            _check_safetensors(folder)
            shutil.copytree(
                folder, draft, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*", *_PICKLES)
            )
    return out


_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_CONVERT = (
    "Only safetensors is read, because a pickle can run code: convert it once, where you trust it, "
    "with AutoModel.from_pretrained(...).save_pretrained(...)."
)


def _location(source: Source) -> dict[str, Any]:
    path = Path(source)
    if path.suffix.lower() == ".gguf":
        if not path.is_file():
            raise InputError(f"{path}: no such GGUF file.")
        return {"pretrained_model_name_or_path": str(path.parent), "gguf_file": path.name}
    if path.is_dir():
        _check_safetensors(path)
    elif path.exists() or str(source).startswith((".", "/", "~")) or str(source).count("/") > 1:
        raise InputError(f"{source}: expected a model folder, a .gguf file or a hub id.")
    return {"pretrained_model_name_or_path": str(source)}


def _check_safetensors(folder: Path) -> None:
    if not (folder / "config.json").is_file():
        raise InputError(f"{folder}: there is no config.json; expected a model folder.")
    if any(folder.glob("*.safetensors")):
        return
    if any(path for pattern in _PICKLES for path in folder.glob(pattern)):
        raise InputError(f"{folder}: the weights are pickled. {_CONVERT}")
    raise InputError(f"{folder}: there are no *.safetensors weights.")


def _config(source: Source, where: Mapping[str, Any]) -> Any:
    try:
        return AutoConfig.from_pretrained(**where)
    except Exception as error:
        raise InputError(
            f"{source}: the config could not be read ({_first_line(error)})."
        ) from error


def _model_class(config: Any) -> Any:
    for name in config.architectures or ():
        found = getattr(transformers, name, None)
        if found is not None:
            return found
    causal = type(config) in AutoModelForCausalLM._model_mapping
    return AutoModelForCausalLM if causal else AutoModel


def _check_complete(source: Source, report: Mapping[str, Any]) -> None:
    missing = sorted(report["missing_keys"])
    wrong = sorted(str(key) for key in report["mismatched_keys"])
    layers = sorted(key for key in report["unexpected_keys"] if any(map(str.isdigit, key)))
    for keys, what in (
        (missing, "the config asks for weights that are not there"),
        (wrong, "weights have another shape than the config says"),
        (layers, "there are weights that the config has no layer for"),
    ):
        if keys:
            raise InputError(
                f"{source}: {what}: {', '.join(map(str, keys[:3]))} ({len(keys)} in all). "
                "Config and weights do not belong together: take both from the same model."
            )


def _dequantized(model: Any) -> Any:
    """A GGUF model is marked quantized and refuses to be saved: the same weights, unmarked."""
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    with torch.device("meta"):
        plain = type(model)(config)
    plain.load_state_dict(model.state_dict(), assign=True)
    for name, buffer in model.named_buffers():
        owner, _, leaf = name.rpartition(".")
        plain.get_submodule(owner)._buffers[leaf] = buffer
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _download(hub_id: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(hub_id, revision=revision, ignore_patterns=list(_PICKLES))
    except Exception as error:
        raise InputError(
            f"{hub_id} could not be downloaded from the hub ({_first_line(error)}). "
            "Check the id, the revision and the network, or give a local folder."
        ) from error
    return Path(folder)


def _load_failure(source: Source, error: Exception) -> str:
    reason = _first_line(error)
    if "safetensors" in str(error) and "bin" in str(error):
        return f"{source}: {reason} {_CONVERT}"
    return (
        f"{source}: the model could not be loaded ({type(error).__name__}: {reason}). "
        "A file may be truncated, or the config may not belong to the weights: fetch it again."
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0].strip() if lines else type(error).__name__
