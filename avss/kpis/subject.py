"""The model that is measured, and what it can be asked."""

from dataclasses import dataclass
from typing import Any

from avss.errors import InputError
from avss.kpis.likelihood import Progress
from avss.placement import entry_device

CPU_FORWARD_TOKENS = 512
"""On a CPU a forward pass of more positions leaves the caches, and pads more: measured slower."""


@dataclass(frozen=True)
class Subject:
    """A model with its tokenizer, and how it is run; `first_record` numbers what it is asked."""

    model: Any
    tokenizer: Any
    batch_tokens: int
    progress: Progress | None = None
    first_record: int = 1

    @property
    def forward_tokens(self) -> int:
        """Positions in one forward pass over whole prompts or texts."""
        on_cpu = entry_device(self.model).type == "cpu"
        return min(self.batch_tokens, CPU_FORWARD_TOKENS) if on_cpu else self.batch_tokens

    @property
    def context(self) -> int | None:
        """Longest input in tokens that the model's config speaks of, or None."""
        config = self.model.config.get_text_config()
        lengths = (
            getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")
        )
        return next((int(length) for length in lengths if length), None)

    @property
    def start_token(self) -> int:
        """The token that text starts from where there is nothing before it."""
        tokens = (self.tokenizer.bos_token_id, self.tokenizer.eos_token_id)
        return next((int(token) for token in tokens if token is not None), 0)

    @property
    def pad_token(self) -> int:
        """What fills up short rows; attention never sees it."""
        return int(self.tokenizer.pad_token_id or 0)

    @property
    def is_classifier(self) -> bool:
        """Whether the model ends in a head that classifies whole sequences."""
        return type(self.model).__name__.endswith("ForSequenceClassification")

    @property
    def is_masked(self) -> bool:
        """Whether the model fills in masked tokens."""
        return type(self.model).__name__.endswith("ForMaskedLM")

    def require_decoder(self, kpi: str) -> None:
        """Raise InputError where the model cannot continue a text."""
        encoder = self.model.config.is_encoder_decoder or self.is_masked
        if encoder or not self.model.can_generate():
            raise InputError(
                f"KPI {kpi}: a {type(self.model).__name__} cannot continue a prompt; "
                "this needs a causal language model."
            )

    def encode(self, texts: list[str], *, special: bool) -> list[list[int]]:
        """Token ids of each text, with the tokenizer's special tokens or without."""
        encoded = self.tokenizer(
            texts, add_special_tokens=special, return_attention_mask=False, verbose=False
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids
