"""Tasks of lm-evaluation-harness as KPIs, for who has them (extra `lm-eval`).

A task brings its own documents, from the hub or from files that its YAML names; the run's records
are not used. lm-eval asks the model and judges the answers; one number a document is kept.
"""

import contextlib
import io
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from avss.comparing.outcomes import KpiOutcomes
from avss.errors import InputError
from avss.kpi_file.kinds import LmEvalKpi
from avss.kpi_file.values import is_null
from avss.kpis.prompts import Example, Record, Selection, digest_inputs
from avss.kpis.results import build
from avss.kpis.subject import Subject

_SEED = 1234
_BATCH = 8


def measure_lm_eval(subject: Subject, kpi: LmEvalKpi, _: Sequence[Record]) -> KpiOutcomes:
    """Column: the metric's value of each document, in the order of the task's documents.

    Documents are numbered from 1; of a group of tasks, task after task by name, each task being a
    slice. Raises InputError, naming KPI, task and document.
    """
    subject.require_decoder(kpi.name)
    found = _evaluate(subject, kpi)
    samples = [
        (task, sample)
        for task, listed in sorted(found["samples"].items())
        for sample in sorted(listed, key=lambda one: int(one["doc_id"]))
        if sample["filter"] == kpi.filter
    ]
    where = f"KPI {kpi.name}, task {kpi.task}"
    if not samples:
        raise InputError(f"{where}: there is no document with the filter '{kpi.filter}'.")
    examples = tuple(
        Example(number, {**sample["doc"], "task": task})
        for number, (task, sample) in enumerate(samples, start=1)
    )
    values = [
        _value(sample, kpi, f"{where}, document {number}")
        for number, (_, sample) in enumerate(samples, start=1)
    ]
    if subject.progress is not None:
        subject.progress(len(values), len(values))
    asked = [[task, sample["doc_hash"], sample["prompt_hash"]] for task, sample in samples]
    sliced = kpi if len(found["samples"]) == 1 else _by_task(kpi)
    return build(
        Selection(sliced, examples, {}),
        {kpi.metric: values},
        inputs=digest_inputs(asked),
        higher_is_better=_direction(found, kpi, where),
    )


def _evaluate(subject: Subject, kpi: LmEvalKpi) -> Mapping[str, Any]:
    where = f"KPI {kpi.name}, task {kpi.task}"
    try:
        from lm_eval import simple_evaluate
        from lm_eval.models.huggingface import HFLM
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise InputError(
            f"{where}: lm-evaluation-harness is not installed. "
            "Install it: pip install 'avss[lm-eval]'."
        ) from error
    with _hushed():
        tasks = TaskManager(
            include_path=kpi.include_path, include_defaults=kpi.include_path is None
        )
        if kpi.task not in tasks.all_tasks:
            place = kpi.include_path or "lm-evaluation-harness"
            raise InputError(f"{where}: {place} has no task or group of this name.")
        try:
            model = HFLM(pretrained=subject.model, tokenizer=subject.tokenizer, batch_size=_BATCH)
            found: Mapping[str, Any] = simple_evaluate(
                model=model,
                tasks=[kpi.task],
                task_manager=tasks,
                num_fewshot=kpi.num_fewshot,
                limit=kpi.limit,
                apply_chat_template=kpi.chat and subject.tokenizer.chat_template is not None,
                bootstrap_iters=0,
                random_seed=_SEED,
                numpy_random_seed=_SEED,
                torch_random_seed=_SEED,
                fewshot_random_seed=_SEED,
            )
        except Exception as error:  # noqa: BLE001 - whatever a task's data or code raises
            # Its message may quote a document, so only its class is told.
            raise InputError(
                f"{where}: lm-eval raised {type(error).__name__}. Are its data there? "
                "Run `lm_eval` on the task alone."
            ) from None
    return found


def _value(sample: Mapping[str, Any], kpi: LmEvalKpi, where: str) -> float:
    if kpi.metric not in sample:
        known = ", ".join(sorted(sample["metrics"]))
        raise InputError(f"{where}: there is no metric '{kpi.metric}'; the task has {known}.")
    value = sample[kpi.metric]
    if isinstance(value, bool | int | float) and not is_null(value) and math.isfinite(value):
        return float(value)
    raise InputError(
        f"{where}: metric '{kpi.metric}' is not one number a document; choose another."
    )


def _direction(found: Mapping[str, Any], kpi: LmEvalKpi, where: str) -> bool:
    told = {directions.get(kpi.metric) for directions in found["higher_is_better"].values()}
    told.discard(None)
    if kpi.higher_is_better is not None:
        return kpi.higher_is_better
    if len(told) != 1:
        raise InputError(f"{where}: it does not say whether more is better; set higher_is_better.")
    return bool(told.pop())


def _by_task(kpi: LmEvalKpi) -> LmEvalKpi:
    return kpi.model_copy(update={"slice_by": (*kpi.slice_by, "task")})


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """lm-eval logs its settings and draws bars on stderr, wherever that leads."""
    logger = logging.getLogger("lm_eval")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
