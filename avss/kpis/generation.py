"""Generation: greedy answers, judged by rules, and not kept."""

import zlib
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
    """One column of 0 to 1 for each of the KPI's metrics, `tokens` written, `answer` checksums."""
    subject.require_decoder(kpi.name)
    target = (kpi.target,) if kpi.target else ()
    fields = (*template_fields(kpi.prompt), *target)
    selection = select(kpi, records, fields=fields, first=subject.first_record)
    prompts, cut = Prompter(kpi, subject).prompts(selection, room=kpi.max_new_tokens)
    written = greedy_answers(subject, prompts, max_new_tokens=kpi.max_new_tokens, stop=kpi.stop)
    texts = subject.tokenizer.batch_decode(written, skip_special_tokens=True)
    expected = [
        str(example.record[kpi.target]) if kpi.target else None for example in selection.examples
    ]
    answers = [cut_at_stop(text, kpi.stop).strip() for text in texts]
    judged = [
        judge(answer, expected=wanted, pattern=kpi.pattern)
        for answer, wanted in zip(answers, expected, strict=True)
    ]
    columns: dict[str, list[float]] = {
        metric: [row[metric] for row in judged] for metric in kpi.metrics
    }
    columns["tokens"] = [float(len(tokens)) for tokens in written]
    columns["answer"] = [_checksum(answer) for answer in answers]
    return build(selection, columns, inputs=digest_inputs(prompts, expected), truncated=cut)


def _checksum(answer: str) -> float:
    """Of what eight digits hold: two answers are told apart, and neither can be read from it."""
    return float(zlib.crc32(answer.encode("utf-8", "replace")) & 0xFFFFFF)
