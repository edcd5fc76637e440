"""Open a change: fix the base, the rules and the people before anything is looked at."""

from typing import Any

from avss.architecture import find_stack
from avss.loading import outline
from policies.entries import ChangeOpened
from policies.lifecycle import OpenChange, State
from tasks.fitness import check_fit
from tasks.job import Job
from tasks.models.signature import check_model_key


def open_change(job: Job, state: State, action: OpenChange) -> ChangeOpened:
    """Bring the base model in and record who asks for what, under which rules.

    No change begins on a record that somebody wrote over, however old the entry.
    Where the version in use was made from this very base, the steps go on from there.
    """
    job.record.check_untouched()
    source, revision = job.run.seen(job.run.model.source), job.run.model.revision
    digest = job.models.take_in(source, revision)
    stack = find_stack(_seen(job, state, digest))
    check_fit(job, stack.original_layers)
    check_model_key()  # else the change would only fail at its end
    live = state.live
    goes_on = live is not None and live.opened.base_model == digest
    return ChangeOpened(
        requester=job.run.requester,
        base_model=digest,
        original_layers=stack.original_layers,
        kept_layers=stack.kept,
        policy=job.documents.put_bytes(job.policy.document()),
        kpis=job.documents.put(job.suite.model_dump(mode="json")),
        roster=job.documents.put_bytes(job.roster.document()),
        run=job.documents.put(job.run.recorded()),
        environment=job.environment(),
        start_model=live.model if live and goes_on else digest,
        start_layers=live.kept if live and goes_on else stack.kept,
    )


def _seen(job: Job, state: State, digest: str) -> Any:
    """The base, to count its layers: loaded whole once, before the line's first change with it.

    A model that cannot be loaded begins no change, and a run that finds nothing to do is cheap.
    """
    known = any(one.change.opened.base_model == digest for one in state.closed)
    return outline(job.models.folder(digest)) if known else job.models.load(digest).model
