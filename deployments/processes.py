"""Services as processes that outlive the command which started them, and end when told to.

Each one leads a session of its own, so Ctrl-C in a terminal does not reach it, and everything it
starts can be found again by that session, also after the leader is gone.
"""

import os
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil

from deployments.home import ProcessRecord

_CLOCK_SLACK = 2.0
"""Seconds; a creation time is told relative to a boot time that follows clock corrections."""


def start(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: Path,
    log: Path,
    ports: Mapping[str, int],
) -> ProcessRecord:
    """Start a service with its output in `log`, which begins anew."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process.returncode = 0  # Python would warn of a child left running; this one is meant to be
    created = psutil.Process(process.pid).create_time()
    return ProcessRecord(pid=process.pid, created=created, ports=dict(ports))


def members(record: ProcessRecord) -> list[psutil.Process]:
    """The service's processes that still run; empty when the pid is another program's by now."""
    try:
        leader = psutil.Process(record.pid)
        if abs(leader.create_time() - record.created) > _CLOCK_SLACK:
            return []
    except psutil.NoSuchProcess:
        pass  # the kernel gives a pid to nobody while its session has members
    return [process for process in psutil.process_iter() if _session(process) == record.pid]


def is_running(record: ProcessRecord) -> bool:
    """Whether the process that was started is still there."""
    return any(process.pid == record.pid for process in members(record))


def stop(record: ProcessRecord, *, grace: float) -> bool:
    """End the service: politely, then after `grace` seconds for sure. True if anything ran."""
    running = members(record)
    for process in running:
        _signal(process, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(running, timeout=grace)
    for process in {*stubborn, *members(record)}:
        _signal(process, signal.SIGKILL)
    psutil.wait_procs(stubborn, timeout=5)
    return bool(running)


def free_ports(count: int, *, offset: int = 0) -> list[int]:
    """Loopback ports that nobody listens on now, all different; nor `offset` above them."""
    found: list[int] = []
    with ExitStack() as held:  # a port that is held is not given out twice
        while len(found) < count:
            each = held.enter_context(socket.socket())
            each.bind(("127.0.0.1", 0))
            port = int(each.getsockname()[1])
            if offset == 0 or (is_free(port + offset) and port - offset not in found):
                found.append(port)
    return found


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(("127.0.0.1", port))
        except (OSError, OverflowError):  # taken, or beyond the last port
            return False
    return True


def tail(log: Path, lines: int = 15) -> str:
    """The last lines of a log file."""
    if not log.exists():
        return ""
    text = log.read_text(encoding="utf-8", errors="replace")
    return "\n".join(text.rstrip().splitlines()[-lines:])


def _session(process: psutil.Process) -> int | None:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return os.getsid(process.pid)
    except (psutil.Error, OSError):
        return None


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)
