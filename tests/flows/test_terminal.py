"""What the terminal shows, held to golden files at two widths; and what it never obeys.

`AVSS_WRITE_GOLDEN=1 pytest tests/flows/test_terminal.py` writes the files again; read the diff.
"""

import io
import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Group

from flows.commands.common import print_json
from flows.narrative import Narrator
from flows.progress import progress
from flows.render import checks_table, kpi_table, ranking_table, versions_table
from flows.status_view import status_view
from flows.terminal import SafeConsole, shown
from policies.canonical import parse_canonical
from policies.dsse import Envelope
from policies.entries import Entry
from policies.pack import evidence_path, read_pack
from tasks.doctor import Check
from tasks.record.standing import NoStanding, Standing

GOLDEN = Path(__file__).parent / "golden"
NOW = datetime(2026, 11, 25, 16, 0, tzinfo=UTC)
HOSTILE = "<b>[red]\x1b[2J\x07\r\u202eevil\u200b[/red]" + "A" * 10_000
HIDDEN = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]")


def standing(**changes) -> Standing:
    values = {
        "line": "support-answers",
        "change": "support-answers-0007",
        "outcome": "open",
        "original_layers": 30,
        "kept_layers": tuple(range(26)),
        "approved_steps": 3,
        "waiting_for": "4",
        "waiting_until": "2026-11-27T09:00:00Z",
        "approvals": ("Ana Ruiz",),
        "live_version": "3",
        "model": "5f" * 32,
        "approvals_missing": 1,
        "roles_asked": ("risk",),
        "last_check": True,
        "last_checked": "2026-11-24T05:00:00Z",
    }
    return Standing(**{**values, **changes})


def ended(**changes) -> Standing:
    quiet = {"waiting_for": None, "waiting_until": None, "approvals": (), "approvals_missing": None}
    return standing(**{**quiet, "line": "search", "change": "search-0002", **changes})


STANDINGS = [
    standing(),
    ended(outcome="promoted", last_check=False, incident=2, move_asked="rollback to version 1"),
    ended(outcome="refused", live_version=None, last_check=None, last_checked=None),
    standing(waiting_for="promotion", approvals=(), waiting_until="2026-11-25T15:00:00Z"),
    standing(approvals=("Ana Ruiz", "Ken Ito"), approvals_missing=0, roles_asked=()),
    NoStanding("billing", "Entry 41: the signature is not the job key's.", 5),
    NoStanding("faq", "s3://avss-work/evidence/5f5f5f was altered.", 2),
]
SCORES = {
    "source": "contribution",
    "epsilon": 0.01,
    "records": 300,
    "tokens": 9000,
    "layers": [
        {"index": at, "avss": (at * 7 % 12 + 1) / 4, "share": 1 / 12, "block_influence": 0.0123}
        | {"floored": at == 3}
        for at in range(12)
    ],
    "ranking": [{"index": at * 7 % 12, "cumulative_share": (at + 1) / 12} for at in range(12)],
}
KPIS = [
    {"name": "sentiment.auc", "n": 1412, "value": 0.7872, "base_value": 0.8041}
    | {"retention": 0.979, "retention_low": 0.9602, "reason": None}
    | {
        "slices": [
            {"slice": f"condition=Number {at}", "n": 40, "value": None, "retention": 0.9 + at / 50}
            | {"retention_low": 0.85, "reason": None}
            for at in range(4)
        ]
    },
    {"name": "faq.accuracy", "n": 1, "value": 1.0, "base_value": 0.0, "retention": None}
    | {"retention_low": None, "reason": "the base's value is 0, so there is no ratio; judge it"},
]


def printed(width: int, *what) -> str:
    console = SafeConsole(file=io.StringIO(), width=width, highlight=False, no_color=True)
    for one in what:
        console.print(one)
    lines = console.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    return "\n".join(line.rstrip() for line in lines) + "\n"


def story(width: int) -> str:
    """The demo's change as its pack tells it."""
    files = read_pack(GOLDEN / "demo-pack")
    console = SafeConsole(file=io.StringIO(), width=width, highlight=False, no_color=True)
    narrator = Narrator(console, lambda digest: json.loads(files[evidence_path(digest)]))
    for name in sorted(name for name in files if name.startswith("ledger/")):
        narrator.tell(Entry.model_validate(parse_canonical(Envelope.parse(files[name]).payload)))
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()) + "\n"


