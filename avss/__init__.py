"""The science: score the layers of a language model, remove some, heal and measure what is left.

Tensors and model folders in, numbers and model folders out. Names are imported when first used,
since torch and transformers take seconds.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avss.architecture import LayerStack, find_stack
    from avss.batching import TokenBatch, token_batches, tokenize
    from avss.cutting.proof import Proof, prove
    from avss.cutting.pruning import PruneResult, prune_model, remove_layers, save_cut
    from avss.digests import FolderDigest, folder_digest
    from avss.loading import load_model, load_tokenizer, materialize
    from avss.manifest import ModelManifest, read_manifest
    from avss.scoring.observations import Observations
    from avss.scoring.one_pass import observe, score_layers
    from avss.scoring.scores import LayerScore, LayerScores

_HOMES = {
    "architecture": ("LayerStack", "find_stack"),
    "batching": ("TokenBatch", "token_batches", "tokenize"),
    "digests": ("FolderDigest", "folder_digest"),
    "loading": ("load_model", "load_tokenizer", "materialize"),
    "manifest": ("ModelManifest", "read_manifest"),
    "scoring.observations": ("Observations",),
    "cutting.proof": ("Proof", "prove"),
    "cutting.pruning": ("PruneResult", "prune_model", "remove_layers", "save_cut"),
    "scoring.scores": ("LayerScore", "LayerScores"),
    "scoring.one_pass": ("observe", "score_layers"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "FolderDigest",
    "LayerScore",
    "LayerScores",
    "LayerStack",
    "ModelManifest",
    "Observations",
    "Proof",
    "PruneResult",
    "TokenBatch",
    "find_stack",
    "folder_digest",
    "load_model",
    "load_tokenizer",
    "materialize",
    "observe",
    "prove",
    "prune_model",
    "read_manifest",
    "remove_layers",
    "save_cut",
    "score_layers",
    "token_batches",
    "tokenize",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'avss' has no attribute {name!r}")
    return getattr(import_module(f"avss.{_HOME_OF[name]}"), name)
