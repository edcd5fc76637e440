"""What a result was computed with: packages, platform and the code's commit."""

import hashlib
import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

import avss

_PACKAGES = (
    "prefect",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "datasets",
    "great_expectations",
    "evidently",
    "boto3",
    "mlflow",
    "numpy",
    "scipy",
    "scikit-learn",
    "pandas",
    "pydantic",
    "cryptography",
)


@dataclass(frozen=True)
class Environment:
    """Versions that numbers may depend on. Nothing of the machine's name or user."""

    avss: str
    commit: str | None
    """Of the code, where it runs from a checkout; `-dirty` where files differ from it."""
    python: str
    platform: str
    packages: dict[str, str]
    execution: str
    """Where the heavy passes ran."""


def environment(execution: str) -> Environment:
    """This process's environment, with what it says of where the heavy passes run."""
    return Environment(
        avss=metadata.version("avss"),
        commit=_commit(),
        python=platform.python_version(),
        platform=f"{platform.system()} {platform.machine()}",
        packages={name: metadata.version(name) for name in _PACKAGES},
        execution=execution,
    )


@cache
def measuring_code() -> tuple[str, ...]:
    """The source and the versions that measured numbers come from."""
    root = Path(avss.__file__).parent
    source = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        source.update(path.read_bytes())
    return source.hexdigest(), metadata.version("torch"), metadata.version("transformers")


def _commit() -> str | None:
    folder = Path(__file__).resolve().parent
    command = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
