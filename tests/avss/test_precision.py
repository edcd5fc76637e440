import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch

from avss import precision

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _race_anew() -> Iterator[None]:
    race = precision._wins_race
    race.cache_clear()
    yield
    race.cache_clear()


@pytest.fixture
def without_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """A processor whose instructions know bfloat16, but that has no tiles."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)


def _slower(slow: torch.dtype, left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    time.sleep(0.01 if left.dtype == slow else 0.001)
    return left


@pytest.mark.usefixtures("without_tiles")
@pytest.mark.parametrize(("slow", "fast"), [(torch.float32, True), (torch.bfloat16, False)])
def test_a_race_decides_for_instructions_that_may_be_slow(
    monkeypatch: pytest.MonkeyPatch, slow: torch.dtype, fast: bool
) -> None:
    monkeypatch.setattr(torch.nn.functional, "linear", partial(_slower, slow))
    assert precision.has_bfloat16(CPU) is fast


@pytest.mark.usefixtures("without_tiles")
def test_bfloat16_that_is_as_fast_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    alike: Callable[..., torch.Tensor] = partial(_slower, torch.float64)
    monkeypatch.setattr(torch.nn.functional, "linear", alike)
    assert not precision.has_bfloat16(CPU)


@pytest.mark.parametrize("tiles", [True, False])
def test_without_instructions_there_is_no_race(
    monkeypatch: pytest.MonkeyPatch, tiles: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(precision, "_wins_race", lambda: pytest.fail("raced"))
    assert precision.has_bfloat16(CPU) is tiles


def test_products_are_in_what_was_found_fast() -> None:
    with precision.fast_matrices(CPU):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == (torch.bfloat16 if precision.has_bfloat16(CPU) else torch.float32)
