"""The command line as it is at a terminal, where it asks and somebody types."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Seen:
    """What a command left that ran at a terminal."""

    code: int
    screen: str
    """All that was written to the terminal, and what was typed."""
    stdout: str
    """Where stdout was a pipe."""


def at_a_terminal(
    *arguments: str,
    answers: Sequence[tuple[str, str | Callable[[], str]]] = (),
    piped: bool = False,
    cwd: Path | None = None,
    home: Path | None = None,
    seconds: float = 240,
) -> Seen:
    """Run `avss` on a pseudo-terminal of 120 columns.

    Args:
        arguments: of the command.
        answers: questions, in order, with what is typed once they stand on the screen; a function
            is called only then.
        piped: stdout is a pipe; stdin and stderr are the terminal.
        cwd: where it runs.
        home: its AVSS_HOME.
        seconds: it must be done by then.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    environment = {"TERM": "xterm-256color", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        cwd=cwd,
        env=os.environ | environment | ({"AVSS_HOME": str(home)} if home else {}),
        stdin=theirs,
        stdout=subprocess.PIPE if piped else theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    screen, looked, left = "", 0, list(answers)
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side is closed
                break
            if not piece:
                break
            screen += piece.decode("utf-8", "replace")
            asked = screen.find(left[0][0], looked) if left else -1
            if asked >= 0:
                looked = asked + len(left[0][0])
                question, answer = left.pop(0)
                while question.startswith("Passphrase") and _echoes(ours):
                    time.sleep(0.02)  # what is typed before the echo is off gets thrown away
                os.write(ours, f"{answer if isinstance(answer, str) else answer()}\n".encode())
        out = process.communicate(timeout=60)[0]
    finally:
        process.kill()
        os.close(ours)
    assert not left, f"never asked: {left[0][0]}\n{screen}"
    return Seen(process.returncode, screen, (out or b"").decode())


def _echoes(terminal: int) -> bool:
    return bool(termios.tcgetattr(terminal)[3] & termios.ECHO)
