"""Generation: greedy answers, judged by rules, and not kept."""

from collections.abc import Sequence

from avss.comparing.outcomes import KpiOutcomes
from avss.kpi_file.kinds import GenerationKpi
from avss.kpi_file.parts import template_fields
from avss.kpis.answers import judge
from avss.kpis.greedy import cut_at_stop, greedy_answers
from avss.kpis.prompts import Prompter, Record, digest_inputs, select
from avss.kpis.results import build
from avss.kpis.subject import Subject


def measure_generation(
    subject: Subject, kpi: GenerationKpi, records: Sequence[Record]
) -> KpiOutcomes:
    """One column of 0 to 1 for each of the KPI's metrics, and `tokens` written."""
    subject.require_decoder(kpi.name)
    target = (kpi.target,) if kpi.target else ()
    selection = select(kpi, records, fields=(*template_fields(kpi.prompt), *target))
    prompts, cut = Prompter(kpi, subject).prompts(selection, room=kpi.max_new_tokens)
    written = greedy_answers(subject, prompts, max_new_tokens=kpi.max_new_tokens, stop=kpi.stop)
    texts = subject.tokenizer.batch_decode(written, skip_special_tokens=True)
    expected = [
        str(example.record[kpi.target]) if kpi.target else None for example in selection.examples
    ]
    judged = [
        judge(cut_at_stop(text, kpi.stop).strip(), expected=wanted, pattern=kpi.pattern)
        for text, wanted in zip(texts, expected, strict=True)
    ]
    columns: dict[str, list[float]] = {
        metric: [row[metric] for row in judged] for metric in kpi.metrics
    }
    columns["tokens"] = [float(len(tokens)) for tokens in written]
    return build(selection, columns, inputs=digest_inputs(prompts, expected), truncated=cut)
