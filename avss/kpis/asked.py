"""What the KPIs ask: prompts without their answers, to teach a model where it will be read."""

from collections.abc import Sequence

from avss.kpi_file.parts import PromptedKpi, template_fields
from avss.kpi_file.suite import KpiSuite
from avss.kpi_file.values import is_null
from avss.kpis.prompts import Prompter, Record
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
        fields = template_fields(prompter.kpi.prompt)
        if any(is_null(record.get(field)) for field in fields):
            continue
        text = prompter.text(record)
        prompts += prompter.encode([text if prompter.chat else text.rstrip()])
    return [prompt for prompt in prompts if 1 < len(prompt) <= max_length]
