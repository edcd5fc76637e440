"""Every architecture: a tiny random model, scored, cut in four places, proven by reload.

The table in docs/method.md says what these tests found; AVSS_UPDATE_DOCS=1 writes it anew.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
import yaml

from avss.architecture import find_stack
from avss.cutting.proof import Proof, ProofCase, prove_all
from avss.cutting.pruning import remove_layers, write_model
from avss.errors import ProofError, UnsupportedArchitectureError
from avss.scoring.one_pass import observe

PLACES = {
    "first": lambda layers: [0],
    "middle": lambda layers: [layers // 2],
    "last": lambda layers: [layers - 1],
    "several": lambda layers: [1, layers - 2],
}
HERE = Path(__file__).parent
ZOO: Mapping[str, Any] = yaml.safe_load((HERE / "architectures.yaml").read_text())["architectures"]
TABLE = HERE.parents[1] / "docs" / "method.md"
BEGIN, END = "<!-- architectures: begin -->\n", "<!-- architectures: end -->\n"

Outcome = Proof | ProofError | UnsupportedArchitectureError


@dataclass(frozen=True)
class Example:
    """A tiny model of an architecture, and what is expected of it."""

    model: Any
    stack: Any
    refused: frozenset[str]
    reason: str
    scored: bool


def example(name: str) -> Example:
    entry = ZOO[name]
    torch.manual_seed(0)
    model_class = getattr(transformers, entry["model"])
    model = model_class(model_class.config_class(**entry["fields"])).eval()
    for weight in model.parameters():  # biases and norms start at 0 and 1: give them a say
        weight.data += 0.05 * torch.randn_like(weight)
    return Example(
        model,
        entry.get("stack", "auto"),
        frozenset(entry.get("refused", ())),
        entry.get("reason", ""),
        entry.get("scored", True),
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Outcome]:
    """Every cut of every architecture, all proven in one fresh process."""
    root = tmp_path_factory.mktemp("cuts")
    found: dict[tuple[str, str], Outcome] = {}
    cases: dict[tuple[str, str], ProofCase] = {}
    for name in ZOO:
        one = example(name)
        layers = len(find_stack(one.model, one.stack).layers)
        for place, drop in PLACES.items():
            try:
                cut = remove_layers(one.model, drop(layers), stack=one.stack)
            except UnsupportedArchitectureError as refusal:
                found[name, place] = refusal
                continue
            folder = root / f"{name}-{place}"
            write_model(cut, None, folder)
            cases[name, place] = ProofCase(folder, cut)
    proofs = prove_all(list(cases.values()))
    return found | dict(zip(cases, proofs, strict=True))


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ZOO)
def test_a_cut_is_exact_or_refused_with_the_reason(
    name: str, place: str, outcomes: dict[tuple[str, str], Outcome]
) -> None:
    outcome = outcomes[name, place]
    if place in ZOO[name].get("refused", ()):
        assert isinstance(outcome, UnsupportedArchitectureError)
        assert ZOO[name].get("reason", "") in str(outcome)
    else:
        assert isinstance(outcome, Proof), outcome
        assert outcome.largest_difference == 0


@pytest.mark.parametrize("name", [name for name in ZOO if ZOO[name].get("scored", True)])
def test_scores_agree_with_a_slow_reference(name: str) -> None:
    one = example(name)
    draw = torch.Generator().manual_seed(1)
    sequences = [torch.randint(3, 150, (size,), generator=draw).tolist() for size in (9, 17, 5)]
    scores = observe(one.model, sequences, stack=one.stack, batch_tokens=64).scores()
    expected = slow_reference(one, sequences, scores.epsilon)
    for field, values in expected.items():
        found = [getattr(layer, field) for layer in scores.layers]
        np.testing.assert_allclose(found, values, rtol=2e-4, err_msg=field)


def slow_reference(one: Example, sequences: list[list[int]], epsilon: float) -> dict[str, Any]:
    """Each text alone, every hidden state copied out, all arithmetic in float64."""
    stack = find_stack(one.model, one.stack)
    seen: list[list[tuple[torch.Tensor, torch.Tensor]]] = [[] for _ in stack.layers]
    entering: dict[int, torch.Tensor] = {}

    def before(position: int, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        entering[position] = hidden[0].clone().double()

    def after(position: int, output: Any) -> None:
        hidden = output[0] if isinstance(output, tuple) else output
        seen[position].append((entering[position], hidden[0].clone().double()))

    for position, layer in enumerate(stack.layers):
        layer.register_forward_pre_hook(
            lambda _, args, kwargs, at=position: before(at, args, kwargs), with_kwargs=True
        )
        layer.register_forward_hook(lambda _, args, output, at=position: after(at, output))
    for ids in sequences:
        inputs = {"input_ids": torch.tensor([ids])}
        if one.model.config.is_encoder_decoder:
            start = getattr(one.model.config, "decoder_start_token_id", None) or 0
            inputs["decoder_input_ids"] = torch.tensor([[start, *ids[:-1]]])
        with torch.no_grad():
            one.model(**inputs)
    return {
        field: [reference_of_layer(pairs, epsilon)[field] for pairs in seen]
        for field in ("variance", "near_zero", "avss", "block_influence", "angular_distance")
    }


def reference_of_layer(
    pairs: list[tuple[torch.Tensor, torch.Tensor]], epsilon: float
) -> dict[str, float]:
    changes, cosines, angles = [], [], []
    for start, end in pairs:
        changes.append(((end - start) / start.square().mean(-1, keepdim=True).sqrt()).numpy())
        cosine = torch.cosine_similarity(start, end, dim=-1)
        cosines.append(cosine.numpy())
        angles.append(float(torch.arccos(cosine[-1].clamp(-1, 1))) / np.pi)
    values = np.concatenate(changes)
    near_zero = int((np.abs(values) < epsilon).sum())
    return {
        "variance": values.var(),
        "near_zero": near_zero,
        "avss": values.var() / max(near_zero / values.size, 1 / values.size),
        "block_influence": 1 - np.concatenate(cosines).mean(),
        "angular_distance": float(np.mean(angles)),
    }


def test_the_table_in_the_docs_says_what_was_found(
    outcomes: dict[tuple[str, str], Outcome],
) -> None:
    head, _, rest = TABLE.read_text(encoding="utf-8").partition(BEGIN)
    table, _, tail = rest.partition(END)
    found = architecture_table(outcomes)
    if os.environ.get("AVSS_UPDATE_DOCS"):
        TABLE.write_text(f"{head}{BEGIN}{found}{END}{tail}", encoding="utf-8")
        return
    assert table == found, "run this test with AVSS_UPDATE_DOCS=1 to write the table anew"


def architecture_table(outcomes: Mapping[tuple[str, str], Outcome]) -> str:
    lines = ["| architecture | scored | exact cuts | refused cuts, and why |", "|---|---|---|---|"]
    for name in ZOO:
        exact = [place for place in PLACES if isinstance(outcomes[name, place], Proof)]
        refused = [place for place in PLACES if place not in exact]
        why = f"{', '.join(refused)}: {outcomes[name, refused[0]]}" if refused else ""
        scored = "yes" if ZOO[name].get("scored", True) else "no"
        lines.append(f"| {name} | {scored} | {', '.join(exact) or 'none'} | {why} |")
    return "\n".join(lines) + "\n"
