"""Tell the run that waits for an answer to look at it now."""

import os


def try_to_wake(change: str) -> str:
    """Wake the change's run if Prefect is configured; what came of it, in words, never an error."""
    later = "the job counts it when it runs next: avss optimize --config ..."
    if not os.environ.get("PREFECT_API_URL"):
        return later
    from flows.waiting import wake  # imports Prefect, which is slow and not always wanted

    try:
        woken = wake(change)
    except Exception as error:  # noqa: BLE001 - the answer lies safe in its box whatever this says
        return f"Prefect could not be asked to wake the run ({type(error).__name__}); {later}"
    return "the waiting run was woken and counts it now" if woken else later
