"""Remove layers from a model, save what is left, and prove that it is the same model minus them."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avss.architecture import Side, find_stack
from avss.cutting.bypass import check_bypass
from avss.cutting.proof import Proof, prove
from avss.cutting.surgery import cut_model
from avss.digests import source_digest
from avss.errors import InputError
from avss.folders import whole_folder
from avss.loading import load_model, load_tokenizer, placement_of
from avss.manifest import ModelManifest, write_manifest


@dataclass(frozen=True)
class PruneResult:
    """A saved cut: where, what is left of it, and the proof that was passed."""

    folder: Path
    manifest: ModelManifest
    proof: Proof

    def to_json(self) -> dict[str, Any]:
        """Plain data for `avss prune --format json`."""
        return {
            "folder": str(self.folder),
            "manifest": self.manifest.to_json(),
            "proof": self.proof.to_json(),
        }

    def summary(self) -> str:
        """Two sentences for a person."""
        kept = self.manifest.kept_original_indices
        return (
            f"{self.folder}: {len(kept)} of {self.manifest.original_layers} layers kept "
            f"({', '.join(map(str, kept))}). {self.proof.summary()}"
        )


def parse_drop(text: str) -> tuple[int, ...]:
    """Layer numbers from "3,17". Raises InputError for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"The layers to drop are {text!r}: expected numbers with commas, as 3,17."
        ) from None


def remove_layers(model: Any, drop: Iterable[int], *, stack: Side = "auto") -> Any:
    """A new model without the layers `drop`, given by their original numbers.

    It shares its weights with `model`, which stays as it is, and knows the original numbers of
    its layers, so it can be cut again. Its logits are compared with those of `model` with the
    layers passed over. Raises InputError for numbers that are out of range, repeated, already
    removed or all there are; UnsupportedArchitectureError, with the reason, for a cut that would
    change the layers that are left.
    """
    found = find_stack(model, stack)
    numbers = tuple(drop)
    if not numbers:
        raise InputError("No layer to remove was given.")
    repeated = sorted({number for number in numbers if numbers.count(number) > 1})
    if repeated:
        raise InputError(f"Layer {repeated[0]} is given more than once.")
    gone = set(found.positions(numbers))
    positions = [at for at in range(len(found.layers)) if at not in gone]
    if not positions:
        raise InputError(
            f"All {len(found.layers)} layers that are left would be removed: keep at least one."
        )
    cut = cut_model(model, found, positions)
    check_bypass(model, found, gone, cut)
    return cut


def save_cut(model: Any, tokenizer: Any | None, out: Path, *, parent: str | None) -> ModelManifest:
    """Save a cut (and maybe healed) model with all that travels along, once it is proven.

    The folder appears at `out` only if a fresh process that loads it computes what `model`
    computes (see `prove`). `parent` is the digest of the folder that the cut was made from.
    Raises ProofError where it does not, InputError where `out` exists.
    """
    return _save(model, tokenizer, out, parent)[0]


def prune_model(
    source: str | Path,
    drop: Iterable[int],
    out: Path,
    *,
    revision: str | None = None,
    stack: Side = "auto",
    device: str = "cpu",
) -> PruneResult:
    """Load `source`, remove the layers `drop`, prove the result and save it at `out`.

    Sources are those of `load_model`, `device` as `placement_of` takes it; errors those of both,
    of `remove_layers` and `save_cut`.
    """
    if out.exists():
        raise InputError(f"{out} already exists: give a new folder, or remove it first.")
    model = load_model(source, revision=revision, device_map=placement_of(device))
    cut = remove_layers(model, drop, stack=stack)
    tokenizer = load_tokenizer(source, revision=revision)
    digest = source_digest(source)
    manifest, proof = _save(cut, tokenizer, out, None if digest is None else digest.digest)
    return PruneResult(out, manifest, proof)


def _save(
    model: Any, tokenizer: Any | None, out: Path, parent: str | None
) -> tuple[ModelManifest, Proof]:
    with whole_folder(out) as draft:
        manifest = write_cut(model, tokenizer, draft, parent=parent)
        return manifest, prove(draft, model, tokenizer)


def write_cut(
    model: Any, tokenizer: Any | None, folder: Path, *, parent: str | None
) -> ModelManifest:
    """What `write_model` writes and the manifest of it, unproven; `parent` as in `save_cut`."""
    write_model(model, tokenizer, folder)
    return write_manifest(folder, model, parent)


def write_model(model: Any, tokenizer: Any | None, folder: Path) -> None:
    """Weights (safetensors), config, generation config, tokenizer and chat template, unproven."""
    model.save_pretrained(folder)
    if tokenizer is not None:
        tokenizer.save_pretrained(folder)
