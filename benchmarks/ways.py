"""Ways to heal the demo's model that take turns, by their processor time."""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch

from avss.batching import token_batches
from avss.loading import load_model
from deployments.seed import model_folder
from deployments.wheels import seed_cache

Text = list[list[int]]
_LENGTH = 128


def arguments(told: str | None, *, tokens: int) -> argparse.Namespace:
    """The command line: how many tokens, and how often each way is measured."""
    parser = argparse.ArgumentParser(description=(told or "").partition("\n")[0])
    parser.add_argument("--tokens", type=int, default=tokens)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def base_and_text(tokens: int) -> tuple[Any, Text]:
    """The demo's model in float32 on one thread, and random tokens in rows of 128."""
    torch.set_num_threads(1)
    base = load_model(model_folder(seed_cache(), report=lambda _: None), dtype=torch.float32)
    shape, draw = (tokens // _LENGTH, _LENGTH), torch.Generator().manual_seed(0)
    return base, torch.randint(base.config.vocab_size, shape, generator=draw).tolist()


@torch.no_grad()
def bare_pass(model: Any, text: Text) -> None:
    """One forward pass, as batches of 1024 tokens."""
    for batch in token_batches(text, batch_tokens=1024):
        model(input_ids=batch.input_ids, use_cache=False)


def print_ways(
    head: str, ways: Mapping[str, Callable[[], Any]], against: str, repeats: int
) -> None:
    """Run each way in turn, `repeats` times, and print a table of processor time."""
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, run in ways.items():
            began = time.process_time()
            run()
            if turn:  # the first warms up
                spent[name].append(time.process_time() - began)
    print(f"| {head} | processor seconds | ratio (range) |\n|---|---|---|")
    for name, found in spent.items():
        ratios = [mine / other for mine, other in zip(found, spent[against], strict=True)]
        told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"| {name} | {statistics.median(found):.2f} | {told} |")