VIEWS = {
    "status": lambda width: printed(width, status_view(STANDINGS, NOW)),
    "score": lambda width: printed(width, ranking_table(SCORES, marked=(7,))),
    "evaluate": lambda width: printed(width, kpi_table(KPIS)),
    "story": story,
}


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("view", VIEWS)
def test_the_terminal_shows_what_it_showed(view: str, width: int):
    told, path = VIEWS[view](width), GOLDEN / "terminal" / f"{view}-{width}.txt"
    if os.environ.get("AVSS_WRITE_GOLDEN"):
        path.write_text(told, encoding="utf-8")
    assert told == path.read_text(encoding="utf-8"), "look at it; then AVSS_WRITE_GOLDEN=1"


def test_hostile_text_is_named_and_not_obeyed():
    version = SimpleNamespace(
        line=HOSTILE,
        version="1",
        aliases=(HOSTILE,),
        tags={"avss.change": HOSTILE},
        digest="0" * 64,
    )
    kpi = KPIS[0] | {"name": HOSTILE, "reason": HOSTILE, "slices": KPIS[0]["slices"]}
    kpi["slices"] = [part | {"slice": HOSTILE} for part in kpi["slices"]]
    views = (
        status_view(
            [standing(line=HOSTILE, approvals=(HOSTILE,)), NoStanding(HOSTILE, HOSTILE, 5)], NOW
        ),
        kpi_table([kpi]),
        checks_table([Check(HOSTILE, False, HOSTILE, HOSTILE)]),
        versions_table([version]),
        Group(shown(HOSTILE)),
    )
    for view in views:
        console = SafeConsole(file=io.StringIO(), width=120, highlight=False, force_terminal=True)
        console.print(view, markup=False)
        told = console.file.getvalue()
        assert not HIDDEN.search(re.sub(r"\x1b\[[\d;]*m", "", told))
        assert "\x1b[2J" not in told
        assert "U+001B" in re.sub(r"\x1b\[[\d;]*m|\s", "", told)


def test_json_holds_the_same_text_and_nothing_that_a_terminal_obeys(capsys):
    print_json({"reason": HOSTILE + "日本語é"})
    told = capsys.readouterr().out
    assert json.loads(told) == {"reason": HOSTILE + "日本語é"}
    assert not HIDDEN.search(told)
    assert "日本語é" in told


def avss(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("avss")), *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_colours_obey_no_color():
    forced = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    pack = str(GOLDEN / "demo-pack")
    coloured = avss("verify", pack, NO_COLOR="", **forced)
    plain = avss("verify", pack, NO_COLOR="1", **forced)
    assert "\x1b[32m" in coloured.stdout
    assert "valid" in plain.stdout
    assert not re.search(r"\x1b\[[\d;]*3[1-7]m", plain.stdout)


class Screen(io.StringIO):
    """A terminal's stderr."""

    def isatty(self) -> bool:
        return True


def test_progress_tells_the_time_left_on_a_terminal_and_nothing_in_a_pipe(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    for stderr in (Screen(), io.StringIO()):
        monkeypatch.setattr(sys, "stderr", stderr)
        with progress("Scoring \x1b[2J layers") as report:
            report(1, 4)
            report(4, 4)
        told = stderr.getvalue()
        assert ("left" in told) == stderr.isatty()
        assert "\x1b[2J" not in told
        assert stderr.isatty() or told == ""


def test_long_commands_draw_their_progress_on_a_terminal_and_leave_stdout_clean(at_terminal):
    seen = at_terminal("verify", str(GOLDEN / "demo-pack"), "--format", "json", piped=True)
    assert (seen.code, json.loads(seen.stdout)["outcome"]) == (0, "promoted")
    for words in ("Verifying", "left"):
        assert words in seen.screen
    quiet = avss("verify", str(GOLDEN / "demo-pack"), "--format", "json")
    assert (quiet.stdout, quiet.stderr) == (seen.stdout, "")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: str):
    script = avss(_AVSS_COMPLETE=f"source_{shell}")
    assert "_AVSS_COMPLETE" in script.stdout
    if shell == "bash":
        offered = avss(
            _AVSS_COMPLETE="complete_bash", COMP_WORDS="avss re", COMP_CWORD="1"
        ).stdout.split()
        assert {"reject", "registry"} <= set(offered)
