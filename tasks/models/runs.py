"""A change's steps as MLflow runs: numbers and digests for people to compare, nothing else."""

import math
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from tasks.models.mlflow_client import mapped_errors, new_client, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

_NOTHING: Mapping[str, str] = MappingProxyType({})


def log_step(
    line: str,
    change: str,
    step: str,
    metrics: Mapping[str, float | None],
    *,
    tags: Mapping[str, str] = _NOTHING,
) -> str:
    """One MLflow run a step, in the line's experiment; a finished one is not logged again.

    Args:
        line: the experiment's name.
        change: the change's id; with `step` the run's name.
        step: what was measured, such as `step 2 attempt 1` or `holdout`.
        metrics: numbers by name; a number that could not be measured (None, NaN) is left out.
        tags: digests, layer numbers, verdicts; no business text.

    Returns:
        The MLflow run's id.

    Raises:
        RegistryError: unreachable or refused.
    """
    client = new_client()
    with mapped_errors(tracking_uri()):
        run = _run(client, line, change, step)
        if run.info.status != "FINISHED":
            _write(client, run.info.run_id, metrics, tags)
    return str(run.info.run_id)


def _run(client: "MlflowClient", line: str, change: str, step: str) -> "Run":
    """The step's run as it is, or a new one."""
    own = {"avss.change": change, "avss.step": step}
    experiment = _experiment(client, line)
    condition = " and ".join(f"tags.`{key}` = '{value}'" for key, value in own.items())
    found = client.search_runs([experiment], condition, max_results=1)
    return (
        found[0] if found else client.create_run(experiment, tags=own, run_name=f"{change} {step}")
    )


def _write(
    client: "MlflowClient",
    run_id: str,
    metrics: Mapping[str, float | None],
    tags: Mapping[str, str],
) -> None:
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    measured = {name: float(value) for name, value in metrics.items() if value is not None}
    client.log_batch(
        run_id,
        metrics=[
            Metric(name, value, now, 0) for name, value in measured.items() if math.isfinite(value)
        ],
        tags=[RunTag(key, value) for key, value in tags.items()],
    )
    client.set_terminated(run_id)


def _experiment(client: "MlflowClient", name: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        return str(client.create_experiment(name))
    except MlflowException as error:
        found = client.get_experiment_by_name(name)
        if error.error_code != "RESOURCE_ALREADY_EXISTS" or found is None:
            raise
        return str(found.experiment_id)
