"""A line lived in this process: run the job, answer as its people, at whatever time it is told."""

import io
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from prefect.settings import PREFECT_API_URL, temporary_settings
from rich.console import Console

from flows.monitor import Watched, run_monitor
from flows.optimize import Ending, run_change
from policies.keys import read_private_key
from tasks.places import Places
from tasks.record.deciding import open_question, sign
from tasks.record.line_view import LineView


@dataclass(frozen=True)
class Life:
    """One line by its folder, which holds run file, policy, roster and `keys/<name>`.

    `AVSS_HOME` and the servers' addresses are taken from the environment.
    """

    folder: Path
    line: str
    work: str = "avss-work"
    ledger: str = "avss-ledger"

    @property
    def view(self) -> LineView:
        """The line as it stands now."""
        return LineView(self.line, Places(self.work, self.ledger))

    def run(self) -> Ending:
        """Run the job until people must decide, or the change is closed."""
        with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
            return run_change(self.folder / "run.yaml", Console(file=io.StringIO()))

    def watch(self, told: TextIO | None = None) -> Watched:
        """One look at the model in use, as the monitor does; what it says goes to `told`."""
        with temporary_settings({PREFECT_API_URL: os.environ["PREFECT_API_URL"]}):
            console = Console(file=told or io.StringIO(), width=110)
            return run_monitor(self.folder / "run.yaml", console)

    def answer(self, change: str, *names: str, said: str = "approve") -> None:
        """Sign what is asked now, as those of these people whose role decides there."""
        view = self.view
        question = open_question(view, change, None, None)
        expected = question.expected
        for person in expected.roster.people:
            name = person.name
            if name not in names or not set(person.roles) & set(expected.gate.roles):
                continue
            key = read_private_key(self.folder / "keys" / name)
            envelope = sign(question, said, "tried", key, secrets.token_hex(16))  # type: ignore[arg-type]
            view.approvals.drop(question.change, question.step, envelope)

    def agree(self, *names: str) -> Ending:
        """Run a change to its end, these people approving whatever is asked."""
        while (ending := self.run()).waiting_for:
            self.answer(ending.change, *names)
        return ending
