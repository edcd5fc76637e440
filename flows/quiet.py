"""What libraries read from the environment once, set before any of them is imported."""

import os

from deployments.services import TELEMETRY_OFF

DEFAULTS = {
    "TRANSFORMERS_VERBOSITY": "error",
    "TQDM_DISABLE": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "OMP_WAIT_POLICY": "passive",  # a thread that spins while it waits starves its neighbours
    "PREFECT_LOGGING_EXTRA_LOGGERS": "avss",  # a batch halved for want of memory: in the run's log
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",  # outside a run there is no such log
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",  # the terminal has its own telling
}


def hush_libraries() -> None:
    """Telemetry off, progress noise away, idle threads asleep: here and in processes started."""
    os.environ.update(TELEMETRY_OFF)
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
