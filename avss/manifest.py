"""`avss_manifest.json`: what a cut model folder is, and where it came from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avss.architecture import find_stack
from avss.digests import MANIFEST_NAME, folder_digest
from avss.errors import InputError

FORMAT = 1


@dataclass(frozen=True)
class ModelManifest:
    """`kept_original_indices[i]` is the original number of layer `i`, of `original_layers`.

    `parent` is the digest of the folder that the cut was made from (None: unknown); `files` maps
    relative paths to SHA-256, `digest` covers them all (see `digests`).
    """

    kept_original_indices: tuple[int, ...]
    original_layers: int
    parent: str | None
    files: Mapping[str, str]
    digest: str
    format: int = FORMAT

    def to_json(self) -> dict[str, Any]:
        """Plain data, as it stands in the file."""
        return asdict(self) | {"kept_original_indices": list(self.kept_original_indices)}


def read_manifest(folder: str | Path) -> ModelManifest | None:
    """The folder's manifest; None for an original model, which has none.

    Raises InputError where the file is damaged or of a format this version does not know.
    """
    path = Path(folder) / MANIFEST_NAME
    if not path.is_file():
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        manifest = ModelManifest(
            **data | {"kept_original_indices": tuple(data["kept_original_indices"])}
        )
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path} is damaged ({error}): cut the model again.") from error
    if manifest.format != FORMAT:
        raise InputError(f"{path} has format {manifest.format}: this version reads {FORMAT}.")
    return manifest


def write_manifest(folder: Path, model: Any, parent: str | None) -> ModelManifest:
    """Describe the files in `folder`, which holds `model`, and write the manifest beside them."""
    stacks = [find_stack(model, "decoder"), find_stack(model, "encoder")]
    cut = [stack for stack in stacks if len(stack.kept) < stack.original_layers]
    stack = (cut or stacks)[0]
    content = folder_digest(folder)
    manifest = ModelManifest(
        kept_original_indices=stack.kept,
        original_layers=stack.original_layers,
        parent=parent,
        files=dict(content.files),
        digest=content.digest,
    )
    text = json.dumps(manifest.to_json(), indent=2, sort_keys=True) + "\n"
    (folder / MANIFEST_NAME).write_text(text, encoding="utf-8")
    return manifest
