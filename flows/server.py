"""The Prefect server: does it answer, before its client tries for minutes?"""

import os

from tasks.errors import DeployError
from tasks.http_probe import answer_of

_ADVICE = "Check PREFECT_API_URL and the server; for the local stack: avss stack up."


def require_prefect() -> str:
    """The configured API's address. Raises DeployError where there is none, or nobody answers."""
    server = os.environ.get("PREFECT_API_URL")
    if not server:
        raise DeployError(f"No Prefect server is configured. {_ADVICE}")
    if answer_of(f"{server.rstrip('/')}/health") is None:
        raise DeployError(f"Prefect at {server} cannot be reached. {_ADVICE}")
    return server
