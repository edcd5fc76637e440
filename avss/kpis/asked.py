"""What the KPIs ask: prompts without their answers, to teach a model where it will be read."""

from collections.abc import Sequence

from avss.kpi_file.kinds import ClassificationKpi, MultipleChoiceKpi
from avss.kpi_file.parts import PromptedKpi, template_fields
from avss.kpi_file.suite import KpiSuite
from avss.kpis.prompts import Prompter, Record, is_empty
from avss.kpis.subject import Subject


def asked(
    subject: Subject, suite: KpiSuite, records: Sequence[Record], *, max_length: int
) -> list[list[int]]:
    """Token ids of the prompts, each record in the words of one of the KPIs, in turn.

    A prompt ends where its answer would begin; no label is read. What lacks a field of its prompt
    or has more than `max_length` tokens is left out; no prompted KPI, no prompts.
    """
    prompters = [Prompter(kpi, subject) for kpi in suite.kpis if isinstance(kpi, PromptedKpi)]
    prompts = []
    for at, record in enumerate(records if prompters else ()):
        prompter = prompters[at % len(prompters)]
        if any(is_empty(record.get(field)) for field in template_fields(prompter.kpi.prompt)):
            continue
        text = prompter.text(record)
        if isinstance(prompter.kpi, ClassificationKpi | MultipleChoiceKpi):
            text = prompter.head(text)
        prompts += prompter.encode([text])
    return [prompt for prompt in prompts if 1 < len(prompt) <= max_length]
