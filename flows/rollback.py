"""The rollback as a deployment: asks, or goes on with what is asked once people agreed."""

from pathlib import Path
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.states import Completed
from prefect.states import State as RunState
from pydantic import Field

from flows.optimize import ConfigParameter, line_in_name
from policies.entries import Entry
from policies.lifecycle import Wish
from tasks.models.moving import MoveEnding, move_alias
from tasks.places import Places
from tasks.record.keeper import Keeper
from tasks.run_file import RunFile


@flow(name="rollback", flow_run_name=line_in_name, persist_result=False)
def rollback(
    config: ConfigParameter,
    reason: Annotated[
        str, Field(min_length=1, description="Why; it becomes part of the record.")
    ] = "asked for by hand in Prefect",
    version: Annotated[
        str | None, Field(description="A registered version, in place of the one before.")
    ] = None,
    go_on: Annotated[
        bool, Field(description="Only go on with what is asked already; ask for nothing new.")
    ] = False,
) -> MoveEnding | RunState[MoveEnding]:
    """Lead the alias of a line back to the version before, once people have signed.

    Args:
        config: path of the run file; its policy and roster decide.
        reason: why; it becomes part of the record.
        version: put this registered version in use instead of the one before.
        go_on: how an answer starts it: somebody else may have counted the answer meanwhile, and
            nobody wants another rollback then.

    Returns:
        Where the move stands: the first run asks, a run after the decision moves the alias.
    """
    run = RunFile.load(Path(config))
    keeper = Keeper(run.line, Places.of(run.buckets.work, run.buckets.ledger), run)
    logger: Any = get_run_logger()

    def tell(entry: Entry) -> None:
        logger.info("%s recorded as entry %d of %s", entry.type, entry.sequence, entry.line)

    asked = keeper.state.open_move
    if asked is None and go_on:
        return Completed(name="NothingAsked", message="no decision on the alias is asked for")
    if asked is not None and version is None and asked.asked.move.action == "promote":
        version = asked.asked.move.version  # an answer woke this run: go on with what was asked
    return move_alias(keeper, Wish(run.requester, reason, version), tell)
