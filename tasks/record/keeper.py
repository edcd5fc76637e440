"""Who keeps a line between its changes: the record with the job's key, and the rules in force.

The rules are those of the line's last change as they were recorded, so that moving an alias needs
no run file; with a run file, its policy and roster decide.
"""

from datetime import timedelta
from pathlib import Path

from policies.errors import PolicyError
from policies.keys import parse_public_key
from policies.policy import load_policy
from policies.roster import load_roster
from tasks.places import Places
from tasks.record.job_keys import read_job_key
from tasks.record.journal import Journal
from tasks.record.line_view import LineView
from tasks.run_file import RunFile


class Keeper(LineView):
    """One line, for whoever moves its alias or cleans up after it.

    Raises:
        PolicyError: the line has no change yet, or policy or roster cannot be used.
        RunFileError: the job's key is not here.
        VerificationError: the line's record does not hold.
    """

    def __init__(self, line: str, places: Places, run: RunFile | None = None) -> None:
        super().__init__(line, places)
        first = parse_public_key(self.job_key_line)
        self.journal = Journal(self.store, line, first, read_job_key(), timedelta(), self.kept)
        self.record = self.journal
        state = self.state
        last = state.change or (state.closed[-1].change if state.closed else None)
        if last is None:
            raise PolicyError(f"Line {line} has no change yet, so nothing is in use.")
        self.requester = run.requester if run else last.opened.requester
        self.policy = load_policy(run.seen(run.policy)) if run else self.policy_of(last)
        self.roster = load_roster(Path(run.seen(run.approvers))) if run else self.roster_of(last)
        self.journal.retention = timedelta(days=self.policy.ledger.retention_days)
