"""The schema of each kind of KPI. Every field carries the description that users read."""

from typing import Literal, Self

from pydantic import Field, model_validator

from avss.kpi_file.parts import BaseKpi, Labels, Pattern, PromptedKpi, Template


class ClassificationKpi(PromptedKpi):
    """The label whose continuation is most likely, or that the model's own head gives."""

    kind: Literal["classification"]
    labels: Labels = Field(
        min_length=2,
        description="Value in the target field -> its continuation of the prompt (with its leading "
        "space), or the head's label name. Rows with another value are left out and counted.",
    )
    target: str = Field(description="The field that holds the true value.")
    length_normalized: bool = Field(
        False, description="Divide each label's log-likelihood by its number of tokens."
    )
    metrics: tuple[
        Literal["accuracy", "balanced_accuracy", "macro_f1", "auc", "calibration_error"], ...
    ] = Field(("accuracy",), min_length=1, description="What is reported.")


class PerplexityKpi(BaseKpi):
    """How well the model predicts text. Encoders: each token masked in turn (pseudo-perplexity)."""

    kind: Literal["perplexity"]
    text: Template = Field("{text}", description="The text that is predicted.")
    max_tokens: int | None = Field(
        None,
        ge=2,
        description="Window in tokens; null: the context. Longer text slides through it.",
    )
    stride: int | None = Field(
        None,
        ge=1,
        description="Tokens predicted a window; null: a whole window, seen with no past.",
    )
    metrics: tuple[
        Literal["token_perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte"], ...
    ] = Field(("token_perplexity",), min_length=1, description="What is reported.")

    @model_validator(mode="after")
    def _stride_fits(self) -> Self:
        if self.stride and self.max_tokens and self.stride > self.max_tokens:
            raise ValueError("stride must not exceed max_tokens")
        return self


class MultipleChoiceKpi(PromptedKpi):
    """The choice whose continuation of the prompt is most likely."""

    kind: Literal["multiple_choice"]
    choices: tuple[Template, ...] = Field(
        (), description="Continuations as templates, the same number for every record."
    )
    choices_field: str | None = Field(
        None, description="Instead: the field that holds the record's list of choices."
    )
    target: str = Field(description="The field that holds the right choice.")
    target_is: Literal["index", "letter", "text"] = Field(
        "index", description="How it names the choice: counted from 0, A B C ..., or its text."
    )
    metrics: tuple[Literal["accuracy", "accuracy_normalized"], ...] = Field(
        ("accuracy",),
        min_length=1,
        description="accuracy_normalized divides each log-likelihood by the choice's characters.",
    )

    @model_validator(mode="after")
    def _one_source_of_choices(self) -> Self:
        if bool(self.choices) == bool(self.choices_field):
            raise ValueError("give either choices or choices_field")
        return self


GenerationMetric = Literal[
    "exact_match",
    "token_f1",
    "rouge_l",
    "contains",
    "regex",
    "numeric_equal",
    "json_valid",
    "refusal_rate",
    "empty_rate",
    "repetition_rate",
]


class GenerationKpi(PromptedKpi):
    """Text written by greedy decoding, judged by rules."""

    kind: Literal["generation"]
    chat: bool = Field(
        True,
        description="Wrap the prompt as a user's turn where the tokenizer has a chat template.",
    )
    max_new_tokens: int = Field(64, ge=1, description="Longest answer in tokens.")
    stop: tuple[str, ...] = Field((), description="Strings that end the answer; they are cut off.")
    target: str | None = Field(None, description="The field that holds the expected answer.")
    pattern: Pattern | None = Field(None, description="The regular expression for `regex`.")
    metrics: tuple[GenerationMetric, ...] = Field(
        ("exact_match",), min_length=1, description="What is reported."
    )

    @model_validator(mode="after")
    def _has_what_metrics_need(self) -> Self:
        compared = {"exact_match", "token_f1", "rouge_l", "contains", "numeric_equal"}
        if compared & set(self.metrics) and self.target is None:
            raise ValueError("target is needed for metrics that compare with an expected answer")
        if ("regex" in self.metrics) != (self.pattern is not None):
            raise ValueError("pattern and the metric `regex` need each other")
        return self


class AgreementKpi(PromptedKpi):
    """How often the candidate does what its base does, with no true answer needed."""

    kind: Literal["agreement"]
    labels: Labels = Field(
        default_factory=dict, description="Value -> continuation, for `label_agreement`."
    )
    max_new_tokens: int = Field(
        32, ge=1, description="Tokens written greedily for `generation_agreement`."
    )
    metrics: tuple[
        Literal["top1_agreement", "label_agreement", "generation_agreement", "next_token_kl"], ...
    ] = Field(("top1_agreement",), min_length=1, description="What is reported.")

    @model_validator(mode="after")
    def _labels_when_asked(self) -> Self:
        if ("label_agreement" in self.metrics) != (len(self.labels) >= 2):
            raise ValueError("label_agreement needs two labels or more, and labels need it")
        return self


class CustomKpi(BaseKpi):
    """A function of yours: `f(model, tokenizer, records) -> one number a record`.

    With `compare`, what it gives for each record may be a row of numbers (an embedding of the
    model's answer, say), and a second function judges the pair: `g(candidate, base) -> one number a
    record`, both being arrays of one row a record. A base is compared with itself.
    """

    kind: Literal["custom"]
    function: str = Field(
        pattern=r"^[\w.]+:\w+$",
        description="module:function, importable where the job runs. It runs as your own code.",
    )
    compare: str | None = Field(
        None,
        pattern=r"^[\w.]+:\w+$",
        description="module:function that judges candidate and base together.",
    )
    metric: str = Field("value", pattern=r"^[a-z0-9][a-z0-9_]*$", description="The metric's name.")
    higher_is_better: bool = Field(description="Whether a larger mean is better.")

    @property
    def metrics(self) -> tuple[str, ...]:
        """The one metric of this KPI."""
        return (self.metric,)


class LmEvalKpi(BaseKpi):
    """A task of lm-evaluation-harness (extra `lm-eval`), with its own documents, not the data."""

    kind: Literal["lm_eval"]
    task: str = Field(min_length=1, description="Name of a task, or of a group of tasks.")
    include_path: str | None = Field(
        None, description="Folder of your own task files; the task is then looked for there alone."
    )
    metric: str = Field(
        "acc", pattern=r"^[a-z0-9][a-z0-9_]*$", description="A metric of the task, one number each."
    )
    filter: str = Field("none", description="The task's filter whose answers are judged.")
    higher_is_better: bool | None = Field(
        None, description="Whether a larger mean is better; null: as the task says."
    )
    num_fewshot: int | None = Field(
        None, ge=0, description="Examples before each question; null: as the task says."
    )
    limit: int | None = Field(None, ge=1, description="Use only this many documents a task.")
    chat: bool = Field(
        False, description="Wrap prompts as a user's turn where the tokenizer has a chat template."
    )

    @property
    def metrics(self) -> tuple[str, ...]:
        """The one metric of this KPI."""
        return (self.metric,)
