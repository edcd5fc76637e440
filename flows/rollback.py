"""The rollback as a deployment: asks, or does it once people agreed; the same as the command."""

from pathlib import Path
from typing import Any

from prefect import flow, get_run_logger

from policies.entries import Entry
from policies.lifecycle import Wish
from tasks.models.moving import MoveEnding, move_alias
from tasks.record.keeper import Keeper, places_in
from tasks.run_file import RunFile


@flow(name="rollback", flow_run_name="rollback {config}", persist_result=False)
def rollback(
    config: str, reason: str = "asked for by hand in Prefect", version: str | None = None
) -> MoveEnding:
    """Lead the alias of a line back to the version before, once people have signed.

    Args:
        config: path of the run file; its policy and roster decide.
        reason: why; it becomes part of the record.
        version: put this registered version in use instead of the one before.

    Returns:
        Where the move stands: the first run asks, a run after the decision moves the alias.
    """
    run = RunFile.load(Path(config))
    keeper = Keeper(run.line, places_in(run), run)
    logger: Any = get_run_logger()

    def tell(entry: Entry) -> None:
        logger.info("%s recorded as entry %d of %s", entry.type, entry.sequence, entry.line)

    return move_alias(keeper, Wish(run.requester, reason, version), tell)
