"""Open a change: fix the base, the rules and the people before anything is looked at."""

from avss.architecture import find_stack
from policies.entries import ChangeOpened
from policies.lifecycle import OpenChange, State
from tasks.fitness import check_fit
from tasks.job import Job


def open_change(job: Job, state: State, action: OpenChange) -> ChangeOpened:
    """Bring the base model in and record who asks for what, under which rules.

    No change begins on a record that somebody wrote over, however old the entry.
    Where the version in use was made from this very base, the steps go on from there.
    """
    job.record.check_untouched()
    source, revision = job.run.seen(job.run.model.source), job.run.model.revision
    digest = job.models.take_in(source, revision)
    stack = find_stack(job.models.load(digest).model)
    check_fit(job, stack.original_layers)
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
