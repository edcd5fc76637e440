"""An MLflow client from the standard environment, and MLflow's errors as ours."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasks.errors import RegistryError
from tasks.http_probe import answer_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

_ADVICE = "Check MLFLOW_TRACKING_URI and the server; for the local stack: avss stack up."


def new_client() -> "MlflowClient":
    """A client of the server that `MLFLOW_TRACKING_URI` names.

    Raises:
        RegistryError: not set, or nobody answers there. MLflow itself would fall back to a local
            file, or try again for minutes.
    """
    server = tracking_uri()
    require_answer(server)
    from mlflow import MlflowClient  # slow to import

    with mapped_errors(server):
        return MlflowClient(tracking_uri=server)


def tracking_uri() -> str:
    """The server's address, as configured."""
    server = os.environ.get("MLFLOW_TRACKING_URI")
    if not server:
        raise RegistryError(f"No MLflow server is configured. {_ADVICE}")
    return server


def require_answer(server: str) -> None:
    """Raise RegistryError where nobody answers at an http(s) address."""
    if server.startswith("http") and answer_of(f"{server.rstrip('/')}/health") is None:
        raise RegistryError(f"MLflow at {server} cannot be reached. {_ADVICE}")


@contextmanager
def mapped_errors(server: str) -> Iterator[None]:
    """Raise what MLflow raises as RegistryError."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise RegistryError(
            f"MLflow at {server} refused ({error.error_code}): {str(error).splitlines()[0][:300]}"
        ) from None
