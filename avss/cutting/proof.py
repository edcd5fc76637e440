"""Prove that a saved model is the model in memory: reload it in a fresh process and compare.

The fresh process (`proof_worker`) loads the folder with transformers alone. One process can prove
many folders, since starting it costs more than most proofs.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from avss.cutting.behaviour import behaviour, largest_difference, last_place
from avss.cutting.portrait import portrait
from avss.errors import ProofError

_LAST_PLACES = 8
"""Rounding allowed where a device is not deterministic, in units of the largest logit's last."""

_Expected = tuple[dict[str, Any], dict[str, torch.Tensor]]


@dataclass(frozen=True)
class Proof:
    """What was compared and found equal.

    `largest_difference` is that of all logits: 0.0 means bit for bit. `tokens` were generated
    greedily with the KV cache and again without it; none by a model that does not generate.
    """

    layers: int
    logits: int
    largest_difference: float
    tokens: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def summary(self) -> str:
        """One sentence for a person."""
        how = "bit for bit" if self.largest_difference == 0 else "to the last place"
        tokens = f", {self.tokens} generated tokens with and without cache" if self.tokens else ""
        return f"Proven by reload: {self.layers} layers, same logits {how}{tokens}."


@dataclass(frozen=True)
class ProofCase:
    """A saved folder, and the model and tokenizer that it must be the same as."""

    folder: Path
    model: Any
    tokenizer: Any | None = None


def prove(folder: Path, model: Any, tokenizer: Any | None = None) -> Proof:
    """Prove one folder. Raises ProofError, naming what differs."""
    result = prove_all([ProofCase(folder, model, tokenizer)])[0]
    if isinstance(result, ProofError):
        raise result
    return result


def prove_all(cases: Sequence[ProofCase]) -> tuple[Proof | ProofError, ...]:
    """Prove several folders in one fresh process; a failed proof is returned, not raised."""
    with tempfile.TemporaryDirectory(prefix="avss-proof-") as scratch:
        results = [Path(scratch) / str(number) for number in range(len(cases))]
        job = Path(scratch) / "job.json"
        job.write_text(json.dumps(_job(cases, results)), encoding="utf-8")
        with _worker(job) as worker:
            expected = [_expected(case) for case in cases]
            _wait_for(worker)
        return tuple(_judge(*expected[at], results[at]) for at in range(len(cases)))


def _job(cases: Sequence[ProofCase], results: Sequence[Path]) -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "cases": [
            {
                "folder": str(case.folder.resolve()),
                "result": str(result),
                "tokenizer": case.tokenizer is not None,
                "attention": case.model.config._attn_implementation,
                "device_map": _placement(case.model),
            }
            for case, result in zip(cases, results, strict=True)
        ],
    }


def _placement(model: Any) -> Any:
    """Where the fresh process shall put the model, so that the same kernels run."""
    spread = getattr(model, "hf_device_map", None)
    if spread and len(set(spread.values())) > 1:
        return {path: str(device) for path, device in spread.items()}
    return None if model.device.type == "cpu" else {"": str(model.device)}


def _worker(job: Path) -> subprocess.Popen[str]:
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error", "TQDM_DISABLE": "1"}
    patient = {"OMP_WAIT_POLICY": "passive"}  # both processes compute: one that spins starves both
    return subprocess.Popen(
        [sys.executable, "-m", "avss.cutting.proof_worker", str(job)],
        env={**patient, **os.environ, **quiet},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(worker: subprocess.Popen[str]) -> None:
    messages = worker.communicate()[1]
    if worker.returncode != 0:
        last = (messages.strip().splitlines() or ["no message"])[-1]
        raise ProofError(f"The process that proves saved models failed: {last}")


def _expected(case: ProofCase) -> _Expected:
    """What the model in memory is and computes, while the fresh process is at work."""
    plain = json.loads(json.dumps(portrait(case.model, case.tokenizer)))
    return plain, behaviour(case.model)


def _judge(
    plain: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], result: Path
) -> Proof | ProofError:
    found = json.loads(result.with_suffix(".json").read_text(encoding="utf-8"))
    if "error" in found:
        return ProofError(
            f"The saved model does not load or run in a fresh process: {found['error']}"
        )
    for name, value in plain.items():
        if found[name] != value:
            return ProofError(_difference(name, value, found[name]))
    uneven = {name for name, size in found["lists"].items() if size != found["layers"]}
    if uneven or found["count"] != found["layers"]:
        odd = min(uneven, default="number of layers")
        return ProofError(f"The saved config's {odd} does not fit {found['layers']} layers.")
    return _compare(found["layers"], tensors, load_file(result.with_suffix(".safetensors")))


def _compare(
    layers: int, expected: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> Proof | ProofError:
    worst = 0.0
    for name, tensor in expected.items():
        gap = largest_difference(tensor, found[name])
        if gap > _LAST_PLACES * last_place(tensor):
            return ProofError(
                f"The saved model computes other {name.replace('_', ' ')} than the model in "
                f"memory (largest difference {gap:.3g}). It is given up."
            )
        worst = max(worst, gap)
    tokens = len(expected["cached_logits"]) if "cached_logits" in expected else 0
    logits = sum(tensor.numel() for tensor in expected.values() if tensor.is_floating_point())
    return Proof(layers, logits, worst, tokens)


def _difference(name: str, expected: Any, found: Any) -> str:
    if isinstance(expected, dict) and isinstance(found, dict):
        odd = [key for key in expected | found if expected.get(key) != found.get(key)]
        name = f"{name} (field {', '.join(sorted(odd)[:3])})"
    return f"The saved model has another {name} than the model in memory. It is given up."
