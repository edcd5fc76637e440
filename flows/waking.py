"""Tell the run that waits for an answer to look at it now."""

import os

from policies.schema import Step
from tasks.record.line_view import line_of


def try_to_wake(change: str, step: Step) -> str:
    """Wake what waits for the answer, if Prefect is configured; what came of it, never an error."""
    command = "avss registry ..." if step == "alias" else "avss optimize --config ..."
    later = f"the job counts it when it runs next: {command}"
    if not os.environ.get("PREFECT_API_URL"):
        return later
    from flows.waiting import GO_ON, start_run, wake  # imports Prefect: slow, and not always wanted

    try:
        line, about_alias = line_of(change), step == "alias"
        woken = start_run(line, "rollback", GO_ON) if about_alias else wake(change)
    except Exception as error:  # noqa: BLE001 - the answer lies safe in its box whatever this says
        return f"Prefect could not be asked to wake the run ({type(error).__name__}); {later}"
    return "a run was woken and counts it now" if woken else later
