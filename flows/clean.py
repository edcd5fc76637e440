"""The clean-up as a deployment: what finished changes left behind goes when its days are over."""

from pathlib import Path

from prefect import flow, get_run_logger

from flows.optimize import ConfigParameter, line_in_name
from tasks import cleaning
from tasks.places import Places
from tasks.run_file import RunFile
from tasks.s3.storage import ObjectStore


@flow(name="clean", flow_run_name=line_in_name, persist_result=False)
def clean(config: ConfigParameter) -> int:
    """Delete what no line of the ledger keeps any more: in the work bucket, and on this machine.

    Models may be shared, so every line's record is read. Safe to run beside anything: of a line
    that a run works on, nothing goes.

    Args:
        config: path of the run file, which names the buckets.

    Returns:
        How many things went.
    """
    buckets = RunFile.load(Path(config)).buckets
    places = Places.of(buckets.work, buckets.ledger)
    plan = cleaning.plan_cleaning(places)
    logger = get_run_logger()
    for one in plan.leftovers:
        logger.info("%s %s of %s: %s", one.kind, one.digest[:12], one.change, one.why)
    cleaning.clean(plan, ObjectStore(places.work))
    logger.info("%d things deleted, %.1f MB", len(plan.leftovers), plan.bytes / 1e6)
    return len(plan.leftovers)
