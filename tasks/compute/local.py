"""The engine of `execution: local`: this process and its device."""

from collections.abc import Sequence
from typing import Any

from tasks.compute.pieces import Piece, Progress
from tasks.models.shelf import ModelShelf


class Local:
    """Answers pieces one after the other; the model is loaded once while it is in use."""

    name = "local"

    def __init__(self, models: ModelShelf) -> None:
        self._models = models

    def close(self) -> None:
        """Nothing is held that does not go with the process."""

    def answers(self, model: str, pieces: Sequence[Piece], progress: Progress) -> list[Any]:
        """The answer of every piece, in their order."""
        loaded = self._models.load(model)
        total, done, found = sum(piece.size for piece in pieces), 0, []
        for piece in pieces:

            def within(part: int, of: int, done: int = done, size: int = piece.size) -> None:
                progress(done + size * part // max(of, 1), total)

            found.append(piece.answer(loaded.model, loaded.tokenizer, within))
            done += piece.size
        return found
