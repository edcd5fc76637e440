"""Where a distillation stands, on disk: safetensors and JSON, never pickle."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from avss.errors import InputError


class ForeignCheckpointError(InputError):
    """The checkpoint of another distillation: other text, models or plan."""


@dataclass
class TrainingState:
    """Progress of one distillation.

    `batches` and `tokens` were trained on; `curve` holds (tokens, held-out loss in nats a token)
    for every evaluation, the first before training; `best` the trained weights at the lowest loss.
    """

    fingerprint: str
    batches: int = 0
    tokens: int = 0
    curve: list[tuple[int, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    @property
    def lowest(self) -> float:
        """The lowest held-out loss so far."""
        return min(loss for _, loss in self.curve)

    @property
    def stale(self) -> int:
        """Evaluations since the lowest loss."""
        losses = [loss for _, loss in self.curve]
        return len(losses) - 1 - losses.index(self.lowest)


def fingerprint(plan: Mapping[str, Any], models: Sequence[nn.Module], *texts: Sequence[Any]) -> str:
    """SHA-256 of all that a distillation depends on: plan, weights and texts."""
    parts = json.dumps([dict(plan), *map(list, texts)], sort_keys=True)
    digest = hashlib.sha256(parts.encode())
    for name, weight in (one for model in models for one in model.named_parameters()):
        digest.update(f"{name} {list(weight.shape)} {weight.dtype}".encode())
        if not weight.is_meta:
            values: Any = weight.detach().cpu().reshape(-1).view(torch.uint8).numpy()
            digest.update(values)
    return digest.hexdigest()


def save_state(
    path: Path,
    state: TrainingState,
    trained: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write the state, the trained weights and their moments in one step: all of it or nothing."""
    moments = optimizer.state_dict()["state"]
    tensors = {f"best/{name}": value for name, value in state.best.items()}
    for index, (name, weight) in enumerate(trained.items()):
        tensors[f"weight/{name}"] = weight.detach()
        for kind, value in moments.get(index, {}).items():
            tensors[f"{kind}/{name}"] = value
    facts = {key: getattr(state, key) for key in ("fingerprint", "batches", "tokens", "curve")}
    draft = path.with_suffix(".writing")
    path.parent.mkdir(parents=True, exist_ok=True)
    contiguous = {name: value.contiguous().clone() for name, value in tensors.items()}
    save_file(contiguous, draft, metadata={"state": json.dumps(facts)})
    draft.replace(path)


@torch.no_grad()
def load_state(
    path: Path,
    wanted: str,
    trained: Mapping[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> TrainingState:
    """Read a state back into `trained` and `optimizer`.

    Raises ForeignCheckpointError unless it belongs to the distillation of fingerprint `wanted`.
    """
    with safe_open(path, framework="pt") as file:
        facts = json.loads(file.metadata()["state"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    if facts["fingerprint"] != wanted:
        raise ForeignCheckpointError(
            f"{path} is the checkpoint of another distillation (other text, models or plan): "
            "remove it to start anew, or name another file."
        )
    moments: dict[int, dict[str, Tensor]] = {}
    for index, (name, weight) in enumerate(trained.items()):
        weight.copy_(tensors[f"weight/{name}"])
        found = {
            kind: tensors[f"{kind}/{name}"]
            for kind in ("step", "exp_avg", "exp_avg_sq")
            if f"{kind}/{name}" in tensors
        }
        if found:
            moments[index] = found
    saved = optimizer.state_dict()
    optimizer.load_state_dict({**saved, "state": moments})
    best = {
        name.removeprefix("best/"): value
        for name, value in tensors.items()
        if name.startswith("best/")
    }
    curve = [(int(tokens), float(loss)) for tokens, loss in facts["curve"]]
    return TrainingState(wanted, facts["batches"], facts["tokens"], curve, best)
