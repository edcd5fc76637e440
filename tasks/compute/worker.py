"""What runs on a Ray worker: one process, one model in memory, pieces answered one by one.

Nothing here needs Ray. What comes in is plain data and the model's digest; weights never travel
with the work, a worker reads them from its disk or from S3 and verifies them by the digest.
"""

import hashlib
import json
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from avss.digests import folder_digest
from avss.loading import placement_of
from tasks.compute.pieces import Piece
from tasks.environment import measuring_code
from tasks.errors import ComputeError
from tasks.faults import guarded, is_ours
from tasks.models.folders import fetch_model
from tasks.models.shelf import LoadedModel


@dataclass(frozen=True)
class ModelPlace:
    """Where a model lies: by its digest, in a folder that this node may have, and in S3."""

    digest: str
    folder: str
    uri: str


@dataclass(frozen=True)
class Maker:
    """What an answer depends on besides its piece; answers are merged only where all agree."""

    model: str
    tokenizer: str
    """As `tokenizer_digest`."""
    dtype: str
    code: str
    """Of this package and the libraries that compute."""


@dataclass(frozen=True)
class Answer:
    """A piece's answer, what made it, and what there was to say of memory meanwhile."""

    value: Any
    maker: Maker
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """A piece that cannot be answered, by anyone."""

    error: Exception


@dataclass(frozen=True)
class Greeting:
    """A worker that is ready."""

    host: str
    pid: int


class Worker:
    """Keeps the model that it was asked about last."""

    def __init__(self, threads: int, device: str | None) -> None:
        torch.set_num_threads(threads)
        self._device = device
        self._loaded: tuple[LoadedModel, Maker] | None = None

    def greet(self) -> Greeting:
        """Say that it is there."""
        return Greeting(socket.gethostname(), os.getpid())

    def answer(self, place: ModelPlace, piece: Piece) -> Answer | Refusal:
        """The piece's answer, or why there can be none: in our own words, never a record's."""
        try:
            answer: Answer = guarded("answer a piece of work", self._answer)(place, piece)
        except Exception as error:
            if not is_ours(error):
                raise
            return Refusal(error.with_traceback(None))
        return answer

    def _answer(self, place: ModelPlace, piece: Piece) -> Answer:
        loaded, maker = self._load(place)
        with _heard() as said:
            value = piece.answer(loaded.model, loaded.tokenizer, None)
        return Answer(value, maker, tuple(said))

    def _load(self, place: ModelPlace) -> tuple[LoadedModel, Maker]:
        if self._loaded is None or self._loaded[0].digest != place.digest:
            self._loaded = None  # before the next one takes memory
            if self._device != "cpu" and not torch.accelerator.is_available():
                raise ComputeError(
                    f"Ray gave a worker on {socket.gethostname()} a GPU, and torch sees no GPU "
                    "there. Install the driver and a build of torch for it on every node."
                )
            loaded = LoadedModel.read(place.digest, _folder(place), placement_of(self._device))
            self._loaded = loaded, maker_of(loaded)
        return self._loaded


@contextmanager
def _heard() -> Iterator[list[str]]:
    """What this package's log says of memory, so that the run can say it where people look."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("avss")
    log.addHandler(handler)
    try:
        yield said
    finally:
        log.removeHandler(handler)


def _folder(place: ModelPlace) -> Path:
    """The folder where this node has it, else fetched from S3; verified by its digest."""
    near = Path(place.folder)
    if near.is_dir() and folder_digest(near).digest == place.digest:
        return near
    return fetch_model(place.uri).folder


def maker_of(loaded: LoadedModel) -> Maker:
    """What the answers of a loaded model depend on."""
    return Maker(
        loaded.digest,
        tokenizer_digest(loaded.tokenizer),
        str(loaded.model.dtype).removeprefix("torch."),
        "/".join(measuring_code()),
    )


def tokenizer_digest(tokenizer: Any) -> str:
    """SHA-256 of a tokenizer's vocabulary and of what it makes of some text."""
    seen = [
        sorted(tokenizer.get_vocab().items()),
        tokenizer.chat_template,
        tokenizer(["Grüße, 世界! 0.25\n\tdef f(x):"])["input_ids"],
    ]
    return hashlib.sha256(json.dumps(seen, default=str).encode()).hexdigest()
