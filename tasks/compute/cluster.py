"""Connect to a Ray cluster, or start one of this machine alone; refuse what can never be met.

Ray is an extra and is imported here and in `workers` alone. A cluster of this machine listens on
loopback only and asks for a token that no other user of the machine knows, since whoever reaches a
Ray cluster may run code on it.
"""

import atexit
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from tasks.errors import ComputeError
from tasks.run_file import Resources

_LOG = logging.getLogger("avss.compute")  # of the loggers whose warnings a run's log keeps

_SECONDS = 5
_OBJECT_STORE = 256 * 2**20  # what is sent is small; the default takes a third of the memory
_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # Ray's own switch; off: this machine alone
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".?",  # what raylets tell goes to stdout, which is the command's
    "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": str(_SECONDS),
    "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": str(_SECONDS),
}
_LOCAL = {
    "RAY_worker_niceness": "0",  # Ray's 15 starves them beside anything else
    "RAY_gcs_server_port_wait_time_s": "120",
}


def connect(wanted: Resources) -> int:
    """Be connected to the cluster; how many workers the run shall have.

    A process is connected to one cluster at most: what is connected already is used.

    Raises:
        ComputeError: Ray is not installed, the cluster cannot be reached within seconds, or can
            never give what is asked for.
    """
    prepare(wanted.address)
    ray = _installed("ray")
    if not ray.is_initialized():
        _start(ray) if wanted.address == "local" else _join(ray, wanted.address)
    return workers_for([node["Resources"] for node in ray.nodes() if node["Alive"]], wanted)


def _installed(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        raise ComputeError(
            "execution: ray needs Ray, which is not installed here. Install the extra: "
            "pip install 'avss[ray]', or write execution: local."
        ) from None


def prepare(address: str) -> None:
    """Set what Ray reads once, when it is imported: quiet, and for a local cluster doors shut.

    Raises:
        ComputeError: it was imported before, and a local cluster would be open to the network.
    """
    os.environ.update(_QUIET)
    if address != "local":
        return
    if os.environ.get(_LOOPBACK) == "0" and os.environ.get("RAY_AUTH_MODE") == "token":
        return
    if "ray" in sys.modules:
        raise ComputeError(
            "This process imported Ray before the run began, so a cluster of its own would listen "
            "on the network. Start the run in a process of its own."
        )
    os.environ[_LOOPBACK] = "0"
    for name, value in _LOCAL.items():
        os.environ.setdefault(name, value)
    os.environ.update({"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)})


def _start(ray: Any) -> None:
    """A cluster of this machine; it ends with this process, and its files with it."""
    folder = tempfile.mkdtemp(prefix="avss-", dir="/tmp")
    atexit.register(_stop, ray, folder)
    try:
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE,
            _temp_dir=folder,
        )
    except Exception as error:  # noqa: BLE001 - Ray raises that very class
        raise ComputeError(
            f"A Ray cluster of this machine could not be started ({type(error).__name__}). Is the "
            "machine too busy, or without room in /tmp and /dev/shm? Try again, or write "
            "execution: local."
        ) from None


def _stop(ray: Any, folder: str) -> None:
    ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def _join(ray: Any, address: str) -> None:
    """Connect to a cluster that others run."""
    if address.startswith("ray://"):
        _reach(address)
    elif os.environ.get("RAY_ADDRESS"):
        _reach(os.environ["RAY_ADDRESS"])
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        said = str(error).strip().splitlines()
        raise ComputeError(
            f"The Ray cluster {address} cannot be used ({said[0] if said else 'no reason told'}). "
            "Is it running, and with the same versions of Ray and Python as here?"
        ) from None


def _reach(address: str) -> None:
    """Raise unless a gRPC server answers there: Ray itself would try for minutes.

    One that wants TLS (`RAY_USE_TLS`) must only listen.
    """
    grpc = _installed("grpc")
    place = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = place.port or 10001
        with socket.create_connection((place.hostname, port), timeout=_SECONDS):
            pass
        if os.environ.get("RAY_USE_TLS", "0") in ("0", "false"):
            past_proxies = [("grpc.enable_http_proxy", 0)]  # as Ray's own
            host = f"[{place.hostname}]" if ":" in str(place.hostname) else place.hostname
            with grpc.insecure_channel(f"{host}:{port}", past_proxies) as channel:
                grpc.channel_ready_future(channel).result(timeout=_SECONDS)
    except (OSError, ValueError, grpc.FutureTimeoutError) as error:
        raise ComputeError(
            f"The Ray cluster {address} cannot be reached ({type(error).__name__}). Is it running, "
            "and is its port open to this machine?"
        ) from None


def workers_for(nodes: Sequence[Mapping[str, float]], wanted: Resources) -> int:
    """How many workers to start on nodes with these resources.

    Raises:
        ComputeError: no node has room for one worker, or all of them for as many as are asked for,
            and the run does not wait for a cluster that scales up.
    """
    room = sum(_fitting(node, wanted) for node in nodes)
    if wanted.wait_minutes and wanted.address != "local":  # this machine alone never scales up
        if room < (wanted.workers or 1):
            _LOG.warning(
                "The cluster has room for %d of %d workers now: waiting up to %g minutes for the "
                "first.",
                room,
                wanted.workers or 1,
                wanted.wait_minutes,
            )
        return wanted.workers or max(room, 1)
    if room == 0:
        raise ComputeError(_never(nodes, wanted))
    if (wanted.workers or 0) > room:
        raise ComputeError(
            f"resources.workers is {wanted.workers}, and the cluster has room for {room}. Ask for "
            "fewer or smaller ones, add nodes, or give wait_minutes where the cluster scales up."
        )
    return wanted.workers or room


def needs(wanted: Resources) -> dict[str, float]:
    """What one worker needs, by Ray's names; memory in bytes."""
    asked = {"CPU": wanted.cpus, "GPU": wanted.gpus, "memory": int(wanted.memory_gb * 1e9)}
    return {name: value for name, value in asked.items() if value}


def _fitting(node: Mapping[str, float], wanted: Resources) -> int:
    return int(min(node.get(name, 0) // value for name, value in needs(wanted).items()))


def _never(nodes: Sequence[Mapping[str, float]], wanted: Resources) -> str:
    """The first thing that no node has enough of, or that none has all of it."""
    told = {"CPU": ("cpus", 1.0), "GPU": ("gpus", 1.0), "memory": ("memory_gb", 1e9)}
    lacking = "no node of the cluster has all that one worker needs"
    for name, value in needs(wanted).items():
        field, unit = told[name]
        most = max((node.get(name, 0) for node in nodes), default=0)
        if most < value:
            lacking = (
                f"resources.{field} is {value / unit:g}, and the largest of the cluster's "
                f"{len(nodes)} nodes has {most / unit:.3g}"
            )
            break
    return f"{lacking}. Ask for less, add nodes, or give wait_minutes where the cluster scales up."
